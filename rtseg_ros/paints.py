# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From labels to pictures for people, with the tables of one network made ahead."""

from __future__ import annotations

from typing import Dict

import numpy as np

from rtseg_models.card import Card
from rtseg_models.engine.paint import blend, legend
from rtseg_models.engine.preprocess import stretch
from rtseg_models.labels import UNLABELLED


class Paints:
    """Everything that turns a network's labels into colours, made once per network."""

    def __init__(self, card: Card) -> None:
        rgb = np.array(card.colour_table(), np.uint8)
        opaque = np.where(np.arange(256) == UNLABELLED, 0, 255).astype(np.uint8)
        self.tables: Dict[str, np.ndarray] = {
            'rgb8': rgb,
            'bgr8': np.ascontiguousarray(rgb[:, ::-1]),
            'rgba8': np.concatenate([rgb, opaque[:, None]], axis=1),
        }
        self.legend = legend(card.class_names, card.colours)

    def overlay(self, rgb: np.ndarray, labels: np.ndarray, alpha: float, with_legend: bool) -> np.ndarray:
        """The image (H,W,3) at the labels' size under the class colours, the legend in its top left corner."""
        if rgb.shape[:2] != labels.shape:
            rgb = stretch(rgb, labels.shape)[0]
        picture = blend(rgb, labels, self.tables['rgb8'], alpha)
        if with_legend:
            rows, columns = (min(a, b) for a, b in zip(picture.shape[:2], self.legend.shape[:2]))
            picture[:rows, :columns] = self.legend[:rows, :columns]
        return picture
