# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from rtseg_models.networks import build_network
from rtseg_models.training.module import memory_layout


def depthwise_gradients(dilation: int, layout: torch.memory_format, bf16: bool) -> torch.Tensor:
    torch.manual_seed(0)
    layer = nn.Conv2d(16, 16, 3, padding=dilation, dilation=dilation, groups=16).to(memory_format=layout)
    x = torch.randn(2, 16, 24, 32).contiguous(memory_format=layout)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=bf16):
        (layer(x).float() ** 2).mean().backward()
    assert layer.weight.grad is not None
    return layer.weight.grad.float().flatten()


@pytest.mark.parametrize('dilation', [1, 4])
def test_gradients_in_the_chosen_layout_are_those_of_float32(dilation: int) -> None:
    layout = memory_layout(nn.Sequential(nn.Conv2d(16, 16, 3, dilation=dilation, groups=16)), torch.device('cpu'))
    exact = depthwise_gradients(dilation, torch.contiguous_format, bf16=False)
    chosen = depthwise_gradients(dilation, layout, bf16=True)
    assert torch.cosine_similarity(exact, chosen, 0) > 0.999


def test_layouts() -> None:
    cpu, gpu = torch.device('cpu'), torch.device('cuda', 0)
    for name in ('erfnet', 'enet'):
        assert memory_layout(build_network(name, 11), cpu) is torch.channels_last
    for name in ('dabnet', 'fast_scnn', 'contextnet'):
        assert memory_layout(build_network(name, 11), cpu) is torch.contiguous_format
        assert memory_layout(build_network(name, 11), gpu) is torch.channels_last
