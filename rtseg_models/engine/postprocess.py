# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From logits at the network's stride to labels at camera size: exact bilinear upsampling and argmax.

Interpolation weights are non-negative and sum to one, so where the four logits around a pixel share their argmax, by
more than float32 rounding can turn, that class is the pixel's. Only cells on class borders are interpolated, and of
their classes only those that can win; rows in which borders prevail are evaluated at every pixel. The labels equal
``dense_labels`` bit for bit.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Optional, Tuple

import numpy as np

from ..card import Size
from ..machine import CORES
from . import kernels

_PIXELS_PER_BAND = 1 << 20
"""Fewer are labelled sooner by one thread than by two."""
_CONFIDENCES_PER_BAND = 1 << 16


@dataclass(frozen=True, eq=False)  # a key by what it is
class Grid:
    """Where the pixels of an output lie between the logits of a network.

    For each output row: the logit row above it (int32) and the fraction of the way to the next (float32); for
    columns likewise. ``size`` is the output's, ``cells`` the logits' (h, w).
    """

    size: Size
    cells: Size
    row_low: np.ndarray
    row_fraction: np.ndarray
    column_low: np.ndarray
    column_fraction: np.ndarray

    @staticmethod
    @lru_cache(maxsize=32)
    def between(size: Size, net: Size, stride: int, cells: Size, align_corners: bool = False) -> Grid:
        """The grid from logits of a network with input size ``net`` to an image of ``size``."""
        rows = _split(source_positions(size[0], net[0], stride, cells[0], align_corners))
        columns = _split(source_positions(size[1], net[1], stride, cells[1], align_corners))
        return Grid(size, cells, *rows, *columns)

    @property
    def lines(self) -> Tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        """The four arrays in the order in which the pixel loops take them."""
        return self.row_low, self.row_fraction, self.column_low, self.column_fraction


def cells_of(net: Size, stride: int) -> Size:
    """Height and width of the logits of a network with input size ``net``."""
    return -(-net[0] // stride), -(-net[1] // stride)


def source_positions(count: int, net: int, stride: int, cells: int, align_corners: bool) -> np.ndarray:
    """Where ``count`` output pixels lie on the logit grid (float64), clamped to [0, cells - 1].

    Half-pixel centres: (dst + 0.5) x (net / count) / stride - 0.5; with ``align_corners`` the outer centres coincide.
    """
    dst = np.arange(count, dtype=np.float64)
    if align_corners:
        positions = dst * ((cells - 1) / (count - 1)) if count > 1 else dst
    else:
        positions = (dst + 0.5) * (net / count) / stride - 0.5
    return np.clip(positions, 0.0, cells - 1.0)


def lazy_labels(logits: np.ndarray, grid: Grid, out: Optional[np.ndarray] = None) -> Optional[np.ndarray]:
    """Labels (H,W) uint8 of logits (C,h,w), lowest id on ties; None where the logits hold NaN or infinity.

    ``out`` (H,W) uint8, C-contiguous, receives the labels where it is given; else the array is fresh. fp16 and bf16
    logits are widened to float32 first. Logits that no pixel lies between, as when shrinking, are not looked at.
    """
    logits = _widened(logits)
    c, h, w = logits.shape
    labels = np.empty(grid.size, np.uint8) if out is None else out

    def band(first: int, last: int) -> bool:
        return kernels.upsample_argmax(logits, c, h, w, *grid.lines, first, last, labels)

    work = max(labels.size, logits.size // 4)
    finite = kernels.in_bands(band, grid.size[0], _bands(work, _PIXELS_PER_BAND))
    return labels if all(finite) else None


def confidence_of(logits: np.ndarray, grid: Grid, labels: np.ndarray, threshold: float) -> np.ndarray:
    """Confidence (H,W) uint8, round(255 x largest softmax share), of finite logits (C,h,w): a dense pass.

    Pixels of ``labels`` whose share is below ``threshold`` become 255.
    """
    logits = _widened(logits)
    c, h, w = logits.shape
    confidence = np.empty(grid.size, np.uint8)

    def band(first: int, last: int) -> None:
        kernels.upsample_confidence(logits, c, h, w, *grid.lines, first, last, threshold, labels, confidence)

    kernels.in_bands(band, grid.size[0], _bands(labels.size, _CONFIDENCES_PER_BAND))
    return confidence


def dense_labels(logits: np.ndarray, size: Size, net: Size, stride: int, align_corners: bool = False) -> np.ndarray:
    """Labels (H,W) uint8 of logits (C,h,w) by evaluating every class at every pixel: the definition, in plain NumPy."""
    labels: np.ndarray = upsample(logits, size, net, stride, align_corners).argmax(axis=0).astype(np.uint8)
    return labels


def upsample(logits: np.ndarray, size: Size, net: Size, stride: int, align_corners: bool = False) -> np.ndarray:
    """Logits (C,h,w) interpolated to ``size`` as (C,H,W) float32: rows first, then columns."""
    logits = logits.astype(np.float32, copy=False)
    _, h, w = logits.shape
    grid = Grid.between(size, net, stride, (h, w), align_corners)
    fy, fx = grid.row_fraction[:, None], grid.column_fraction
    below, right = np.minimum(grid.row_low + 1, h - 1), np.minimum(grid.column_low + 1, w - 1)
    rows = (1 - fy) * logits[:, grid.row_low] + fy * logits[:, below]  # (C, H, w)
    full: np.ndarray = (1 - fx) * rows[:, :, grid.column_low] + fx * rows[:, :, right]  # (C, H, W)
    return full


def _split(positions: np.ndarray) -> Tuple[np.ndarray, np.ndarray]:
    low = np.floor(positions)
    return low.astype(np.int32), (positions - low).astype(np.float32)


def _widened(logits: np.ndarray) -> np.ndarray:
    return np.ascontiguousarray(logits, dtype=np.float32)


def _bands(work: int, per_band: int) -> int:
    return max(1, min(CORES, work // per_band))
