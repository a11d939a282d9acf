# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Masks for people: colours, overlays and the legend."""

from __future__ import annotations

from typing import Optional, Sequence

import cv2
import numpy as np

from ..labels import Rgb
from . import kernels


def colourise(labels: np.ndarray, table: np.ndarray, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Labels (H,W) uint8 to colours (H,W,k) uint8 by a (256,k) uint8 table; into ``out`` where given."""
    channels = table.shape[1]
    if out is None:
        out = np.empty((*labels.shape, channels), np.uint8)
    if channels == 3:
        kernels.colourise(np.ascontiguousarray(labels), table, out)
    else:
        np.take(table, labels, axis=0, out=out, mode='clip')
    return out


def blend(
    rgb: np.ndarray, labels: np.ndarray, table: np.ndarray, alpha: float, out: Optional[np.ndarray] = None
) -> np.ndarray:
    """Overlay (H,W,3) uint8: ``alpha`` parts colour, the rest image; into ``out`` where given.

    ``alpha`` is 0 to 1 and rounded to 1/256. Pixels labelled 255 keep the image.
    """
    if out is None:
        out = np.empty(rgb.shape, np.uint8)
    kernels.blend(np.ascontiguousarray(rgb), np.ascontiguousarray(labels), table, round(256 * alpha), out)
    return out


def legend(names: Sequence[str], colours: Sequence[Rgb], row_height: int = 28) -> np.ndarray:
    """Swatches and names, one class a row, as rgb (rows * row_height, width, 3) uint8."""
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, row_height / 50
    widest = max(cv2.getTextSize(n, font, scale, 1)[0][0] for n in names)
    image = np.full((row_height * len(names), row_height * 2 + widest + 12, 3), 32, np.uint8)
    for i, (name, colour) in enumerate(zip(names, colours)):
        top = i * row_height
        cv2.rectangle(image, (6, top + 4), (row_height * 2 - 8, top + row_height - 4), tuple(colour), -1)
        cv2.putText(
            image, name, (row_height * 2, top + int(row_height * 0.7)), font, scale, (235, 235, 235), 1, cv2.LINE_AA
        )
    return image
