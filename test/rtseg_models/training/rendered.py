# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Small rendered street scenes on disk, in CamVid's layout, and a recipe that learns from them in seconds."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, List, Sequence

import cv2

from rtseg_models.datasets.sample import Sample
from rtseg_models.street import Street, StreetFrame
from rtseg_models.training.recipe import Recipe

SIZE = (64, 96)

TINY = Recipe(
    name='tiny',
    network='fast_scnn',
    dataset='camvid',
    input_size=SIZE,
    crop=SIZE,
    scale=(0.8, 1.6),
    rotation=5.0,
    brightness=0.1,
    contrast=0.2,
    saturation=0.2,
    hue=0.1,
    cast=0.1,
    gamma=0.2,
    noise=4.0,
    blur=0.5,
    epochs=3,
    batch=4,
    class_weight_c=1.10,
    ema=0.9,
    validate_every=0,
)
"""Every random change switched on, dropout and averaging too."""

PLAIN = replace(
    TINY,
    scale=(1.0, 1.0),
    rotation=0.0,
    flip=0.0,
    brightness=0.0,
    contrast=0.0,
    saturation=0.0,
    hue=0.0,
    cast=0.0,
    gamma=0.0,
    noise=0.0,
    blur=0.0,
    precision='fp32',
)
"""The same without any random change."""

ONE = replace(TINY, epochs=1, batch=4, precision='fp32')
"""A single step."""


@lru_cache(maxsize=None)  # a street takes a second to lay out
def scene(seed: int) -> StreetFrame:
    """The first frame of a street."""
    return Street(seed, height=SIZE[0], width=SIZE[1]).frame(0)


def write_street(root: Path, train: int = 8, val: int = 2) -> Path:
    """``train`` and ``val`` rendered scenes below ``root``."""
    seed = 500
    for split, count in (('train', train), ('val', val)):
        (root / split).mkdir(parents=True)
        (root / f'{split}annot').mkdir()
        for i in range(count):
            frame = scene(seed)
            cv2.imwrite(str(root / split / f'{split}_{i}.png'), frame.rgb[:, :, ::-1])
            cv2.imwrite(str(root / f'{split}annot' / f'{split}_{i}.png'), frame.label)
            seed += 1
    return root


def runs(lineage: Sequence[str]) -> List[str]:
    """The lines of a lineage without their minutes, which differ from run to run."""
    named, minutes = zip(*(line.split(' in ') for line in lineage))
    assert all(float(words.removesuffix(' min')) >= 0 for words in minutes)
    return list(named)


class Renamed:
    """A dataset under other class names or with another ignore id."""

    def __init__(self, data: Any, **changes: Any) -> None:
        self.data, self.class_set = data, replace(data.class_set, **changes)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        return self.data[index]
