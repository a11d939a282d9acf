# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ERFNet: Efficient ConvNet for Real-time Semantic Segmentation (Romera, Alvarez, Bergasa, Arroyo, IEEE IV 2017;
ERFNet: Efficient Residual Factorized ConvNet, IEEE T-ITS 2018).

Layers 1 to 23: Table I; non-bottleneck-1D and downsampler: Figure 2. Trained in two stages: the encoder with a 1x1
head on labels at 1/8 (``ERFNetEncoder``), then encoder and a fresh decoder end to end (``ERFNet.load_encoder``).

From the authors' published code, since the paper does not say: batch norm epsilon 1e-3; convolutions keep their bias;
ReLU after each pair's first convolution; dropout drops whole feature maps, with probability 0.03 in layers 3-7, 0.3 in
layers 9-16 (the paper's figure) and none in the decoder; pooling 2x2; deconvolution 3x3 with batch norm and ReLU, the
last one 2x2 without.

``residual_gain`` is what the last norm of each residual branch begins with. With 1, as in the authors' code, a fresh
ERFNet's gradient is so sensitive to rounding that in bf16 hardly anything of it is left; with 0 the blocks begin as
identities and it is exact (docs/decisions.md).
"""

from __future__ import annotations

from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .blocks import check_input, crop, pad_to_multiple

NORM_EPS = 1e-3
ENCODER_WIDTH = 128


class Downsampler(nn.Module):
    """Figure 2b: 3x3 stride 2 convolution and 2x2 max-pool of the input side by side, batch norm, ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(cin, cout - cin, 3, 2, 1)
        self.pool = nn.MaxPool2d(2, 2)
        self.norm = nn.BatchNorm2d(cout, eps=NORM_EPS)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(torch.cat([self.conv(x), self.pool(x)], 1)))  # (N, cout, h/2, w/2)


class NonBottleneck1D(nn.Module):
    """Figure 2a: two factorised 3x3 convolutions (3x1 then 1x3), the second pair dilated, round a residual."""

    def __init__(self, width: int, dropout: float = 0.0, dilation: int = 1, residual_gain: float = 1.0) -> None:
        super().__init__()
        d = dilation
        self.first = nn.Sequential(
            nn.Conv2d(width, width, (3, 1), padding=(1, 0)),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, (1, 3), padding=(0, 1)),
            nn.BatchNorm2d(width, eps=NORM_EPS),
            nn.ReLU(inplace=True),
        )
        self.second = nn.Sequential(
            nn.Conv2d(width, width, (3, 1), padding=(d, 0), dilation=(d, 1)),
            nn.ReLU(inplace=True),
            nn.Conv2d(width, width, (1, 3), padding=(0, d), dilation=(1, d)),
            last_norm := nn.BatchNorm2d(width, eps=NORM_EPS),
        )
        nn.init.constant_(last_norm.weight, residual_gain)
        self.dropout = nn.Dropout2d(dropout)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(x + self.dropout(self.second(self.first(x))))  # (N, width, h, w)


class Upsampler(nn.Sequential):
    """Deconvolution 3x3 stride 2 to exactly twice the size, batch norm, ReLU."""

    def __init__(self, cin: int, cout: int) -> None:
        super().__init__(
            nn.ConvTranspose2d(cin, cout, 3, 2, 1, output_padding=1),
            nn.BatchNorm2d(cout, eps=NORM_EPS),
            nn.ReLU(inplace=True),
        )


def encoder(dropout: Tuple[float, float] = (0.03, 0.3), residual_gain: float = 1.0) -> nn.Sequential:
    """Layers 1 to 16: images (N,3,H,W) to (N,128,H/8,W/8). ``dropout`` for layers 3-7 and 9-16."""
    return nn.Sequential(
        Downsampler(3, 16),  # H/2
        Downsampler(16, 64),  # H/4
        *(NonBottleneck1D(64, dropout[0], 1, residual_gain) for _ in range(5)),
        Downsampler(64, ENCODER_WIDTH),  # H/8
        *(NonBottleneck1D(ENCODER_WIDTH, dropout[1], d, residual_gain) for d in (2, 4, 8, 16) * 2),
    )


def decoder(classes: int, cin: int = ENCODER_WIDTH, residual_gain: float = 1.0) -> nn.Sequential:
    """Layers 17 to 23: (N,cin,h,w) to logits (N,classes,8h,8w)."""
    return nn.Sequential(
        Upsampler(cin, 64),  # H/4
        *(NonBottleneck1D(64, residual_gain=residual_gain) for _ in range(2)),
        Upsampler(64, 16),  # H/2
        *(NonBottleneck1D(16, residual_gain=residual_gain) for _ in range(2)),
        nn.ConvTranspose2d(16, classes, 2, 2),  # H
    )


def _check_classes(classes: int) -> None:
    if classes < 1:
        raise ValueError(f'classes is {classes}; at least 1 is needed')


class ERFNet(nn.Module):
    """ERFNet. Input (N,3,H,W) normalised; output logits (N,classes,H,W)."""

    stride = 1
    multiple = 8

    def __init__(
        self, classes: int = 19, *, dropout: Tuple[float, float] = (0.03, 0.3), residual_gain: float = 1.0
    ) -> None:
        super().__init__()
        _check_classes(classes)
        self.encoder = encoder(dropout, residual_gain)
        self.decoder = decoder(classes, residual_gain=residual_gain)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, 'ERFNet')
        size = (int(x.shape[-2]), int(x.shape[-1]))
        features = self.encoder(pad_to_multiple(x, self.multiple))  # (N, 128, H/8, W/8)
        return crop(self.decoder(features), size, self.stride)  # (N, classes, H, W)

    def load_encoder(self, state: Dict[str, Tensor]) -> None:
        """Take the encoder of an ``ERFNetEncoder``'s or ``ERFNetClassifier``'s state dict; the decoder stays fresh."""
        prefix = 'encoder.'
        self.encoder.load_state_dict({k[len(prefix) :]: v for k, v in state.items() if k.startswith(prefix)})


class ERFNetEncoder(nn.Module):
    """Stage 1 of the training: the encoder with its 1x1 head; logits (N,classes,ceil(H/8),ceil(W/8))."""

    stride = 8
    multiple = 8

    def __init__(
        self, classes: int = 19, *, dropout: Tuple[float, float] = (0.03, 0.3), residual_gain: float = 1.0
    ) -> None:
        super().__init__()
        _check_classes(classes)
        self.encoder = encoder(dropout, residual_gain)
        self.head = nn.Conv2d(ENCODER_WIDTH, classes, 1)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, "ERFNet's encoder")
        return self.head(self.encoder(pad_to_multiple(x, self.multiple)))  # (N, classes, ceil(H/8), ceil(W/8))


class ERFNetClassifier(nn.Module):
    """The encoder for pre-training on ImageNet: max-pool, global average, linear; scores (N,classes).

    Dropout is 0.1 throughout, as in the authors' code.
    """

    multiple = 16

    def __init__(self, classes: int = 1000) -> None:
        super().__init__()
        _check_classes(classes)
        self.encoder = encoder((0.1, 0.1))
        self.pool = nn.MaxPool2d(2, 2)
        self.head = nn.Linear(ENCODER_WIDTH, classes)

    def forward(self, x: Tensor) -> Tensor:
        check_input(x, self.multiple, "ERFNet's classifier")
        features = self.pool(self.encoder(pad_to_multiple(x, self.multiple)))  # (N, 128, H/16, W/16)
        return self.head(features.mean((2, 3)))  # (N, classes)
