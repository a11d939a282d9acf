# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fast-SCNN: Fast Semantic Segmentation Network (Poudel, Liwicki, Cipolla, BMVC 2019, arXiv:1902.04502).

Layout: Table 1; bottleneck: Table 2; feature fusion: Table 3 (depthwise convolution dilated by the upsampling factor).

Not stated in the paper, chosen here:
- pyramid bins 1, 2, 3, 6 with 128 -> 32 per bin, concatenation and a 1x1 projection (the customary layout);
- dropout probability 0.1 before the last convolution;
- auxiliary heads (section 3.1: at the ends of learning-to-downsample and of the global feature extractor, weight 0.4):
  conv 3x3 to 64, batch norm, ReLU, dropout, 1x1;
- half-pixel centres in every resize.
Convolutions before a batch norm carry no bias. The options ``stem_padding``, ``dw_relu``, ``ffm_dilation``,
``ffm_bias`` and ``align_corners`` build the variant that published checkpoints of a well-known public repository need.
"""

from __future__ import annotations

from typing import Dict, List, Sequence, Tuple

import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import ConvBN, DSConv, PyramidPooling, bottlenecks, check_input, crop, pad_to_multiple, resize


class FastSCNN(nn.Module):
    """Fast-SCNN. Input (N,3,H,W) normalised; output logits (N,classes,ceil(H/8),ceil(W/8)).

    ``aux`` adds the two training heads, whose logits ``forward_with_aux`` returns. ``zero_skip`` silences the skip
    connection at run time (section 3.2's ablation).
    """

    stride = 8
    multiple = 32
    aux_weight = 0.4

    def __init__(
        self,
        classes: int = 19,
        *,
        aux: bool = False,
        dropout: float = 0.1,
        bins: Sequence[int] = (1, 2, 3, 6),
        stem_padding: int = 1,
        dw_relu: bool = False,
        ffm_dilation: int = 4,
        ffm_bias: bool = False,
        align_corners: bool = False,
    ) -> None:
        super().__init__()
        if classes < 1:
            raise ValueError(f'classes is {classes}; at least 1 is needed')
        self.align_corners = align_corners
        self.zero_skip = False
        dw_act = nn.ReLU if dw_relu else None
        self.learning_to_downsample = nn.Sequential(
            ConvBN(3, 32, 3, 2, padding=stem_padding),
            DSConv(32, 48, 2, dw_act=dw_act),
            DSConv(48, 64, 2, dw_act=dw_act),
        )
        self.global_features = nn.Sequential(
            bottlenecks(64, 64, 3, 2, 6),
            bottlenecks(64, 96, 3, 2, 6),
            bottlenecks(96, 128, 3, 1, 6),
            PyramidPooling(128, 128, bins, align_corners=align_corners),
        )
        self.fuse_low = nn.Sequential(
            ConvBN(128, 128, 3, dilation=ffm_dilation, groups=128),
            ConvBN(128, 128, 1, act=None, bias=ffm_bias),
        )
        self.fuse_high = ConvBN(64, 128, 1, act=None, bias=ffm_bias)
        self.classifier = nn.Sequential(
            DSConv(128, 128, dw_act=dw_act),
            DSConv(128, 128, dw_act=dw_act),
            nn.Dropout(dropout),
            nn.Conv2d(128, classes, 1),
        )
        if aux:
            self.aux_heads = nn.ModuleList(
                nn.Sequential(ConvBN(c, 64), nn.Dropout(dropout), nn.Conv2d(64, classes, 1)) for c in (64, 128)
            )

    def _features(self, x: Tensor) -> Tuple[Tensor, Tensor, Tensor]:
        high = self.learning_to_downsample(x)  # (N, 64, H/8, W/8)
        low = self.global_features(high)  # (N, 128, H/32, W/32)
        up = self.fuse_low(resize(low, high.shape[-2:], self.align_corners))  # (N, 128, H/8, W/8)
        skip = self.fuse_high(high)  # (N, 128, H/8, W/8)
        fused = F.relu(up + (skip * 0 if self.zero_skip else skip))  # (N, 128, H/8, W/8)
        return high, low, fused

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'Fast-SCNN')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        _, _, fused = self._features(pad_to_multiple(x, self.multiple))
        return crop(self.classifier(fused), size, self.stride)  # (N, classes, ceil(H/8), ceil(W/8))

    def forward_with_aux(self, x: Tensor) -> Tuple[Tensor, List[Tensor]]:
        """Logits and the auxiliary heads' logits, at strides 8 and 32."""
        check_input(x, self.multiple, 'Fast-SCNN')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        high, low, fused = self._features(pad_to_multiple(x, self.multiple))
        aux = [crop(head(f), size, s) for head, f, s in zip(self.aux_heads, (high, low), (8, 32))]
        return crop(self.classifier(fused), size, self.stride), aux

    def load_encoder(self, state: Dict[str, Tensor]) -> None:
        """Take both feature modules from a ``FastSCNNClassifier``'s state dict; fusion and classifier stay fresh."""
        for name in ('learning_to_downsample', 'global_features'):
            prefix = f'{name}.'
            part = {k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)}
            getattr(self, name).load_state_dict(part)


class FastSCNNClassifier(nn.Module):
    """Fast-SCNN for pre-training on ImageNet (section 3.4): average pooling for the fusion, one linear layer for the
    classifier; scores (N,classes).
    """

    multiple = 32

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        network = FastSCNN(classes)
        self.learning_to_downsample = network.learning_to_downsample
        self.global_features = network.global_features
        self.head = nn.Linear(128, classes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, "Fast-SCNN's classifier")
        features = self.global_features(self.learning_to_downsample(pad_to_multiple(x, self.multiple)))
        return self.head(features.mean((2, 3)))  # (N, classes)
