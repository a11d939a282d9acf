# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Feature extractors for FarSee-Net: classification networks without their classifier, modules named as in torchvision,
so that weights files in its naming load unchanged.

- ResNet-18 and -34: Deep Residual Learning for Image Recognition (He et al., CVPR 2016), Table 1;
- MobileNetV2: Inverted Residuals and Linear Bottlenecks (Sandler et al., CVPR 2018), Table 2;
- ShuffleNetV2 1.0x: Practical Guidelines for Efficient CNN Architecture Design (Ma et al., ECCV 2018), Table 5.

Each maps images (N,3,H,W) to a dict from stride (4, 8, 16, 32) to the last feature map at that stride;
``channels`` tells their widths. The one at 32 is what the network's global average pooling would take.
"""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Callable, Dict, List, Tuple, Union

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import BundleError
from .weights_file import read_weights

Features = Dict[int, Tensor]


class Frontend(nn.Module):
    """What every front-end has besides ``forward``."""

    channels: Dict[int, int]
    classifier_prefix: str


class ResidualBlock(nn.Module):
    """ResNet's basic block: two 3x3 convolutions round a shortcut, which is projected where the shape changes."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(cin, cout, 3, stride, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(cout)
        self.conv2 = nn.Conv2d(cout, cout, 3, 1, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(cout)
        self.downsample = None
        if stride != 1 or cin != cout:
            self.downsample = nn.Sequential(nn.Conv2d(cin, cout, 1, stride, bias=False), nn.BatchNorm2d(cout))

    def forward(self, x: Tensor) -> Tensor:
        y = self.bn2(self.conv2(F.relu(self.bn1(self.conv1(x)))))
        return F.relu(y + (x if self.downsample is None else self.downsample(x)))


class ResNet(Frontend):
    """ResNet of basic blocks, ``repeats`` in each of its four stages."""

    classifier_prefix = 'fc.'

    def __init__(self, repeats: Tuple[int, int, int, int]) -> None:
        super().__init__()
        self.channels = {4: 64, 8: 128, 16: 256, 32: 512}
        self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        cin = 64
        for stage, (count, cout) in enumerate(zip(repeats, self.channels.values()), 1):
            first = ResidualBlock(cin, cout, 1 if stage == 1 else 2)
            rest = (ResidualBlock(cout, cout, 1) for _ in range(count - 1))
            setattr(self, f'layer{stage}', nn.Sequential(first, *rest))
            cin = cout

    def forward(self, x: Tensor) -> Features:
        x = F.relu(self.bn1(self.conv1(x)))  # (N, 64, H/2, W/2)
        x = F.max_pool2d(x, 3, 2, 1)  # (N, 64, H/4, W/4)
        features = {}
        for stage, stride in enumerate(self.channels, 1):
            x = features[stride] = self.get_submodule(f'layer{stage}')(x)  # (N, channels[stride], H/stride, W/stride)
        return features


def _conv_norm(cin: int, cout: int, kernel: int, stride: int = 1, groups: int = 1) -> Tuple[nn.Module, nn.Module]:
    return nn.Conv2d(cin, cout, kernel, stride, kernel // 2, groups=groups, bias=False), nn.BatchNorm2d(cout)


class InvertedResidual(nn.Module):
    """MobileNetV2's block; an expansion of 1 has no expanding convolution."""

    def __init__(self, cin: int, cout: int, stride: int, expansion: int) -> None:
        super().__init__()
        mid = cin * expansion
        expand = [nn.Sequential(*_conv_norm(cin, mid, 1), nn.ReLU6(inplace=True))] if expansion > 1 else []
        self.conv = nn.Sequential(
            *expand,
            nn.Sequential(*_conv_norm(mid, mid, 3, stride, mid), nn.ReLU6(inplace=True)),
            *_conv_norm(mid, cout, 1),
        )
        self.residual = stride == 1 and cin == cout

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.residual else self.conv(x)


class MobileNetV2(Frontend):
    """MobileNetV2 at width 1."""

    classifier_prefix = 'classifier.'
    rows = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))

    def __init__(self) -> None:
        super().__init__()
        self.channels = {4: 24, 8: 32, 16: 96, 32: 1280}
        modules: List[nn.Module] = [nn.Sequential(*_conv_norm(3, 32, 3, 2), nn.ReLU6(inplace=True))]
        cin = 32
        for expansion, cout, repeats, stride in self.rows:
            for i in range(repeats):
                modules.append(InvertedResidual(cin, cout, stride if i == 0 else 1, expansion))
                cin = cout
        modules.append(nn.Sequential(*_conv_norm(cin, 1280, 1), nn.ReLU6(inplace=True)))
        self.features = nn.Sequential(*modules)

    def forward(self, x: Tensor) -> Features:
        ends = {3: 4, 6: 8, 13: 16, 18: 32}  # last module at each stride
        features = {}
        for i, module in enumerate(self.features):
            x = module(x)
            if i in ends:
                features[ends[i]] = x  # (N, channels[stride], H/stride, W/stride)
        return features


class ShuffleUnit(nn.Module):
    """ShuffleNetV2's unit (Figure 3c, 3d): half of the channels pass, half are convolved, then both are interleaved."""

    def __init__(self, cin: int, cout: int, stride: int) -> None:
        super().__init__()
        half = cout // 2
        self.split = stride == 1
        relu = nn.ReLU(inplace=True)
        self.branch1 = nn.Sequential()
        if not self.split:
            self.branch1 = nn.Sequential(*_conv_norm(cin, cin, 3, stride, cin), *_conv_norm(cin, half, 1), relu)
        self.branch2 = nn.Sequential(
            *_conv_norm(half if self.split else cin, half, 1),
            relu,
            *_conv_norm(half, half, 3, stride, half),
            *_conv_norm(half, half, 1),
            relu,
        )

    def forward(self, x: Tensor) -> Tensor:
        left, right = x.chunk(2, 1) if self.split else (x, x)
        y = torch.stack([self.branch1(left), self.branch2(right)], 2)  # (N, cout/2, 2, h, w)
        n, half, _, h, w = (int(s) for s in y.shape)
        return y.reshape(n, 2 * half, h, w)  # channels interleaved, left first


class ShuffleNetV2(Frontend):
    """ShuffleNetV2 at width 1."""

    classifier_prefix = 'fc.'

    def __init__(self) -> None:
        super().__init__()
        self.channels = {4: 24, 8: 116, 16: 232, 32: 1024}
        self.conv1 = nn.Sequential(*_conv_norm(3, 24, 3, 2), nn.ReLU(inplace=True))
        self.stage2 = self._stage(24, 116, 4)
        self.stage3 = self._stage(116, 232, 8)
        self.stage4 = self._stage(232, 464, 4)
        self.conv5 = nn.Sequential(*_conv_norm(464, 1024, 1), nn.ReLU(inplace=True))

    @staticmethod
    def _stage(cin: int, cout: int, repeats: int) -> nn.Sequential:
        return nn.Sequential(ShuffleUnit(cin, cout, 2), *(ShuffleUnit(cout, cout, 1) for _ in range(repeats - 1)))

    def forward(self, x: Tensor) -> Features:
        quarter = F.max_pool2d(self.conv1(x), 3, 2, 1)  # (N, 24, H/4, W/4)
        eighth = self.stage2(quarter)  # (N, 116, H/8, W/8)
        sixteenth = self.stage3(eighth)  # (N, 232, H/16, W/16)
        last = self.conv5(self.stage4(sixteenth))  # (N, 1024, H/32, W/32)
        return {4: quarter, 8: eighth, 16: sixteenth, 32: last}


FRONTENDS: Dict[str, Callable[[], Frontend]] = {
    'resnet18': lambda: ResNet((2, 2, 2, 2)),
    'resnet34': lambda: ResNet((3, 4, 6, 3)),
    'mobilenet_v2': MobileNetV2,
    'shufflenet_v2': ShuffleNetV2,
}


def build_frontend(name: str) -> Frontend:
    """A fresh front-end; ValueError lists the known names."""
    if name not in FRONTENDS:
        raise ValueError(f'unknown front-end {name!r}; known: {", ".join(FRONTENDS)}')
    return FRONTENDS[name]()


def load_frontend(frontend: Frontend, path: Union[str, Path]) -> None:
    """Load a weights file in torchvision's naming into ``frontend``; its classifier is left out.

    NotFound if there is no such file; BundleError if it cannot be read, or names the first tensor that is missing, left
    over or of another shape.
    """
    path = Path(path).absolute()
    state = read_weights(path, 'weights file')
    if not isinstance(state, dict):
        raise BundleError(f'{path}: holds a {type(state).__name__}; a dict of tensors was expected')
    prefix = frontend.classifier_prefix
    # Files older than PyTorch 0.4.1 lack the batch counters, which only training without momentum reads.
    own = frontend.state_dict()
    given = OrderedDict((k, v) for k, v in state.items() if not k.startswith(prefix))
    for key, tensor in own.items():
        if key.endswith('num_batches_tracked'):
            given.setdefault(key, tensor)
    for key in sorted(own.keys() ^ given.keys()):
        fault = 'lacks' if key in own else 'has the unknown'
        raise BundleError(f'{path}: {fault} tensor {key!r}, so it is not a file for this {type(frontend).__name__}')
    for key, tensor in own.items():
        if tensor.shape != given[key].shape:
            found, expected = tuple(given[key].shape), tuple(tensor.shape)
            raise BundleError(f'{path}: tensor {key!r} has shape {found}, expected {expected}')
    frontend.load_state_dict(given)
