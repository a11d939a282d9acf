# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered streets as a dataset: every sample another street, drawn when it is asked for."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound
from ..labels import CAMVID
from ..street import Street
from .sample import Sample

SPLITS = {'train': (0, 600), 'val': (100_000, 60), 'test': (200_000, 60)}
"""First seed and number of samples of each split."""

HEIGHT, WIDTH = 720, 1280


class Synthetic:
    """A split of rendered 720x1280 frames in CamVid's classes.

    ``root`` is not read: there are no files. NotFound for an unknown split lists the known ones.
    """

    class_set = CAMVID
    domain = 'rendered streets'

    def __init__(self, root: Path, split: str) -> None:
        if split not in SPLITS:
            raise NotFound(f'unknown split {split!r}; known: {", ".join(SPLITS)}')
        self.split = split
        self.first_seed, self.count = SPLITS[split]

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        if not 0 <= index < self.count:
            raise IndexError(f'sample {index} of {self.split!r}, which has {self.count}')
        frame = Street(self.first_seed + index, height=HEIGHT, width=WIDTH).frame(index % 100)
        return Sample(f'{self.split}_{index:04d}', frame.rgb, frame.label)
