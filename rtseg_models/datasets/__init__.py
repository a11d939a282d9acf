# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled datasets by name. A dataset lists its samples, checks itself before use and loads one sample at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict, List, Sequence, Tuple

import numpy as np

from ..card import Card
from ..errors import BundleError, NotFound, RtsegError
from ..labels import ClassSet
from .camvid import CamVid
from .check import inspect, listed, unpaired
from .cityscapes import Cityscapes, CityscapesCoarse
from .folder import Folder
from .sample import Dataset, Sample
from .synthetic import Synthetic

DATASETS: Dict[str, Callable[[Path, str], Dataset]] = {
    'camvid': CamVid,
    'cityscapes': Cityscapes,
    'cityscapes_coarse': CityscapesCoarse,
    'folder': Folder,
    'synthetic': Synthetic,
}


def open_dataset(name: str, root: Path, split: str) -> Dataset:
    """Dataset by name; ValueError lists the known ones, NotFound the files without a partner, BundleError twins."""
    if name not in DATASETS:
        raise ValueError(f'unknown dataset {name!r}; known: {", ".join(sorted(DATASETS))}')
    data = DATASETS[name](root, split)
    lonely, twins = unpaired(data)
    if lonely:
        raise NotFound(f'{name} in {root}, files without a partner:\n  {listed(lonely)}')
    if twins:
        raise BundleError(f'{name} in {root}, files of one name:\n  {listed(twins)}')
    return data


def data_name(dataset: str, classes: ClassSet) -> str:
    """What tells a dataset from others: its key, or for layouts that several share the name of its classes."""
    return classes.name if dataset in ('folder', 'cityscapes_coarse') else dataset


def known_as(card: Card, dataset: str, classes: ClassSet) -> str:
    """``data_name``, as the card's weights may know it: a folder that has moved is told by its classes."""
    name, own = data_name(dataset, classes), card.origin.get('recipe', {}).get('dataset')
    moved = dataset == own == 'folder' and name not in card.learnt_from and card.class_names == classes.names
    return card.dataset if moved else name


def open_checked(name: str, root: Path, splits: Sequence[str]) -> Tuple[Dict[str, Dataset], Dict[str, np.ndarray]]:
    """Splits of a dataset, checked whole, and their pixels per class; BundleError lists every fault of all of them."""
    opened: Dict[str, Dataset] = {}
    counts: Dict[str, np.ndarray] = {}
    faults: List[str] = []
    for split in splits:
        try:
            opened[split] = DATASETS[name](root, split)
        except RtsegError as error:
            faults.append(str(error))
            continue
        counts[split], found = inspect(opened[split])
        faults += found
    if faults:
        raise BundleError(f'{name} in {root} cannot be used, {len(faults)} faults:\n  {listed(faults)}')
    return opened, counts


__all__ = ['DATASETS', 'Dataset', 'Sample', 'data_name', 'known_as', 'open_checked', 'open_dataset']
