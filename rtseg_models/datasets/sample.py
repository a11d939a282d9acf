# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a dataset is: samples by index, each an image with its label image."""

from __future__ import annotations

from pathlib import Path
from typing import List, NamedTuple, Protocol

import cv2
import numpy as np

from ..errors import BundleError, NotFound
from ..labels import ClassSet


class Sample(NamedTuple):
    """One labelled image: its name, rgb (H,W,3) uint8 and label ids (H,W) uint8."""

    name: str
    rgb: np.ndarray
    label: np.ndarray


class Dataset(Protocol):
    """Samples of one split in the ids of one class set."""

    class_set: ClassSet

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Sample: ...


def read_rgb(path: Path) -> np.ndarray:
    """Image file to rgb (H,W,3) uint8; NotFound or BundleError with the path."""
    bgr = _read(path, cv2.IMREAD_COLOR)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def read_label(path: Path) -> np.ndarray:
    """Label image (single channel, 8 bit) to ids (H,W) uint8; NotFound or BundleError with the path."""
    label = _read(path, cv2.IMREAD_UNCHANGED)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise BundleError(f'{path}: a label image has one 8-bit channel, this one is {label.shape} {label.dtype}')
    return label


def _read(path: Path, flags: int) -> np.ndarray:
    if not path.is_file():
        raise NotFound(f'{path}: no such file')
    image = cv2.imread(str(path), flags)
    if image is None:
        raise BundleError(f'{path}: not an image that can be decoded')
    return image


def list_images(folder: Path) -> List[Path]:
    """Image files of a folder in name order; NotFound where the folder is missing or holds none."""
    if not folder.is_dir():
        raise NotFound(f'{folder}: no such folder')
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise NotFound(f'{folder}: no images in it (looked for {", ".join(sorted(IMAGE_SUFFIXES))})')
    return images


IMAGE_SUFFIXES = {'.png', '.jpg', '.jpeg', '.bmp', '.ppm', '.tif', '.tiff', '.webp'}
