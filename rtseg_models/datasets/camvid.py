# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CamVid in the layout of the SegNet tutorial: ``<split>/`` images, ``<split>annot/`` label images of the same names."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound
from ..labels import CAMVID
from .sample import Sample, list_images, read_label, read_rgb


class CamVid:
    """A split of CamVid (Brostow et al., 2009): 360x480 images, 11 classes, 11 unlabelled.

    NotFound lists images without a label image and label images without an image.
    """

    class_set = CAMVID

    def __init__(self, root: Path, split: str) -> None:
        self.images = list_images(root / split)
        labels = root / f'{split}annot'
        if not labels.is_dir():
            raise NotFound(f'{labels}: no such folder; it should hold the label images of {root / split}')
        names = {p.name for p in self.images}
        have = {p.name for p in labels.iterdir()}
        if names != have:
            lonely = [f'{split}/{n}' for n in sorted(names - have)] + [
                f'{labels.name}/{n}' for n in sorted(have - names)
            ]
            raise NotFound(f'{root}: without a partner: {", ".join(lonely)}')
        self.labels = [labels / p.name for p in self.images]

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, index: int) -> Sample:
        return Sample(self.images[index].stem, read_rgb(self.images[index]), read_label(self.labels[index]))
