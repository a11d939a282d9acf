# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation (Paszke, Chaurasia, Kim, Culurciello,
2016, arXiv:1606.02147).

Layout: Table 1 (initial block, bottlenecks 1.0 to 5.1, full convolution); initial block and bottleneck: Figure 2.
A bottleneck's inner width is a quarter of its output width. Encoder: PReLU, spatial dropout 0.01 in section 1 and 0.1
after it; decoder: ReLU, no dropout. No bias in the projections; batch norm after every convolution, epsilon 1e-3.
Downsampling replaces the first 1x1 by 2x2 stride 2, max-pools the main path and pads it with zero channels; upsampling
sends the main path through a 1x1 convolution and max-unpooling, and uses a 3x3 deconvolution inside.

Chosen here: max-unpooling is nearest upsampling times a mask that is 1 at the maximum of each 2x2 window (the first in
reading order where several are equal), because index-based unpooling has no ONNX operator. That mask
jumps: where two corners differ by less than rounding, two runtimes move the activation to different pixels; one such
window in 10^5 broke the agreement of logits in 3 of 8 random networks. So between corners that differ by less than
``NEAR_TIE`` the mask passes from one to the other linearly; on exact ties and beyond ``NEAR_TIE`` it is the maximum's.
The last full convolution is 2x2 stride 2, as in the authors' code.
"""

from __future__ import annotations

from typing import List, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import check_input, crop, pad_to_multiple, set_norm_eps
from .prelu import PReLU

NORM_EPS = 1e-3
NEAR_TIE = 0.5  # of activations whose spread is about 1


class InitialBlock(nn.Module):
    """Figure 2a: 13 filters 3x3 stride 2 beside the max-pooled image."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 13, 3, 2, 1)
        self.pool = nn.MaxPool2d(2, 2)
        self.after = nn.Sequential(nn.BatchNorm2d(16), PReLU(16))

    def forward(self, x: Tensor) -> Tensor:
        return self.after(torch.cat([self.conv(x), self.pool(x)], 1))  # (N, 16, H/2, W/2)


def _main_convolution(width: int, dilation: int, asymmetric: bool) -> List[nn.Module]:
    if asymmetric:
        return [
            nn.Conv2d(width, width, (5, 1), padding=(2, 0), bias=False),
            nn.Conv2d(width, width, (1, 5), padding=(0, 2)),
        ]
    return [nn.Conv2d(width, width, 3, padding=dilation, dilation=dilation)]


class Bottleneck(nn.Module):
    """Figure 2b without change of size: 1x1, a 3x3, dilated 3x3 or 5x1-1x5, 1x1, added to the input."""

    def __init__(self, width: int, dropout: float, *, dilation: int = 1, asymmetric: bool = False, relu: bool = False):
        super().__init__()
        inner = width // 4
        self.body = nn.Sequential(
            nn.Conv2d(width, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU() if relu else PReLU(inner),
            *_main_convolution(inner, dilation, asymmetric),
            nn.BatchNorm2d(inner),
            nn.ReLU() if relu else PReLU(inner),
            nn.Conv2d(inner, width, 1, bias=False),
            nn.BatchNorm2d(width),
            nn.Dropout2d(dropout),
        )
        self.after = nn.ReLU() if relu else PReLU(width)

    def forward(self, x: Tensor) -> Tensor:
        return self.after(x + self.body(x))  # (N, width, h, w)


class DownBottleneck(nn.Module):
    """Figure 2b, downsampling; the second result is the mask (N, cin, 4, h/2, w/2) of each window's maximum."""

    def __init__(self, cin: int, cout: int, dropout: float) -> None:
        super().__init__()
        inner = cout // 4
        self.padding = cout - cin
        self.body = nn.Sequential(
            nn.Conv2d(cin, inner, 2, 2, bias=False),
            nn.BatchNorm2d(inner),
            PReLU(inner),
            nn.Conv2d(inner, inner, 3, padding=1),
            nn.BatchNorm2d(inner),
            PReLU(inner),
            nn.Conv2d(inner, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
            nn.Dropout2d(dropout),
        )
        self.after = PReLU(cout)

    def forward(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        pooled, mask = max_pool_with_mask(x)
        padded = F.pad(pooled, (0, 0, 0, 0, 0, self.padding))  # (N, cout, h/2, w/2)
        return self.after(padded + self.body(x)), mask


class UpBottleneck(nn.Module):
    """Figure 2b, upsampling to the places that a ``DownBottleneck``'s mask remembers."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        inner = cout // 4
        self.main = nn.Sequential(nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout))
        self.body = nn.Sequential(
            nn.Conv2d(cin, inner, 1, bias=False),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.ConvTranspose2d(inner, inner, 3, 2, 1, output_padding=1),
            nn.BatchNorm2d(inner),
            nn.ReLU(),
            nn.Conv2d(inner, cout, 1, bias=False),
            nn.BatchNorm2d(cout),
        )

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        return F.relu(unpool(self.main(x), mask) + self.body(x))  # (N, cout, 2h, 2w)


def max_pool_with_mask(x: Tensor) -> Tuple[Tensor, Tensor]:
    """2x2 maxima (N,C,h,w) of x (N,C,2h,2w) and their places (N,C,4,h,w): 1 for the first maximum in reading order.

    The four places of a window sum to 1. An earlier corner within ``NEAR_TIE`` of the maximum takes a share of it.
    """
    corners = [x[..., i::2, j::2] for i in (0, 1) for j in (0, 1)]
    pooled = torch.maximum(torch.maximum(corners[0], corners[1]), torch.maximum(corners[2], corners[3]))
    free = torch.ones_like(pooled)  # what the earlier corners left of the window
    places: List[Tensor] = []
    for corner in corners:
        hit = F.relu(1.0 + (corner - pooled).detach() / NEAR_TIE)  # 1 at the maximum, 0 from NEAR_TIE below it
        places.append(hit * free)
        free = free - places[-1]
    return pooled, torch.stack(places, 2)


def unpool(x: Tensor, mask: Tensor) -> Tensor:
    """Put x (N,C,h,w) at the places of ``mask`` (N,C,4,h,w), zero elsewhere: (N,C,2h,2w)."""
    n, c, h, w = (int(s) for s in x.shape)
    spread = (x.unsqueeze(2) * mask).reshape(n, 4 * c, h, w)
    return F.pixel_shuffle(spread, 2)


def _second_section() -> List[nn.Module]:
    """Bottlenecks 2.1 to 2.8, and again 3.1 to 3.8."""
    return [
        Bottleneck(128, 0.1),
        Bottleneck(128, 0.1, dilation=2),
        Bottleneck(128, 0.1, asymmetric=True),
        Bottleneck(128, 0.1, dilation=4),
        Bottleneck(128, 0.1),
        Bottleneck(128, 0.1, dilation=8),
        Bottleneck(128, 0.1, asymmetric=True),
        Bottleneck(128, 0.1, dilation=16),
    ]


class ENet(nn.Module):
    """ENet. Input (N,3,H,W) normalised; output logits (N,classes,H,W)."""

    stride = 1
    multiple = 8

    def __init__(self, classes: int = 19) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f'classes is {classes}; at least 1 is needed')
        self.initial = InitialBlock()
        self.down1 = DownBottleneck(16, 64, 0.01)
        self.section1 = nn.Sequential(*(Bottleneck(64, 0.01) for _ in range(4)))
        self.down2 = DownBottleneck(64, 128, 0.1)
        self.section2 = nn.Sequential(*_second_section())
        self.section3 = nn.Sequential(*_second_section())
        self.up4 = UpBottleneck(128, 64)
        self.section4 = nn.Sequential(*(Bottleneck(64, 0.0, relu=True) for _ in range(2)))
        self.up5 = UpBottleneck(64, 16)
        self.section5 = Bottleneck(16, 0.0, relu=True)
        self.classifier = nn.ConvTranspose2d(16, classes, 2, 2)
        set_norm_eps(self, NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'ENet')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        y = self.initial(pad_to_multiple(x, self.multiple))  # (N, 16, H/2, W/2)
        y, half = self.down1(y)  # (N, 64, H/4, W/4)
        y, quarter = self.down2(self.section1(y))  # (N, 128, H/8, W/8)
        y = self.section3(self.section2(y))  # (N, 128, H/8, W/8)
        y = self.section4(self.up4(y, quarter))  # (N, 64, H/4, W/4)
        y = self.section5(self.up5(y, half))  # (N, 16, H/2, W/2)
        return crop(self.classifier(y), size, self.stride)  # (N, classes, H, W)
