# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ContextNet: Exploring Context and Detail for Semantic Segmentation in Real-time
(Poudel, Bonde, Liwicki, Zach, BMVC 2018, arXiv:1805.04554).

Bottleneck: Table 1; context branch: Table 2; fusion unit: Table 3 (its depthwise convolution is dilated by the
upsampling factor); detail branch: section 2.2.2, "spatial detail"; variants: Table 4; zeroed branches: Figure 2.

Not stated in the paper, chosen here:
- row 8 of Table 2 has a 1x1 kernel: it makes 0.85 M parameters and 38 layers, a 3x3 would make 0.99 M;
- the low-resolution input is a bilinear resize with half-pixel centres, as is every resize inside;
- cn124 fuses from coarse to fine: context with the half-resolution branch at 1/16, then with the full one at 1/8;
- cn14-500 and cn14-160 are the network at 3/4 and 13/32 of every width (494,707 and 158,623 parameters against the
  paper's 490,459 and 159,387);
- auxiliary head on the context branch (weight 0.4): conv 3x3 to 64, batch norm, ReLU6, dropout, 1x1;
- dropout probability 0.1 before each last convolution.
``pyramid`` adds the pyramid pooling of section 2.2.3, which the paper tried and left out of its tables.
"""

from __future__ import annotations

from typing import List, Optional, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBN, DSConv, PyramidPooling, bottlenecks, check_input, crop, pad_to_multiple, resize

DETAIL_WIDTHS = (32, 64, 128, 128)
CONTEXT_WIDTHS = (32, 32, 32, 48, 64, 96, 128, 128)
FUSION_WIDTH = 128
CONTEXT_SCALES = (2, 4, 8)


def scaled(widths: Tuple[int, ...], factor: float) -> Tuple[int, ...]:
    """Every width times ``factor``, rounded half up, at least 1."""
    return tuple(max(1, int(w * factor + 0.5)) for w in widths)


def detail_branch(widths: Tuple[int, ...]) -> nn.Sequential:
    """The shallow branch: images (N,3,H,W) to (N, widths[3], H/8, W/8)."""
    return nn.Sequential(
        ConvBN(3, widths[0], 3, 2, act=nn.ReLU6),  # H/2
        DSConv(widths[0], widths[1], 2, act=nn.ReLU6),  # H/4
        DSConv(widths[1], widths[2], 2, act=nn.ReLU6),  # H/8
        DSConv(widths[2], widths[3], 1, act=nn.ReLU6),  # H/8
    )


def context_branch(widths: Tuple[int, ...]) -> nn.Sequential:
    """Table 2, row by row: images (N,3,h,w) to (N, widths[7], h/8, w/8)."""
    w = widths
    return nn.Sequential(
        ConvBN(3, w[0], 3, 2, act=nn.ReLU6),  # h/2
        bottlenecks(w[0], w[1], 1, 1, 1, act=nn.ReLU6),  # h/2
        bottlenecks(w[1], w[2], 1, 1, 6, act=nn.ReLU6),  # h/2
        bottlenecks(w[2], w[3], 3, 2, 6, act=nn.ReLU6),  # h/4
        bottlenecks(w[3], w[4], 3, 2, 6, act=nn.ReLU6),  # h/8
        bottlenecks(w[4], w[5], 2, 1, 6, act=nn.ReLU6),  # h/8
        bottlenecks(w[5], w[6], 2, 1, 6, act=nn.ReLU6),  # h/8
        ConvBN(w[6], w[7], 1, act=nn.ReLU6),  # h/8
    )


class Fusion(nn.Module):
    """Table 3: coarse features, upsampled by ``factor``, added to fine ones."""

    def __init__(self, coarse: int, fine: int, width: int, factor: int) -> None:
        super().__init__()
        self.low = nn.Sequential(
            ConvBN(coarse, coarse, 3, dilation=factor, groups=coarse, act=nn.ReLU6),
            ConvBN(coarse, width, 1, act=None),
        )
        self.high = ConvBN(fine, width, 1, act=None)

    def forward(self, coarse: Tensor, fine: Tensor) -> Tensor:
        size = (int(fine.shape[-2]), int(fine.shape[-1]))
        return F.relu6(self.low(resize(coarse, size)) + self.high(fine))  # (N, width, h, w) of fine


def _check_arguments(classes: int, context_scale: int, width: float) -> None:
    if classes < 1:
        raise ValueError(f'classes is {classes}; at least 1 is needed')
    if context_scale not in CONTEXT_SCALES:
        raise ValueError(f'context_scale is {context_scale}; known: {", ".join(map(str, CONTEXT_SCALES))}')
    if not width > 0:
        raise ValueError(f'width is {width}; a factor above 0 is needed')


def _shrink(x: Tensor, factor: int) -> Tensor:
    return resize(x, (int(x.shape[-2]) // factor, int(x.shape[-1]) // factor))


class ContextNet(nn.Module):
    """ContextNet. Input (N,3,H,W) normalised; output logits (N,classes,ceil(H/8),ceil(W/8)).

    ``context_scale`` 4, 2, 8: the context branch sees 1/4, 1/2, 1/8 of the resolution (cn14, cn12, cn18).
    ``half_branch`` adds a second detail branch at half resolution (cn124). ``width`` scales every layer.
    ``zero_context`` and ``zero_detail`` silence a branch's output at run time (Figure 2).
    """

    stride = 8
    aux_weight = 0.4

    def __init__(
        self,
        classes: int = 19,
        *,
        context_scale: int = 4,
        width: float = 1.0,
        half_branch: bool = False,
        pyramid: bool = False,
        aux: bool = False,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        _check_arguments(classes, context_scale, width)
        self.classes, self.context_scale, self.width = classes, context_scale, width
        self.multiple = 8 * context_scale
        self.dropout = dropout
        self.zero_context = False
        self.zero_detail = False
        detail, context = scaled(DETAIL_WIDTHS, width), scaled(CONTEXT_WIDTHS, width)
        (fusion,) = scaled((FUSION_WIDTH,), width)
        self.detail = detail_branch(detail)
        self.context = context_branch(context)
        self.half_detail: Optional[nn.Sequential] = None
        self.pyramid = PyramidPooling(context[-1], context[-1], act=nn.ReLU6) if pyramid else None
        if half_branch:
            self.half_detail = detail_branch(detail)
            self.fuse_half = Fusion(context[-1], detail[-1], fusion, context_scale // 2)
            self.fuse = Fusion(fusion, detail[-1], fusion, 2)
        else:
            self.fuse = Fusion(context[-1], detail[-1], fusion, context_scale)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(fusion, classes, 1))
        if aux:
            head = nn.Sequential(ConvBN(context[-1], 64, act=nn.ReLU6), nn.Dropout(dropout), nn.Conv2d(64, classes, 1))
            self.aux_heads = nn.ModuleList([head])

    def _features(self, x: Tensor) -> Tuple[Tensor, Tensor]:
        context = self.context(_shrink(x, self.context_scale))  # (N, 128, H/(8 scale), W/(8 scale))
        if self.pyramid is not None:
            context = self.pyramid(context)  # (N, 128, H/(8 scale), W/(8 scale))
        detail = self.detail(x)  # (N, 128, H/8, W/8)
        low = context * 0 if self.zero_context else context
        if self.half_detail is not None:
            half = self.half_detail(_shrink(x, 2))  # (N, 128, H/16, W/16)
            low = self.fuse_half(low, half * 0 if self.zero_detail else half)  # (N, 128, H/16, W/16)
        fused = self.fuse(low, detail * 0 if self.zero_detail else detail)  # (N, 128, H/8, W/8)
        return context, fused

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'ContextNet')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        _, fused = self._features(pad_to_multiple(x, self.multiple))
        return crop(self.classifier(fused), size, self.stride)  # (N, classes, ceil(H/8), ceil(W/8))

    def forward_with_aux(self, x: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """Logits and the auxiliary head's logits, the latter at stride 8 x context_scale."""
        check_input(x, self.multiple, 'ContextNet')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        context, fused = self._features(pad_to_multiple(x, self.multiple))
        aux = [crop(head(context), size, self.multiple) for head in self.aux_heads]
        return crop(self.classifier(fused), size, self.stride), aux


class ContextOnly(nn.Module):
    """The context branch trained alone (section 3.2.1): logits (N,classes,h,w) at stride 8 x context_scale."""

    def __init__(self, classes: int = 19, *, context_scale: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        _check_arguments(classes, context_scale, 1.0)
        self.context_scale = context_scale
        self.stride = self.multiple = 8 * context_scale
        self.context = context_branch(CONTEXT_WIDTHS)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(CONTEXT_WIDTHS[-1], classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'ContextNet, context only,')
        x = pad_to_multiple(x, self.multiple)
        return self.classifier(self.context(_shrink(x, self.context_scale)))  # (N, classes, ceil(H/32), ceil(W/32))


class DetailOnly(nn.Module):
    """The detail branch trained alone (section 3.2.1): logits (N,classes,ceil(H/8),ceil(W/8))."""

    stride = 8
    multiple = 8

    def __init__(self, classes: int = 19, *, dropout: float = 0.1) -> None:
        super().__init__()
        _check_arguments(classes, 4, 1.0)
        self.detail = detail_branch(DETAIL_WIDTHS)
        self.classifier = nn.Sequential(nn.Dropout(dropout), nn.Conv2d(DETAIL_WIDTHS[-1], classes, 1))

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'ContextNet, detail only,')
        return self.classifier(self.detail(pad_to_multiple(x, self.multiple)))  # (N, classes, ceil(H/8), ceil(W/8))


class BranchEnsemble(nn.Module):
    """Context-only and detail-only networks, trained apart, their softmax outputs averaged (section 3.2.1).

    The output is the logarithm of the averaged probabilities, (N,classes,ceil(H/8),ceil(W/8)): its softmax is the
    average itself, so whatever takes logits takes it. The context network's logits are first resized to 1/8.
    """

    stride = 8

    def __init__(self, classes: int = 19, *, context_scale: int = 4, dropout: float = 0.1) -> None:
        super().__init__()
        self.context_network = ContextOnly(classes, context_scale=context_scale, dropout=dropout)
        self.detail_network = DetailOnly(classes, dropout=dropout)
        self.multiple = self.context_network.multiple

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, "ContextNet's ensemble")
        size = (int(x.shape[-2]), int(x.shape[-1]))
        x = pad_to_multiple(x, self.multiple)
        fine = self.detail_network(x)  # (N, classes, H/8, W/8)
        coarse = resize(self.context_network(x), (int(fine.shape[-2]), int(fine.shape[-1])))  # (N, classes, H/8, W/8)
        a, b = F.log_softmax(coarse, 1), F.log_softmax(fine, 1)
        larger, gap = torch.maximum(a, b), torch.abs(a - b)
        mean = larger + torch.log((1.0 + torch.exp(-gap)) / 2.0)  # log((exp a + exp b) / 2) without underflow
        return crop(mean, size, self.stride)  # (N, classes, ceil(H/8), ceil(W/8))
