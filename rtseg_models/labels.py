# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Class sets: the names, colours and ignore id of each labelled dataset. Facts only.

CamVid's 11 classes and their order are those of the SegNet tutorial split (Badrinarayanan et al., 2017);
Cityscapes' 19 train ids, colours and categories are those of its official label table (Cordts et al., 2016).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, Tuple

Rgb = Tuple[int, int, int]

UNLABELLED = 255
"""Value of a mask pixel without a class, in every mask that this package writes."""


@dataclass(frozen=True)
class ClassSet:
    """The classes of a dataset; a class's id is its position in ``names``."""

    name: str
    names: Tuple[str, ...]
    colours: Tuple[Rgb, ...]
    ignore_id: int
    categories: Tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if not len(self.names) == len(self.colours) == len(set(self.names)):
            raise ValueError(f'class set {self.name!r}: names must be unique and have one colour each')

    def __len__(self) -> int:
        return len(self.names)


CAMVID = ClassSet(
    name='camvid',
    names=(
        'sky',
        'building',
        'pole',
        'road',
        'pavement',
        'tree',
        'sign_symbol',
        'fence',
        'car',
        'pedestrian',
        'bicyclist',
    ),
    colours=(
        (128, 128, 128),
        (128, 0, 0),
        (192, 192, 128),
        (128, 64, 128),
        (60, 40, 222),
        (128, 128, 0),
        (192, 128, 128),
        (64, 64, 128),
        (64, 0, 128),
        (64, 64, 0),
        (0, 128, 192),
    ),
    ignore_id=11,
)

CITYSCAPES = ClassSet(
    name='cityscapes',
    names=(
        'road',
        'sidewalk',
        'building',
        'wall',
        'fence',
        'pole',
        'traffic light',
        'traffic sign',
        'vegetation',
        'terrain',
        'sky',
        'person',
        'rider',
        'car',
        'truck',
        'bus',
        'train',
        'motorcycle',
        'bicycle',
    ),
    colours=(
        (128, 64, 128),
        (244, 35, 232),
        (70, 70, 70),
        (102, 102, 156),
        (190, 153, 153),
        (153, 153, 153),
        (250, 170, 30),
        (220, 220, 0),
        (107, 142, 35),
        (152, 251, 152),
        (70, 130, 180),
        (220, 20, 60),
        (255, 0, 0),
        (0, 0, 142),
        (0, 0, 70),
        (0, 60, 100),
        (0, 80, 100),
        (0, 0, 230),
        (119, 11, 32),
    ),
    ignore_id=255,
    categories=(
        ('flat',) * 2
        + ('construction',) * 3
        + ('object',) * 3
        + ('nature',) * 2
        + ('sky',)
        + ('human',) * 2
        + ('vehicle',) * 6
    ),
)

CLASS_SETS: Dict[str, ClassSet] = {s.name: s for s in (CAMVID, CITYSCAPES)}


def class_set(name: str) -> ClassSet:
    """Class set by name; ValueError lists the known ones."""
    if name not in CLASS_SETS:
        raise ValueError(f'unknown class set {name!r}; known: {", ".join(CLASS_SETS)}')
    return CLASS_SETS[name]


def smeared(file: bytes) -> str:
    """Why an image file cannot give back label ids as they were written; empty where it can, or is none.

    JPEG and lossy WebP blend neighbours; OpenCV stretches a grey PNG of 1, 2 or 4 bits over 0 to 255.
    """
    if file.startswith(b'\xff\xd8\xff'):
        return 'a JPEG file, which smears label ids; expected PNG'
    if file[8:16] == b'WEBPVP8 ':
        return 'a lossy WebP file, which smears label ids; expected PNG'
    depth, colour = (file[24], file[25]) if file.startswith(b'\x89PNG') and len(file) > 25 else (8, 0)
    if colour == 0 and depth < 8:
        return f'a PNG file of {depth} bit{"s" * (depth > 1)} a pixel, where label ids have 8'
    return ''
