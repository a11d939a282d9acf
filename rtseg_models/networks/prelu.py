# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PReLU (He et al., ICCV 2015, arXiv:1502.01852) with a faster gradient on CPUs."""

from __future__ import annotations

from typing import Any, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class _SlopePerChannel(torch.autograd.Function):
    """``F.prelu`` of x (N,C,...) and slopes (C,), with its gradient in four plain passes.

    PyTorch 2.13's own CPU kernel for the gradient is not vectorised: a quarter of a training step of DABNet.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, slopes: Tensor) -> Tensor:
        y = F.prelu(x, slopes)
        ctx.save_for_backward(x.to(y.dtype), slopes)  # under autocast y has the lower precision
        return y

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> Tuple[Tensor, Tensor]:
        (grad,) = grads
        x, slopes = ctx.saved_tensors
        above = torch.ops.aten.threshold_backward(grad, x, 0)
        below = grad - above
        others = [d for d in range(x.ndim) if d != 1]
        of_slopes = (below * x).sum(others, dtype=torch.promote_types(x.dtype, torch.float32))
        shaped = slopes.to(x.dtype).view(-1, *[1] * (x.ndim - 2))
        return torch.addcmul(above, below, shaped), of_slopes.to(slopes.dtype)


class PReLU(nn.PReLU):
    """``nn.PReLU(width)``, one slope for each of the ``width`` channels of (N,C,...)."""

    def __init__(self, width: int) -> None:
        super().__init__(width)

    def forward(self, x: Tensor) -> Tensor:
        if self.training and x.device.type == 'cpu':
            y: Tensor = _SlopePerChannel.apply(x, self.weight)
            return y
        return super().forward(x)
