# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a dataset is: samples by index, each an image with its label image."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterable, List, NamedTuple, Optional, Protocol, Sequence, Tuple

import cv2
import numpy as np

from ..errors import BundleError, ConfigurationError, NotFound
from ..labels import ClassSet, smeared


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


class PairedFiles:
    """A dataset of image files, each with a label file of the same name.

    ``lonely`` lists the files that have no partner, ``twins`` those whose name another has, too.
    """

    def __init__(self, class_set: ClassSet, images: Dict[str, List[Path]], labels: Dict[str, List[Path]]) -> None:
        self.class_set = class_set
        self.names: List[str] = sorted(images.keys() & labels.keys())
        self.pairs: List[Tuple[Path, Path]] = [(images[n][0], labels[n][0]) for n in self.names]
        self.lonely = [f'{images[n][0]}: no label image' for n in sorted(images.keys() - labels.keys())]
        self.lonely += [f'{labels[n][0]}: no image' for n in sorted(labels.keys() - images.keys())]
        groups = [*images.values(), *labels.values()]
        self.twins = [f'{twin}: has the name of {first}' for first, *others in groups for twin in others]

    def __len__(self) -> int:
        return len(self.names)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.names[index], self.image(index), self.label(index))

    def image(self, index: int) -> np.ndarray:
        """Rgb (H,W,3) uint8 of a sample; NotFound or BundleError with the path."""
        return read_rgb(self.pairs[index][0])

    def label(self, index: int) -> np.ndarray:
        """Label ids (H,W) uint8 of a sample; NotFound or BundleError with the path."""
        path = self.pairs[index][1]
        return self.ids(read_label(path), path)

    def ids(self, label: np.ndarray, path: Path) -> np.ndarray:
        """Class ids of what a label file holds; the same numbers unless a dataset says otherwise."""
        return label


class Subset:
    """Some samples of a dataset."""

    def __init__(self, data: Dataset, indices: Sequence[int]) -> None:
        self.data, self.indices, self.class_set = data, list(indices), data.class_set

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> Sample:
        return self.data[self.indices[index]]


def hold_out(data: Dataset, beginning: str) -> Tuple[Dataset, Dataset]:
    """The samples whose name does not start with ``beginning``, and those whose name does.

    NotFound where one of the two is empty: a drive that is not there cannot be held out.
    """
    names = _names(data)
    if names is None:
        raise ConfigurationError(f'hold_out is {beginning!r}; only datasets of files have names to hold out by')
    held = [i for i, name in enumerate(names) if name.startswith(beginning)]
    kept = [i for i, name in enumerate(names) if not name.startswith(beginning)]
    if not held or not kept:
        raise NotFound(f'hold_out is {beginning!r}: {len(held)} of {len(data)} sample names start so')
    return Subset(data, kept), Subset(data, held)


class Joined:
    """Several datasets of one class set, one after another."""

    def __init__(self, parts: Sequence[Dataset]) -> None:
        self.parts, self.class_set = list(parts), parts[0].class_set

    def __len__(self) -> int:
        return sum(len(p) for p in self.parts)

    def __getitem__(self, index: int) -> Sample:
        for part in self.parts:
            if index < len(part):
                return part[index]
            index -= len(part)
        raise IndexError(f'sample {index} past the end')


def _names(data: Dataset) -> Optional[List[str]]:
    """The samples' names without reading them; None where they are not files."""
    if isinstance(data, Joined):
        parts = [_names(part) for part in data.parts]
        return None if None in parts else [name for part in parts for name in part or ()]
    return data.names if isinstance(data, PairedFiles) else None


def read_rgb(path: Path) -> np.ndarray:
    """Image file to rgb (H,W,3) uint8; NotFound or BundleError with the path.

    Pixels stay where the sensor put them: an EXIF orientation is ignored, as in label files and on the node.
    """
    bgr = _decoded(path, _bytes(path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.ascontiguousarray(bgr[:, :, ::-1])


def read_label(path: Path) -> np.ndarray:
    """Label image (single channel, 8 bit) to ids (H,W) uint8; NotFound or BundleError with the path."""
    data = _bytes(path)
    if smeared(data):
        raise BundleError(f'{path}: {smeared(data)}')
    if data[:8] == b'\x89PNG\r\n\x1a\n' and data[25:26] == b'\x03':
        raise BundleError(f'{path}: a PNG with a palette, whose indices OpenCV cannot read; save them as grey values')
    label = _decoded(path, data, cv2.IMREAD_UNCHANGED)
    if label.ndim != 2 or label.dtype != np.uint8:
        raise BundleError(f'{path}: a label image has one 8-bit channel, this one is {label.shape} {label.dtype}')
    return label


def _bytes(path: Path) -> bytes:
    if not path.is_file():
        raise NotFound(f'{path}: no such file')
    try:
        return path.read_bytes()
    except OSError as error:
        raise BundleError(f'{path}: cannot be read: {error.strerror}') from error


def _decoded(path: Path, data: bytes, flags: int) -> np.ndarray:
    if data.startswith(b'\x89PNG') and b'IEND' not in data[-64:]:
        # OpenCV would decode the rows that are there and leave the others black.
        raise BundleError(f'{path}: a truncated PNG, {len(data)} bytes without an end')
    try:
        image: Optional[np.ndarray] = cv2.imdecode(np.frombuffer(data, np.uint8), flags) if data else None
    except cv2.error as error:
        raise BundleError(f'{path}: not decoded by OpenCV: {error.err}') from error
    if image is None:
        raise BundleError(f'{path}: not an image that can be decoded')
    return image


def by_stem(files: Sequence[Path]) -> Dict[str, List[Path]]:
    """Files by their name without its suffix, which several may share."""
    return by_name((path.stem, path) for path in files)


def by_name(files: Iterable[Tuple[str, Path]]) -> Dict[str, List[Path]]:
    """Files by the name that image and label share."""
    found: Dict[str, List[Path]] = {}
    for name, path in files:
        found.setdefault(name, []).append(path)
    return found


def list_images(folder: Path) -> List[Path]:
    """Image files of a folder in name order; NotFound where the folder is missing or holds none."""
    if not folder.is_dir():
        raise NotFound(f'{folder}: no such folder')
    images = sorted(p for p in folder.iterdir() if p.suffix.lower() in IMAGE_SUFFIXES)
    if not images:
        raise NotFound(f'{folder}: no images in it (looked for {", ".join(sorted(IMAGE_SUFFIXES))})')
    return images


IMAGE_SUFFIXES = {'.png', '.jpg', '.jpeg', '.bmp', '.ppm', '.tif', '.tiff', '.webp'}
