# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Bilinear upsampling and argmax as one Triton kernel: logits are read, labels are written, nothing lies between."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Tuple

import torch
import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from .torch_upsample import DeviceGrid

_PIXELS = 256


@triton.jit  # type: ignore[untyped-decorator]
def _kernel(  # type: ignore[no-untyped-def]
    logits,
    row_low,
    row_fraction,
    column_low,
    column_fraction,
    labels,
    finite,
    classes,
    h,
    w,
    height,
    width,
    PIXELS: tl.constexpr,
):
    x = tl.program_id(0) * PIXELS + tl.arange(0, PIXELS)
    y = tl.program_id(1)
    n = tl.program_id(2)
    inside = x < width
    top = tl.load(row_low + y)
    fy = tl.load(row_fraction + y)
    left = tl.load(column_low + x, mask=inside, other=0)
    fx = tl.load(column_fraction + x, mask=inside, other=0.0)
    below = tl.minimum(top + 1, h - 1)
    right = tl.minimum(left + 1, w - 1)
    leader = tl.full((PIXELS,), float('-inf'), tl.float32)
    label = tl.zeros((PIXELS,), tl.int32)
    good = tl.full((PIXELS,), 1, tl.int32)
    plane = logits + n.to(tl.int64) * classes * h * w
    for k in range(classes):
        a = tl.load(plane + top * w + left)
        b = tl.load(plane + below * w + left)
        c = tl.load(plane + top * w + right)
        d = tl.load(plane + below * w + right)
        value = (1 - fx) * ((1 - fy) * a + fy * b) + fx * ((1 - fy) * c + fy * d)
        good = tl.where(tl.abs(value) < 1e38, good, 0)
        leads = value > leader
        label = tl.where(leads, k, label)
        leader = tl.where(leads, value, leader)
        plane += h * w
    out = (n.to(tl.int64) * height + y) * width + x
    tl.store(labels + out, label.to(tl.uint8), mask=inside)
    tl.atomic_min(finite, tl.min(good, axis=0))


def label_logits(logits: Tensor, grid: DeviceGrid) -> Tuple[Tensor, Tensor]:
    """Logits (N,C,h,w) float32 to labels (N,H,W) uint8, lowest class on ties, and whether all of them are finite."""
    n, classes, h, w = logits.shape
    height, width = grid.size
    labels = torch.empty((n, height, width), dtype=torch.uint8, device=logits.device)
    finite = torch.ones((), dtype=torch.int32, device=logits.device)
    blocks: Any = (triton.cdiv(width, _PIXELS), height, n)
    _kernel[blocks](
        logits,
        grid.row_low,
        grid.row_fraction,
        grid.column_low,
        grid.column_fraction,
        labels,
        finite,
        classes,
        h,
        w,
        height,
        width,
        PIXELS=_PIXELS,
    )
    return labels, finite
