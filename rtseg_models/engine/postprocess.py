# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From logits at the network's stride to labels at camera size: bilinear upsampling and argmax."""

from __future__ import annotations

from typing import Tuple

import numpy as np

from ..card import Size


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


def dense_labels(logits: np.ndarray, size: Size, net: Size, stride: int, align_corners: bool = False) -> np.ndarray:
    """Labels (H,W) uint8 of logits (C,h,w) by dense evaluation in float32; lowest id on ties."""
    interpolated = upsample(logits, size, net, stride, align_corners)
    return interpolated.argmax(axis=0).astype(np.uint8)


def upsample(logits: np.ndarray, size: Size, net: Size, stride: int, align_corners: bool = False) -> np.ndarray:
    """Logits (C,h,w) interpolated to ``size`` as (C,H,W) float32: rows first, then columns."""
    logits = logits.astype(np.float32, copy=False)
    _, h, w = logits.shape
    top, bottom, fy = _neighbours(source_positions(size[0], net[0], stride, h, align_corners))
    left, right, fx = _neighbours(source_positions(size[1], net[1], stride, w, align_corners))
    fy = fy[:, None]
    rows = (1 - fy) * logits[:, top] + fy * logits[:, bottom]  # (C, H, w)
    return (1 - fx) * rows[:, :, left] + fx * rows[:, :, right]  # (C, H, W)


def _neighbours(positions: np.ndarray) -> Tuple[np.ndarray, np.ndarray, np.ndarray]:
    low = np.floor(positions).astype(np.intp)
    high = np.minimum(low + 1, int(np.ceil(positions[-1])) if len(positions) else 0)
    return low, high, (positions - low).astype(np.float32)
