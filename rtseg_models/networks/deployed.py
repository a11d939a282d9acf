# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The network as it is deployed: camera bytes in, logits out. The only place where pixels are normalised."""

from __future__ import annotations

from typing import Sequence

import torch
from torch import Tensor, nn


class Deployed(nn.Module):
    """A network behind its normalisation: rgb uint8 (N,H,W,3) to float32 logits (N,C,h,w).

    ``mean`` and ``std`` are per channel, red first, in units of 0..1: x = (rgb / 255 - mean) / std. Training calls
    ``normalise``; export traces ``forward``; so the same numbers reach every runtime.
    """

    scale: Tensor
    shift: Tensor

    def __init__(self, network: nn.Module, mean: Sequence[float], std: Sequence[float]) -> None:
        super().__init__()
        self.network = network
        scale = torch.tensor([1.0 / (255.0 * s) for s in std]).view(1, 3, 1, 1)
        shift = torch.tensor([m / s for m, s in zip(mean, std)]).view(1, 3, 1, 1)
        self.register_buffer('scale', scale, persistent=False)
        self.register_buffer('shift', shift, persistent=False)

    def normalise(self, rgb: Tensor) -> Tensor:
        """The network's input from rgb (N,3,H,W), uint8 or float in 0..255."""
        return self._scaled(rgb.to(self.scale.dtype))

    def _scaled(self, pixels: Tensor) -> Tensor:
        return pixels * self.scale - self.shift

    def forward(self, rgb: Tensor) -> Tensor:
        pixels = rgb.to(self.scale.dtype).permute(0, 3, 1, 2)  # in this order: TensorRT takes uint8 into a cast alone
        return self.network(self._scaled(pixels)).float()
