# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Check a dataset whole before anything is learnt from it: every fault is listed, not only the first."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import List, Optional, Sequence, Tuple

import numpy as np

from ..errors import RtsegError
from ..labels import UNLABELLED
from .sample import Dataset, Joined, PairedFiles


def unpaired(data: Dataset) -> Tuple[List[str], List[str]]:
    """A sentence per file of the dataset without a partner, and per file whose name another has, too."""
    parts = [part for part in (data.parts if isinstance(data, Joined) else [data]) if isinstance(part, PairedFiles)]
    return [line for part in parts for line in part.lonely], [line for part in parts for line in part.twins]


def inspect(data: Dataset) -> Tuple[np.ndarray, List[str]]:
    """Pixels per class (C,) int64 and a sentence per fault: files alone, broken, of wrong size, with strange ids."""
    lonely, twins = unpaired(data)
    faults = lonely + twins
    classes, allowed = len(data.class_set), {data.class_set.ignore_id, UNLABELLED}

    def look(index: int) -> Tuple[np.ndarray, List[str]]:
        name, rgb, label, found = _read(data, index)
        if label is None:
            return np.zeros(256, np.int64), found
        if rgb is not None and rgb.shape[:2] != label.shape:
            sizes = f'{rgb.shape[0]}x{rgb.shape[1]}', f'{label.shape[0]}x{label.shape[1]}'
            found.append(f'{name}: image {sizes[0]}, label {sizes[1]}; they must be equal')
        here = np.bincount(label.ravel(), minlength=256)
        strange = [int(i) for i in np.flatnonzero(here) if i >= classes and i not in allowed]
        if strange:
            found.append(f'{name}: ids {strange}; known: 0 to {classes - 1}, ignored: {sorted(allowed)}')
        return here, found

    counts = np.zeros(256, np.int64)
    with ThreadPoolExecutor(2) as pool:
        for here, found in pool.map(look, range(len(data))):
            counts += here
            faults += found
    if not len(data):
        faults.append('no labelled image in it')
    elif not faults and not counts[:classes].sum():
        faults.append('no pixel of it is labelled')
    return counts[:classes], faults


def _read(data: Dataset, index: int) -> Tuple[str, Optional[np.ndarray], Optional[np.ndarray], List[str]]:
    """Name, image and label, each None where it cannot be read, and why."""
    if not isinstance(data, PairedFiles):
        try:
            return (*data[index], [])
        except RtsegError as error:
            return '', None, None, [str(error)]
    read: List[Optional[np.ndarray]] = []
    faults: List[str] = []
    for part in (data.image, data.label):
        try:
            read.append(part(index))
        except RtsegError as error:
            read.append(None)
            faults.append(str(error))
    return data.names[index], read[0], read[1], faults


def listed(faults: Sequence[str]) -> str:
    """The faults as lines of a message, all of them."""
    return '\n  '.join(faults)
