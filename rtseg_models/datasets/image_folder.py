# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Classified images for pre-training: ``<split>/<class>/`` holds the images of a class, as ImageNet is laid out."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Dict, List, Sequence, Tuple

import numpy as np

from ..errors import BundleError, NotFound, RtsegError
from ..labels import UNLABELLED, ClassSet
from .check import listed
from .sample import Sample, list_images, read_rgb


class ImageFolder:
    """A split of a folder of classified images; a sample's label is its class () int64, not an image.

    ``faults`` names the classes without images.
    """

    def __init__(self, root: Path, split: str) -> None:
        folder = root / split
        names = sorted(p.name for p in folder.iterdir() if p.is_dir()) if folder.is_dir() else []
        if len(names) < 2:
            raise NotFound(f'{folder}: {len(names)} folders of classes in it; at least 2 are needed')
        self.class_set = ClassSet(root.resolve().name, tuple(names), ((0, 0, 0),) * len(names), UNLABELLED)
        self.images: List[Tuple[Path, int]] = []
        self.faults: List[str] = []
        for number, name in enumerate(names):
            try:
                self.images += [(path, number) for path in list_images(folder / name)]
            except NotFound as error:
                self.faults.append(str(error))

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        path, number = self.images[index]
        return Sample(path.stem, read_rgb(path), np.array(number, np.int64))

    def counts(self) -> np.ndarray:
        """Images per class (C,)."""
        return np.bincount([number for _, number in self.images], minlength=len(self.class_set))


def open_images(root: Path, splits: Sequence[str] = ('train', 'val')) -> Dict[str, ImageFolder]:
    """The splits of a folder of classified images, each image decoded once; BundleError lists every fault."""
    opened: Dict[str, ImageFolder] = {}
    faults: List[str] = []
    for split in splits:
        try:
            opened[split] = ImageFolder(root, split)
            faults += opened[split].faults
        except RtsegError as error:
            faults.append(str(error))
    if len({data.class_set.names for data in opened.values()}) > 1:
        faults.append(f'{" and ".join(opened)} have different classes')

    def fault(sample: Tuple[ImageFolder, int]) -> str:
        try:
            sample[0][sample[1]]
        except RtsegError as error:
            return str(error)
        return ''

    with ThreadPoolExecutor() as pool:
        faults += filter(None, pool.map(fault, [(d, i) for d in opened.values() for i in range(len(d))]))
    if faults:
        raise BundleError(f'images in {root} cannot be used, {len(faults)} faults:\n  {listed(faults)}')
    return opened
