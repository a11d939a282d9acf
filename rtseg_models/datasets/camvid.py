# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""CamVid in the layout of the SegNet tutorial: ``<split>/`` images, ``<split>annot/`` labels of the same names."""

from __future__ import annotations

from pathlib import Path

from ..errors import NotFound
from ..labels import CAMVID
from .sample import PairedFiles, by_stem, list_images


class CamVid(PairedFiles):
    """A split of CamVid (Brostow et al., 2009): 360x480 images, 11 classes, 11 unlabelled."""

    domain = 'drives of one car in Cambridge, left-hand traffic, by day and one near dusk; no rain, no night'

    def __init__(self, root: Path, split: str) -> None:
        images = by_stem(list_images(root / split))
        labels = root / f'{split}annot'
        if not labels.is_dir():
            raise NotFound(f'{labels}: no such folder; it should hold the label images of {root / split}')
        super().__init__(CAMVID, images, by_stem(list_images(labels)))
