# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""FarSee-Net: Real-Time Semantic Segmentation by Efficient Multi-scale Context Aggregation and Feature Space
Super-resolution (Zhang, Zhang, ICRA 2020, arXiv:2003.03913).

Factorised ASPP and its cascade: section III-B; sub-pixel convolutions: section III-C; layout: Figure 3; the four
methods of the ablation: section IV-C, Table I.

From the text: high-level feature = last convolution before global average pooling; branches 1x1 then depthwise 3x3
atrous, 512 -> 256 in the first F-ASPP, fewer channels in the second; two sub-pixel convolutions, the last with factor 4
and one channel per class; batch norm and ReLU after every convolution; plain stride-32 ResNet-18.
Reconstructed, after the one independent public implementation, since the text does not say: rates 6, 12, 18 and a 1x1
branch; the second F-ASPP has width 128 and rates 6 and 12; no image-pooling branch; the low feature is reduced to 48
channels; 1x1 and 3x3 of width 512 before the last sub-pixel convolution; no batch norm on the sub-pixel 1x1s
(``subpixel_norm`` adds it to the first, as the text's blanket rule would have it).
The text takes the low feature from "conv3_x", which is at stride 8; the implementation takes it at stride 16, where a
factor of 2 leads to. ``low_stride`` chooses; the first sub-pixel factor is 32 / low_stride, so any front-end fits.
With the last factor of 4 the logits are at low_stride / 4: for labels at a higher resolution than the input (section
III-C), resize the logits to the labels' size in the loss.
Methods 1 and 2 use DeepLabV3+'s decoder (48 low-level channels at conv3_x, two 3x3 of 256); method 3 replaces the first
sub-pixel convolution by a 1x1 to 512 channels and bilinear resizing, the last by a 1x1.
"""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Optional, Sequence, Union

import torch
from torch import Tensor, nn

from .blocks import ConvBN, check_input, crop, pad_to_multiple, resize
from .frontends import Features, build_frontend, load_frontend

HIGH_STRIDE = 32
METHODS = (1, 2, 3, 4)
LOW_STRIDES = (4, 8, 16)
RATES = (6, 12, 18)
ASPP_WIDTH = 256
CASCADE_WIDTH = 128
REFINE_WIDTH = 512
LOW_WIDTH = 48


class FactorizedASPP(nn.Module):
    """F-ASPP: a 1x1 branch and, per rate, 1x1 then depthwise atrous 3x3; (N,cin,h,w) to (N,(1+rates) width,h,w)."""

    def __init__(self, cin: int, width: int, rates: Sequence[int]) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvBN(cin, width, 1)])
        for rate in rates:
            self.branches.append(
                nn.Sequential(ConvBN(cin, width, 1), ConvBN(width, width, 3, dilation=rate, groups=width))
            )

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([branch(x) for branch in self.branches], 1)


class ASPP(nn.Module):
    """The original module (Chen et al., 2017): 1x1, three dense atrous 3x3, image pooling, projection to 256."""

    def __init__(self, cin: int) -> None:
        super().__init__()
        self.branches = nn.ModuleList([ConvBN(cin, ASPP_WIDTH, 1)])
        self.branches.extend(ConvBN(cin, ASPP_WIDTH, 3, dilation=rate) for rate in RATES)
        self.image = ConvBN(cin, ASPP_WIDTH, 1)
        self.project = ConvBN((len(RATES) + 2) * ASPP_WIDTH, ASPP_WIDTH, 1)

    def forward(self, x: Tensor) -> Tensor:
        image = self.image(x.mean((2, 3), keepdim=True)).expand(-1, -1, int(x.shape[-2]), int(x.shape[-1]))
        return self.project(torch.cat([*(branch(x) for branch in self.branches), image], 1))  # (N, 256, h, w)


class SubPixel(nn.Sequential):
    """Sub-pixel convolution (Shi et al., CVPR 2016): 1x1 to cout t^2 channels, shuffled to t times the size."""

    def __init__(self, cin: int, cout: int, factor: int, norm: bool = False) -> None:
        wide = cout * factor * factor
        convolution: nn.Module = ConvBN(cin, wide, 1) if norm else nn.Conv2d(cin, wide, 1, bias=False)
        super().__init__(convolution, nn.PixelShuffle(factor))


class DeepLabBackend(nn.Module):
    """Methods 1 and 2: ASPP, or one F-ASPP projected to 256, with DeepLabV3+'s decoder; logits at the low stride."""

    def __init__(self, high: int, low: int, classes: int, factorized: bool) -> None:
        super().__init__()
        if factorized:
            self.context: nn.Module = nn.Sequential(
                FactorizedASPP(high, ASPP_WIDTH, RATES), ConvBN((len(RATES) + 1) * ASPP_WIDTH, ASPP_WIDTH, 1)
            )
        else:
            self.context = ASPP(high)
        self.reduce_low = ConvBN(low, LOW_WIDTH, 1)
        self.decode = nn.Sequential(
            ConvBN(ASPP_WIDTH + LOW_WIDTH, ASPP_WIDTH),
            ConvBN(ASPP_WIDTH, ASPP_WIDTH),
            nn.Conv2d(ASPP_WIDTH, classes, 1),
        )

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        up = resize(self.context(high), (int(low.shape[-2]), int(low.shape[-1])))  # (N, 256, h, w) of low
        return self.decode(torch.cat([up, self.reduce_low(low)], 1))  # (N, classes, h, w)


class CascadeBackend(nn.Module):
    """Methods 3 and 4: two cascaded F-ASPPs; ``factor`` is the first sub-pixel factor, None for method 3."""

    def __init__(self, high: int, low: int, classes: int, factor: Optional[int], subpixel_norm: bool) -> None:
        super().__init__()
        wide = (len(RATES) + 1) * ASPP_WIDTH
        self.context = FactorizedASPP(high, ASPP_WIDTH, RATES)
        self.enlarge: nn.Module
        self.classify: nn.Module
        if factor is None:
            self.enlarge = ConvBN(wide, REFINE_WIDTH, 1)
            self.classify = nn.Conv2d(REFINE_WIDTH, classes, 1)
        else:
            self.enlarge = SubPixel(wide, REFINE_WIDTH, factor, subpixel_norm)
            self.classify = SubPixel(REFINE_WIDTH, classes, 4)
        self.reduce_low = ConvBN(low, LOW_WIDTH, 1)
        self.cascade = FactorizedASPP(REFINE_WIDTH + LOW_WIDTH, CASCADE_WIDTH, RATES[:2])
        self.refine = nn.Sequential(ConvBN(3 * CASCADE_WIDTH, REFINE_WIDTH, 1), ConvBN(REFINE_WIDTH, REFINE_WIDTH))

    def forward(self, high: Tensor, low: Tensor) -> Tensor:
        y = self.enlarge(self.context(high))  # (N, 512, h, w) of low; of high for method 3
        if y.shape[-2:] != low.shape[-2:]:
            y = resize(y, (int(low.shape[-2]), int(low.shape[-1])))  # (N, 512, h, w) of low
        y = self.cascade(torch.cat([y, self.reduce_low(low)], 1))  # (N, 384, h, w)
        return self.classify(self.refine(y))  # (N, classes, 4h, 4w); (N, classes, h, w) for method 3


class FarSeeNet(nn.Module):
    """FarSee-Net. Input (N,3,H,W) normalised; output logits (N,classes,ceil(H/stride),ceil(W/stride)).

    ``method`` is a row of the paper's ablation (4 = the full network), ``frontend`` a name in ``FRONTENDS``.
    ``low_stride`` None means 16 for methods 3 and 4, and 8 (conv3_x) for methods 1 and 2. The logits' stride is
    low_stride / 4 for method 4 and low_stride for the others.
    """

    multiple = HIGH_STRIDE

    def __init__(
        self,
        classes: int = 19,
        *,
        method: int = 4,
        frontend: str = 'resnet18',
        low_stride: Optional[int] = None,
        subpixel_norm: bool = False,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f'classes is {classes}; at least 1 is needed')
        if method not in METHODS:
            raise ValueError(f'unknown method {method!r}; known: {", ".join(map(str, METHODS))}')
        if low_stride not in (None, *LOW_STRIDES):
            raise ValueError(f'low_stride is {low_stride}; known: {", ".join(map(str, LOW_STRIDES))}')
        self.low_stride = low_stride or (8 if method <= 2 else 16)
        self.stride = self.low_stride // 4 if method == 4 else self.low_stride
        self.frontend = build_frontend(frontend)
        high, low = self.frontend.channels[HIGH_STRIDE], self.frontend.channels[self.low_stride]
        self.backend: nn.Module
        if method <= 2:
            self.backend = DeepLabBackend(high, low, classes, factorized=method == 2)
        else:
            factor = HIGH_STRIDE // self.low_stride if method == 4 else None
            self.backend = CascadeBackend(high, low, classes, factor, subpixel_norm)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'FarSee-Net')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        features: Features = self.frontend(pad_to_multiple(x, self.multiple))
        logits = self.backend(features[HIGH_STRIDE], features[self.low_stride])
        return crop(logits, size, self.stride)  # (N, classes, ceil(H/stride), ceil(W/stride))

    def load_frontend(self, path: Union[str, Path]) -> None:
        """Load the front-end's weights from a file in torchvision's naming; errors as ``frontends.load_frontend``."""
        load_frontend(self.frontend, path)

    def load_encoder(self, state: Dict[str, Tensor]) -> None:
        """Take the front-end of a ``FarSeeNetClassifier``'s state dict; the back-end stays fresh."""
        prefix = 'frontend.'
        self.frontend.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})


class FarSeeNetClassifier(nn.Module):
    """The front-end for pre-training on ImageNet (section IV-B): global average and one linear layer; (N,classes)."""

    multiple = HIGH_STRIDE

    def __init__(self, classes: int = 1000, *, frontend: str = 'resnet18') -> None:
        super().__init__()
        self.frontend = build_frontend(frontend)
        self.head = nn.Linear(self.frontend.channels[HIGH_STRIDE], classes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, "FarSee-Net's classifier")
        features: Features = self.frontend(pad_to_multiple(x, self.multiple))
        return self.head(features[HIGH_STRIDE].mean((2, 3)))  # (N, classes)
