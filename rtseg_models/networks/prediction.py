# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From logits to the two outputs that Fast-SCNN's Table 6 times: probabilities ("prob") and labels ("cls")."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from .blocks import Size, resize

OUTPUTS = ('labels', 'probabilities')


def upsample(logits: Tensor, stride: int, size: Size, align_corners: bool = False) -> Tensor:
    """Logits (N,C,ceil(H/stride),ceil(W/stride)) to (N,C,H,W) at the input's ``size`` (H, W), bilinear.

    Pixels are mapped by the true stride, which a resize to a size that it does not divide would bend.
    """
    if align_corners:
        return resize(logits, size, True)
    h, w = int(logits.shape[-2]) * stride, int(logits.shape[-1]) * stride
    return resize(logits, (h, w))[..., : size[0], : size[1]]


class Prediction(nn.Module):
    """Any of the networks with an end that people read: images (N,3,H,W) normalised to ``output`` at their size.

    'labels': class ids (N,H,W) uint8, the lowest id on ties. 'probabilities': softmax (N,classes,H,W).
    """

    def __init__(self, network: nn.Module, output: str = 'labels') -> None:
        super().__init__()
        if output not in OUTPUTS:
            raise ValueError(f'unknown output {output!r}; known: {", ".join(OUTPUTS)}')
        self.network = network
        self.output = output
        self.stride = int(network.stride)  # type: ignore[arg-type]
        self.align_corners = bool(getattr(network, 'align_corners', False))

    def forward(self, x: Tensor) -> Tensor:
        size = (int(x.shape[-2]), int(x.shape[-1]))
        logits = upsample(self.network(x), self.stride, size, self.align_corners)  # (N, classes, H, W)
        if self.output == 'probabilities':
            return torch.softmax(logits, 1)  # (N, classes, H, W)
        return logits.argmax(1).to(torch.uint8)  # (N, H, W)
