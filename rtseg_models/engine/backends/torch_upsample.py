# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Upsampling and argmax on the GPU, without ever writing full-size logits: a Triton kernel where Triton is installed.

On the GPU dense evaluation in registers is bound by the labels that it writes, so nothing is lazy here. Labels may
differ from the CPU's where the two best classes are within rounding of each other: a GPU fuses multiply and add.
"""

from __future__ import annotations

import importlib
import importlib.util
import logging
from functools import lru_cache
from typing import Any, List, Tuple

import torch
from torch import Tensor

from ..kernels_numpy import LARGEST
from ..postprocess import Grid

_ROWS_AT_ONCE = 64
_log = logging.getLogger('rtseg')


class DeviceGrid:
    """A grid's arrays on a device."""

    def __init__(self, grid: Grid, device: str) -> None:
        self.size = grid.size
        self.row_low = torch.from_numpy(grid.row_low).to(device)
        self.row_fraction = torch.from_numpy(grid.row_fraction).to(device)
        self.column_low = torch.from_numpy(grid.column_low).to(device)
        self.column_fraction = torch.from_numpy(grid.column_fraction).to(device)


_given_up: List[str] = []  # why the fused kernel is not used any more, once it has failed


@lru_cache(maxsize=None)
def _fused() -> Any:
    """The Triton kernel's launcher, or None where Triton is not installed."""
    if importlib.util.find_spec('triton') is None:
        return None
    return importlib.import_module(f'{__package__}.torch_triton').label_logits


def label_logits(logits: Tensor, grid: DeviceGrid) -> Tuple[Tensor, Tensor]:
    """Logits (N,C,h,w) float32 to labels (N,H,W) uint8, lowest class on ties, and whether all of them are finite."""
    if logits.is_cuda and not _given_up:
        try:
            fused = _fused()
            if fused is not None:
                found: Tuple[Tensor, Tensor] = fused(logits, grid)
                return found
        except torch.cuda.OutOfMemoryError:
            raise
        except Exception as error:  # Triton's many: a library too new, no C compiler, no Python.h, a read-only cache
            if 'CUDA error' in str(error):
                raise
            _given_up.append(str(error))  # the error itself would keep the failed run's tensors
            _log.warning('labels are upsampled by PyTorch operations, slower: Triton does not run here (%s)', error)
    return label_in_bands(logits, grid), (logits.abs() < float(LARGEST)).all()


def label_in_bands(logits: Tensor, grid: DeviceGrid) -> Tensor:
    """The labels by PyTorch operations, a band of rows at a time."""
    n, _, h, w = logits.shape
    labels = torch.empty((n, *grid.size), dtype=torch.uint8, device=logits.device)
    right = (grid.column_low + 1).clamp(max=w - 1)
    fx = grid.column_fraction
    for start in range(0, labels.shape[1], _ROWS_AT_ONCE):
        band = slice(start, start + _ROWS_AT_ONCE)
        top, fy = grid.row_low[band], grid.row_fraction[band, None]
        rows = (1 - fy) * logits[:, :, top] + fy * logits[:, :, (top + 1).clamp(max=h - 1)]
        full = (1 - fx) * rows[..., grid.column_low] + fx * rows[..., right]
        labels[:, band] = full.argmax(dim=1).to(torch.uint8)
    return labels
