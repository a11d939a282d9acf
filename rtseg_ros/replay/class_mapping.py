# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the ids of ground truth to those of a bundle, by the classes' names."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any, Dict, List, Sequence, Tuple

import numpy as np

from rtseg_models.engine import kernels
from rtseg_models.errors import BundleError, NotFound, UsageError
from rtseg_models.labels import CLASS_SETS, UNLABELLED


class ClassMapping:
    """From the ids of a class set to a bundle's, by name; where the bundle has not the very name, case, blanks and the
    characters ``_ -`` do not matter.

    ``unmapped`` names the truth's classes that the bundle has not (their pixels are not counted); ``evaluable`` tells
    for each class of the bundle whether the truth can hold it.
    """

    def __init__(self, class_names: Sequence[str], ignore_id: int, classes: str = '') -> None:
        """``classes`` is the name of a class set, the path of a JSON file like a card's, or '' for the bundle's own."""
        names, ignored = _class_names(class_names, ignore_id, classes)
        seats = _seats(list(dict.fromkeys(names.values())), class_names)
        self._known = np.zeros(256, bool)
        self._known[[*names, *ignored, UNLABELLED]] = True
        self._table = np.full(256, UNLABELLED, np.uint8)
        for i, name in names.items():
            self._table[i] = seats.get(name, UNLABELLED)
        self._ids = sorted(names)
        self._ignored = sorted({*ignored, UNLABELLED})
        self.unmapped = [name for name in names.values() if name not in seats]
        self.evaluable = [i in seats.values() for i in range(len(class_names))]
        if not any(self.evaluable):
            raise UsageError(
                f'ground-truth classes {", ".join(names.values())}: none has the name of a class of the bundle '
                f'({", ".join(class_names)}); name the class set with --ground-truth-classes'
            )

    def __call__(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Labels (H,W) uint8 in the bundle's ids; BundleError lists ids that the class set has not."""
        labels = np.ascontiguousarray(labels)
        mapped, counts = np.empty_like(labels), np.zeros(256, np.int64)
        kernels.relabel_and_count(labels, self._table, mapped, counts)
        strange = np.flatnonzero((counts > 0) & ~self._known).tolist()
        if strange:
            raise BundleError(
                f'{where}: holds ids {strange}, which are no classes of the ground truth (ids {self._ids[0]} to '
                f'{self._ids[-1]}, ignored {self._ignored}); name its class set with --ground-truth-classes'
            )
        return mapped


def _plain(name: str) -> str:
    return re.sub(r'[\s_-]+', ' ', name).strip().lower()


def _seats(names: Sequence[str], class_names: Sequence[str]) -> Dict[str, int]:
    """The id in a bundle of each name that it has, the very name first; UsageError where that is not clear."""
    seats = {}
    for name in names:
        mine, others = ([n for n in known if _plain(n) == _plain(name)] for known in (class_names, names))
        if name not in class_names and mine and len(mine) + len(others) > 2:
            raise UsageError(
                f'ground-truth classes {", ".join(map(repr, others))} and {", ".join(map(repr, mine))} of the bundle '
                f'are not told apart but by case, blanks, _ or -; write {name!r} as the bundle does'
            )
        if mine:
            seats[name] = class_names.index(name if name in class_names else mine[0])
    return seats


def _class_names(own: Sequence[str], ignore_id: int, classes: str) -> Tuple[Dict[int, str], List[int]]:
    """Class names by id, and the ignored ids, which have no name."""
    if not classes:
        return dict(enumerate(own)), [ignore_id]
    if classes in CLASS_SETS:
        return dict(enumerate(CLASS_SETS[classes].names)), [CLASS_SETS[classes].ignore_id]
    path = Path(classes)
    if not path.is_file():
        raise NotFound(f'{classes}: neither a class set ({", ".join(CLASS_SETS)}) nor a file')
    try:
        facts: Any = json.loads(path.read_text(encoding='utf-8'))
        names = {int(row.get('id', place)): str(row['name']) for place, row in enumerate(facts['classes'])}
        ignored = [int(facts.get('ignore_id', UNLABELLED))]
    except (ValueError, KeyError, TypeError, AttributeError, UnicodeDecodeError) as error:
        raise BundleError(
            f'{path}: expected JSON like {{"classes": [{{"id": 0, "name": "road"}}], "ignore_id": 255}}: {error!r}'
        ) from error
    counted = {i: name for i, name in names.items() if i not in (*ignored, UNLABELLED)}
    if not counted or not all(0 <= i <= UNLABELLED for i in [*names, *ignored]):
        raise BundleError(f'{path}: expected at least one class that is not ignored, and ids 0 to {UNLABELLED}')
    return counted, ignored
