# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of the demo's video: a large overlay, camera and classes small beside it, a caption and a legend below."""

from __future__ import annotations

from typing import List, Optional, Sequence, Tuple

import cv2
import numpy as np

from rtseg_models.engine.paint import blend, colourise
from rtseg_models.labels import Rgb

HEIGHT = 720
ROW_HEIGHT = 36
BACKGROUND = (24, 26, 30)
TEXT = (232, 232, 232)
ALPHA = 0.5
FONT = cv2.FONT_HERSHEY_DUPLEX
FONT_SCALE = 0.62


class Screen:
    """Composes pictures of one size for images of one size and one set of classes."""

    def __init__(self, camera: Tuple[int, int], names: Sequence[str], colours: Sequence[Rgb]) -> None:
        """``camera`` is the images' (height, width)."""
        self._names, self._colours = names, colours
        self._table = np.zeros((256, 3), np.uint8)
        self._table[: len(colours)] = colours
        self._width = max(4, round(HEIGHT * camera[1] / camera[0] / 4) * 4)
        self._legend = self._legend_rows()
        rows = HEIGHT + ROW_HEIGHT + len(self._legend)
        self.size = (rows, self._width * 3 // 2)

    def compose(self, rgb: np.ndarray, labels: np.ndarray, truth: Optional[np.ndarray], caption: str) -> np.ndarray:
        """A picture (*size, 3) uint8 of an image (H,W,3), its labels (H,W) and, where there is one, its truth (h,w)."""
        picture = np.full((*self.size, 3), BACKGROUND, np.uint8)
        wide, half = self._width, HEIGHT // 2
        picture[:HEIGHT, :wide] = _resize(blend(rgb, labels, self._table, ALPHA), (HEIGHT, wide))
        side = [('camera', _resize(rgb, (half, wide // 2)))]
        if truth is None:
            side.append(('classes', _resize(colourise(labels, self._table), (half, wide // 2))))
        else:
            side.append(('ground truth', _resize(colourise(truth, self._table), (half, wide // 2))))
        for i, (name, image) in enumerate(side):
            picture[i * half : (i + 1) * half, wide:] = image
            _tag(picture, name, (wide, i * half))
        picture[:HEIGHT, wide : wide + 2] = picture[half - 1 : half + 1, wide:] = BACKGROUND
        _text(picture, caption, 12, HEIGHT + ROW_HEIGHT - 12)
        picture[HEIGHT + ROW_HEIGHT :] = self._legend
        return picture

    def _legend_rows(self) -> np.ndarray:
        """Swatches and names in as many rows as they need, (rows * ROW_HEIGHT, width, 3) uint8."""
        width = self._width * 3 // 2
        places: List[Tuple[int, int]] = []
        x, row = 12, 0
        for name in self._names:
            needed = 30 + _text_width(name) + 22
            if x + needed > width and x > 12:
                x, row = 12, row + 1
            places.append((x, row))
            x += needed
        image = np.full(((row + 1) * ROW_HEIGHT, width, 3), BACKGROUND, np.uint8)
        for name, colour, (x, row) in zip(self._names, self._colours, places):
            base = row * ROW_HEIGHT + ROW_HEIGHT - 12
            cv2.rectangle(image, (x, base - 15), (x + 22, base + 2), tuple(colour), -1)
            _text(image, name, x + 30, base)
        return image


def _resize(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    if image.shape[:2] == size:
        return image
    shrinks = size[0] < image.shape[0]
    return np.asarray(cv2.resize(image, size[::-1], interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_CUBIC))


def _tag(picture: np.ndarray, name: str, corner: Tuple[int, int]) -> None:
    """The name of a panel in its upper left corner (x, y)."""
    x, y = corner
    cv2.rectangle(picture, (x, y), (x + _text_width(name) + 20, y + 30), BACKGROUND, -1)
    _text(picture, name, x + 10, y + 21)


def _text(image: np.ndarray, text: str, x: int, y: int) -> None:
    cv2.putText(image, text, (x, y), FONT, FONT_SCALE, TEXT, 1, cv2.LINE_AA)


def _text_width(text: str) -> int:
    return int(cv2.getTextSize(text, FONT, FONT_SCALE, 1)[0][0])
