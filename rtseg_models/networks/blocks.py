# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Blocks that several papers share. Every convolution is bias-free and followed by batch norm unless said otherwise."""

from __future__ import annotations

import math
from typing import Dict, Optional, Sequence, Tuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

Size = Tuple[int, int]


class ConvBN(nn.Sequential):
    """Convolution, batch norm and, unless ``act`` is None, an activation. Padding keeps ceil(size / stride)."""

    def __init__(
        self,
        cin: int,
        cout: int,
        kernel: int = 3,
        stride: int = 1,
        *,
        dilation: int = 1,
        groups: int = 1,
        act: Optional[type] = nn.ReLU,
        bias: bool = False,
        padding: Optional[int] = None,
    ) -> None:
        if padding is None:
            padding = dilation * (kernel - 1) // 2
        super().__init__(
            nn.Conv2d(cin, cout, kernel, stride, padding, dilation, groups, bias=bias), nn.BatchNorm2d(cout)
        )
        if act is not None:
            self.append(act(inplace=True))


class DSConv(nn.Sequential):
    """Depthwise 3x3, pointwise 1x1, each with batch norm; no activation between them unless ``dw_act``
    (ContextNet section 2.2.1, Fast-SCNN section 2.2).
    """

    def __init__(
        self, cin: int, cout: int, stride: int = 1, *, act: type = nn.ReLU, dw_act: Optional[type] = None
    ) -> None:
        super().__init__(ConvBN(cin, cin, 3, stride, groups=cin, act=dw_act), ConvBN(cin, cout, 1, act=act))


class Bottleneck(nn.Module):
    """Inverted residual of MobileNetV2 as both papers' Table 2/1 draw it: 1x1 expand, depthwise 3x3, linear 1x1.

    The input is added where input and output sizes are equal. ``expansion`` 1 keeps its 1x1 (ContextNet's 38 layers).
    """

    def __init__(self, cin: int, cout: int, stride: int, expansion: int, *, act: type = nn.ReLU) -> None:
        super().__init__()
        mid = cin * expansion
        self.body = nn.Sequential(
            ConvBN(cin, mid, 1, act=act),
            ConvBN(mid, mid, 3, stride, groups=mid, act=act),
            ConvBN(mid, cout, 1, act=None),
        )
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        y = self.body(x)
        return x + y if self.residual else y


def bottlenecks(
    cin: int, cout: int, repeats: int, stride: int, expansion: int, *, act: type = nn.ReLU
) -> nn.Sequential:
    """A stage of ``repeats`` bottlenecks; only the first strides and changes the width."""
    first = Bottleneck(cin, cout, stride, expansion, act=act)
    return nn.Sequential(first, *(Bottleneck(cout, cout, 1, expansion, act=act) for _ in range(repeats - 1)))


def _pool_matrix(size: int, bins: int) -> Tensor:
    """(bins, size) matrix whose product with a signal is adaptive average pooling, bins as PyTorch places them."""
    matrix = np.zeros((bins, size), np.float32)
    for i in range(bins):
        start, end = i * size // bins, -(-(i + 1) * size // bins)
        matrix[i, start:end] = 1.0 / (end - start)
    return torch.from_numpy(matrix)  # a constant to the exporter, which would trace torch's indexing


def _stretch_matrix(bins: int, size: int, align_corners: bool) -> Tensor:
    """(size, bins) matrix whose product with a signal is linear interpolation to ``size`` samples."""
    matrix = np.zeros((size, bins), np.float32)
    for i in range(size):
        if align_corners:
            x = i * (bins - 1) / (size - 1) if size > 1 else 0.0
        else:
            x = min(max((i + 0.5) * bins / size - 0.5, 0.0), bins - 1.0)
        low = min(math.floor(x), bins - 1)
        high = min(low + 1, bins - 1)
        matrix[i, low] += 1.0 - (x - low)
        matrix[i, high] += x - low
    return torch.from_numpy(matrix)  # a constant to the exporter, which would trace torch's indexing


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al., CVPR 2017) with average pooling written as matrix products.

    An exporter would fix the pooling kernels at the traced size or refuse sizes that the bins do not divide; products
    with matrices computed from the static size mean the same in eager mode and in every runtime. Each bin is reduced to
    ``reduced`` channels (cin / len(bins) if None), stretched back, concatenated with the input and projected to
    ``cout`` by a convolution of size ``kernel``.
    """

    def __init__(
        self,
        cin: int,
        cout: int,
        bins: Sequence[int] = (1, 2, 3, 6),
        *,
        act: type = nn.ReLU,
        align_corners: bool = False,
        reduced: Optional[int] = None,
        kernel: int = 1,
    ) -> None:
        super().__init__()
        self.bins = tuple(bins)
        self.align_corners = align_corners
        mid = cin // len(self.bins) if reduced is None else reduced
        self.reduce = nn.ModuleList(ConvBN(cin, mid, 1, act=act) for _ in self.bins)
        self.project = ConvBN(cin + mid * len(self.bins), cout, kernel, act=act)
        self._matrices: Dict[Tuple[int, int, int, torch.device], Tuple[Tensor, ...]] = {}

    def _factors(self, h: int, w: int, bins: int, device: torch.device) -> Tuple[Tensor, ...]:
        key = (h, w, bins, device)
        if key not in self._matrices:
            with torch.inference_mode(False):  # those that are made in it could not serve a later training
                factors = (
                    _pool_matrix(h, bins),
                    _pool_matrix(w, bins).t(),
                    _stretch_matrix(bins, h, self.align_corners),
                    _stretch_matrix(bins, w, self.align_corners).t(),
                )
                self._matrices[key] = tuple(m.contiguous().to(device) for m in factors)
        return self._matrices[key]

    def forward(self, x: Tensor) -> Tensor:
        h, w = int(x.shape[-2]), int(x.shape[-1])
        levels = [x]
        for bins, reduce in zip(self.bins, self.reduce):
            pool_h, pool_w, back_h, back_w = (m.to(x.dtype) for m in self._factors(h, w, bins, x.device))
            level = reduce(pool_h @ x @ pool_w)  # (N, mid, bins, bins)
            levels.append(back_h @ level @ back_w)  # (N, mid, h, w)
        return self.project(torch.cat(levels, 1))  # (N, cout, h, w)


def resize(x: Tensor, size: Size, align_corners: bool = False) -> Tensor:
    """Bilinear resize to ``size`` (H, W), half-pixel centres unless ``align_corners``."""
    return F.interpolate(x, size=size, mode='bilinear', align_corners=align_corners)


def pad_to_multiple(x: Tensor, multiple: int) -> Tensor:
    """Zero-pad bottom and right until both sides are multiples of ``multiple``.

    Inside a network every stride then divides exactly, so pixel and feature positions keep their true ratio; zero is
    the mean colour after normalisation, and what the convolutions' own padding holds.
    """
    h, w = int(x.shape[-2]), int(x.shape[-1])
    bottom, right = -h % multiple, -w % multiple
    return F.pad(x, (0, right, 0, bottom)) if bottom or right else x


def set_norm_eps(network: nn.Module, eps: float) -> None:
    """Give every batch norm of the network this epsilon; it is not part of a state dict."""
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eps = eps


def crop(logits: Tensor, size: Size, stride: int) -> Tensor:
    """Logits (N,C,h,w) of a padded input cut back to the cells that cover the true ``size`` (H, W)."""
    return logits[..., : -(-size[0] // stride), : -(-size[1] // stride)]


def check_input(x: Tensor, smallest: int, network: str) -> None:
    """ValueError unless x is (N,3,H,W) with both sides at least ``smallest`` pixels."""
    if x.ndim != 4 or x.shape[1] != 3:
        raise ValueError(f'{network} expects images (N,3,H,W), got {tuple(x.shape)}')
    if min(int(x.shape[2]), int(x.shape[3])) < smallest:
        raise ValueError(
            f'{network} needs at least {smallest} pixels on each side, its total stride; '
            f'got {int(x.shape[2])}x{int(x.shape[3])}'
        )
