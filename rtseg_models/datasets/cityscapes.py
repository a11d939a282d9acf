# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cityscapes in its official layout: ``leftImg8bit/<split>/<city>/``, ``gtFine/<split>/<city>/``, label ids.

Label ids are mapped to the 19 train ids of the official label table (Cordts et al., 2016); the others are ignored.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, List

import numpy as np

from ..errors import BundleError, NotFound
from ..labels import CITYSCAPES
from .sample import Joined, PairedFiles, by_name

LABEL_IDS = (7, 8, 11, 12, 13, 17, 19, 20, 21, 22, 23, 24, 25, 26, 27, 28, 31, 32, 33)
"""Label id of each train id."""

LAST_LABEL_ID = 33

IMAGE_END = '_leftImg8bit.png'


def _train_ids() -> np.ndarray:
    table = np.full(256, CITYSCAPES.ignore_id, np.uint8)
    table[list(LABEL_IDS)] = range(len(LABEL_IDS))
    return table


TRAIN_IDS = _train_ids()
"""Train id by label id (256,), ignored ones 255."""


class Cityscapes(PairedFiles):
    """A split of Cityscapes: 1024x2048 images, 19 classes, 255 ignored. ``labels`` is gtFine or gtCoarse."""

    def __init__(self, root: Path, split: str, labels: str = 'gtFine') -> None:
        ends = (IMAGE_END, f'_{labels}_labelIds.png')
        super().__init__(
            CITYSCAPES, _files(root / 'leftImg8bit' / split, ends[0]), _files(root / labels / split, ends[1])
        )

    def ids(self, label: np.ndarray, path: Path) -> np.ndarray:
        """Train ids (H,W) of label ids; BundleError lists ids that the official table does not have."""
        strange = [int(i) for i in np.flatnonzero(np.bincount(label.ravel(), minlength=256)) if LAST_LABEL_ID < i < 255]
        if strange:
            raise BundleError(f'{path}: ids {strange}; label ids are 0 to {LAST_LABEL_ID} (not colours, not instances)')
        ids: np.ndarray = TRAIN_IDS[label]
        return ids


class CityscapesCoarse(Joined):
    """Cityscapes with the 19,998 coarsely labelled images of ``train_extra`` added to its train split."""

    def __init__(self, root: Path, split: str) -> None:
        parts: List[PairedFiles] = [Cityscapes(root, split)]
        if split == 'train':
            parts.append(Cityscapes(root, 'train_extra', 'gtCoarse'))
        super().__init__(parts)


def _files(folder: Path, end: str) -> Dict[str, List[Path]]:
    """Files of all cities by the name that image and label share; NotFound where there is none."""
    if not folder.is_dir():
        raise NotFound(f'{folder}: no such folder')
    found = by_name((path.name[: -len(end)], path) for path in sorted(folder.glob(f'*/*{end}')))
    if not found:
        raise NotFound(f'{folder}: no files <city>/*{end} in it')
    return found
