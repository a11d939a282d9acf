# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A plain folder of images and masks: ``<split>/`` images, ``<split>annot/`` masks of the same names, ``classes.json``.

``classes.json``: {"name": "yard", "ignore_id": 255, "classes": [{"name": "path", "colour": [128, 64, 128]}, …]};
a mask's pixel holds the class's position in that list, or ``ignore_id``.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from ..errors import BundleError, NotFound
from ..labels import UNLABELLED, ClassSet
from .sample import PairedFiles, by_stem, list_images

CLASS_FILE = 'classes.json'


class Folder(PairedFiles):
    """A split of a folder with its own class set."""

    def __init__(self, root: Path, split: str) -> None:
        classes = read_class_file(root / CLASS_FILE)
        images = by_stem(list_images(root / split))
        masks = root / f'{split}annot'
        if not masks.is_dir():
            raise NotFound(f'{masks}: no such folder; it should hold the masks of {root / split}')
        super().__init__(classes, images, by_stem(list_images(masks)))


def read_class_file(path: Path) -> ClassSet:
    """The class set of a class file; NotFound or BundleError names the file and the offending entry."""
    if not path.is_file():
        raise NotFound(f'{path}: no such file; it should list the classes: {{"classes": [{{"name", "colour"}}, …]}}')
    try:
        facts = json.loads(path.read_text(encoding='utf-8'))
    except ValueError as error:
        raise BundleError(f'{path}: not JSON: {error}') from error
    rows = facts.get('classes') if isinstance(facts, dict) else None
    if not isinstance(rows, list) or not 1 <= len(rows) < UNLABELLED:
        raise BundleError(f'{path}: "classes" must be a list of 1 to {UNLABELLED - 1} objects with name and colour')
    for position, row in enumerate(rows):
        if not _is_class(row):
            raise BundleError(f'{path}: class {position} is {row!r}; expected {{"name": text, "colour": [r, g, b]}}')
    ignore_id = facts.get('ignore_id', UNLABELLED)
    if type(ignore_id) is not int or not len(rows) <= ignore_id <= UNLABELLED:
        raise BundleError(f'{path}: ignore_id is {ignore_id!r}; expected {len(rows)} (the class count) to {UNLABELLED}')
    names = tuple(r['name'] for r in rows)
    if len(set(names)) != len(names):
        raise BundleError(
            f'{path}: class names occur twice: {", ".join(sorted({n for n in names if names.count(n) > 1}))}'
        )
    colours = tuple((r['colour'][0], r['colour'][1], r['colour'][2]) for r in rows)
    return ClassSet(str(facts.get('name', path.parent.resolve().name)), names, colours, ignore_id)


def _is_class(row: Any) -> bool:
    if not isinstance(row, dict) or not isinstance(row.get('name'), str):
        return False
    colour = row.get('colour')
    return isinstance(colour, list) and len(colour) == 3 and all(type(v) is int and 0 <= v < 256 for v in colour)
