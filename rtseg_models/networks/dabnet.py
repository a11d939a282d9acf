# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""DABNet: Depth-wise Asymmetric Bottleneck for Real-time Semantic Segmentation (Li, Yun, Kim, Kim, BMVC 2019,
arXiv:1907.11357).

Layout: Table 1 and Figure 1; module: Figure 2c; ablations: Table 2.

From the authors' published code, since the paper does not say: no convolution has a bias; batch norm epsilon 1e-3; one
PReLU slope per channel; batch norm and PReLU after the module's 3x3, after each one-dimensional convolution, on the
branches' sum and after each concatenation; the image shortcut is average pooling 3x3 stride 2, repeated.

Text and code disagree on the inter-block concatenation: the text joins the first module's output to the last one's, the
code the block's input. Both make the published 0.76 M parameters; ``concat`` chooses, the code is the default.
The pyramid head of Table 2 is not described: 65 channels per bin (1, 2, 3, 6) and a 3x3 projection to 512 make its
3.22 M parameters. The ERFNet decoder is fed all 259 channels, which makes its 1.02 M.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import torch
from torch import Tensor, nn

from .blocks import PyramidPooling, check_input, crop, pad_to_multiple, set_norm_eps
from .erfnet import decoder as erf_decoder
from .prelu import PReLU

NORM_EPS = 1e-3
CONCATS = ('block_input', 'first_module')
HEADS = ('linear', 'erf_decoder', 'pyramid')


class NormPReLU(nn.Sequential):
    """Batch norm and PReLU."""

    def __init__(self, width: int) -> None:
        super().__init__(nn.BatchNorm2d(width, eps=NORM_EPS), PReLU(width))


class ConvNormPReLU(nn.Sequential):
    """Convolution without bias, then batch norm and PReLU; padding keeps the size at stride 1."""

    def __init__(
        self, cin: int, cout: int, kernel: Tuple[int, int], stride: int = 1, dilation: int = 1, groups: int = 1
    ) -> None:
        # A kernel side of 1 has no extent to dilate, so the dilation counts only along sides of 3.
        steps = (dilation if kernel[0] > 1 else 1, dilation if kernel[1] > 1 else 1)
        padding = (steps[0] * (kernel[0] // 2), steps[1] * (kernel[1] // 2))
        super().__init__(nn.Conv2d(cin, cout, kernel, stride, padding, steps, groups, bias=False), NormPReLU(cout))


class DABModule(nn.Module):
    """Figure 2c: 3x3 to half the width, a local and a dilated depthwise 3x1-1x3 branch, 1x1 back, residual."""

    def __init__(self, width: int, dilation: int, first_dilation: int = 1) -> None:
        super().__init__()
        half = width // 2
        self.before = NormPReLU(width)
        self.reduce = ConvNormPReLU(width, half, (3, 3), dilation=first_dilation)
        self.local = nn.Sequential(
            ConvNormPReLU(half, half, (3, 1), groups=half), ConvNormPReLU(half, half, (1, 3), groups=half)
        )
        self.context = nn.Sequential(
            ConvNormPReLU(half, half, (3, 1), dilation=dilation, groups=half),
            ConvNormPReLU(half, half, (1, 3), dilation=dilation, groups=half),
        )
        self.sum = NormPReLU(half)
        self.expand = nn.Conv2d(half, width, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        y = self.reduce(self.before(x))  # (N, width/2, h, w)
        return x + self.expand(self.sum(self.local(y) + self.context(y)))  # (N, width, h, w)


class Downsampling(nn.Module):
    """Layers 4 and 8: a 3x3 stride 2 convolution, joined by the 2x2 max-pooled input where there is room for it."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout - cin if cout > cin else cout, 3, 2, 1, bias=False)
        self.pool = nn.MaxPool2d(2, 2) if cout > cin else None
        self.after = NormPReLU(cout)

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        if self.pool is not None:
            y = torch.cat([y, self.pool(x)], 1)
        return self.after(y)  # (N, cout, h/2, w/2)


def _pyramid_head(cin: int, classes: int) -> nn.Sequential:
    """Pyramid pooling with a 3x3 projection and a 1x1 classifier (Table 2, DABNet-SPP)."""
    pooling = PyramidPooling(cin, 512, (1, 2, 3, 6), reduced=-(-cin // 4), kernel=3)
    return nn.Sequential(pooling, nn.Conv2d(512, classes, 1))


class DABNet(nn.Module):
    """DABNet. Input (N,3,H,W) normalised; output logits (N,classes,ceil(H/8),ceil(W/8)), or (N,classes,H,W) with the
    ERFNet decoder.

    ``dilations`` are those of block 1's and block 2's modules. ``first_dilation`` dilates each module's 3x3
    (Table 2b). ``concat`` and ``head`` are among ``CONCATS`` and ``HEADS``.
    """

    multiple = 8

    def __init__(
        self,
        classes: int = 19,
        *,
        dilations: Tuple[Sequence[int], Sequence[int]] = ((2, 2, 2), (4, 4, 8, 8, 16, 16)),
        first_dilation: int = 1,
        concat: str = 'block_input',
        head: str = 'linear',
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f'classes is {classes}; at least 1 is needed')
        if concat not in CONCATS:
            raise ValueError(f'unknown concat {concat!r}; known: {", ".join(CONCATS)}')
        if head not in HEADS:
            raise ValueError(f'unknown head {head!r}; known: {", ".join(HEADS)}')
        if len(dilations) != 2 or not all(dilations):
            raise ValueError(f'dilations are {dilations!r}; two lists with at least one rate each are needed')
        self.concat = concat
        self.stride = 1 if head == 'erf_decoder' else 8
        self.initial = nn.Sequential(
            ConvNormPReLU(3, 32, (3, 3), 2), ConvNormPReLU(32, 32, (3, 3)), ConvNormPReLU(32, 32, (3, 3))
        )
        self.shortcut = nn.AvgPool2d(3, 2, 1)
        self.join1 = NormPReLU(32 + 3)
        self.down1 = Downsampling(32 + 3, 64)
        self.block1 = nn.ModuleList(DABModule(64, d, first_dilation) for d in dilations[0])
        self.join2 = NormPReLU(64 + 64 + 3)
        self.down2 = Downsampling(64 + 64 + 3, 128)
        self.block2 = nn.ModuleList(DABModule(128, d, first_dilation) for d in dilations[1])
        self.join3 = NormPReLU(128 + 128 + 3)
        if head == 'linear':
            self.head: nn.Module = nn.Conv2d(259, classes, 1, bias=False)
        elif head == 'erf_decoder':
            self.head = erf_decoder(classes, 259)
        else:
            self.head = _pyramid_head(259, classes)
        set_norm_eps(self, NORM_EPS)

    def _block(self, modules: nn.ModuleList, x: Tensor) -> Tensor:
        """The last module's output and, behind it, the block's input or the first module's output."""
        outputs = [x]
        for module in modules:
            outputs.append(module(outputs[-1]))
        return torch.cat([outputs[-1], outputs[0 if self.concat == 'block_input' else 1]], 1)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'DABNet')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        x = pad_to_multiple(x, self.multiple)
        half = self.shortcut(x)  # (N, 3, H/2, W/2)
        quarter = self.shortcut(half)  # (N, 3, H/4, W/4)
        eighth = self.shortcut(quarter)  # (N, 3, H/8, W/8)
        y = self.join1(torch.cat([self.initial(x), half], 1))  # (N, 35, H/2, W/2)
        y = self._block(self.block1, self.down1(y))  # (N, 128, H/4, W/4)
        y = self.join2(torch.cat([y, quarter], 1))  # (N, 131, H/4, W/4)
        y = self._block(self.block2, self.down2(y))  # (N, 256, H/8, W/8)
        y = self.join3(torch.cat([y, eighth], 1))  # (N, 259, H/8, W/8)
        return crop(self.head(y), size, self.stride)  # (N, classes, ceil(H/stride), ceil(W/stride))
