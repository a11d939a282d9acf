# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Dict

import numpy as np
import pytest
import torch
from rendered import TINY, write_street
from torch import nn

from rtseg_models.datasets import open_dataset
from rtseg_models.labels import CAMVID
from rtseg_models.networks import build_network
from rtseg_models.training import module as module_module
from rtseg_models.training import pretraining as pretraining_module
from rtseg_models.training.batches import Frames
from rtseg_models.training.memory import Budget
from rtseg_models.training.module import SegmentationModule, memory_layout
from rtseg_models.training.pretraining import ClassificationModule


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


def test_processes_measure_their_shares_of_one_figure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The sum of the shares is the whole: no process tells a figure of its own."""
    val = open_dataset('camvid', write_street(tmp_path, train=1, val=3), 'val')
    frames, cpu = Frames(val, torch.device('cpu'), Budget(0)), torch.device('cpu')
    torch.manual_seed(0)
    network, none = build_network('fast_scnn', len(CAMVID), aux=True), SimpleNamespace()
    module = SegmentationModule(network, TINY, CAMVID, torch.ones(len(CAMVID)), none, {}).to(cpu)  # type: ignore[arg-type]
    whole = module.measure(frames, 0, 1)['val_miou']
    shares: Dict[int, Any] = {}
    monkeypatch.setattr(module_module, 'over_processes', lambda value: shares.setdefault(len(shares), value))
    alone = [module.measure(frames, process, 2)['val_miou'] for process in range(2)]
    assert alone[0] != whole
    monkeypatch.setattr(module_module, 'over_processes', lambda value: shares[0] + shares[1])
    assert module.measure(frames, 0, 2)['val_miou'] == whole


class SaysItsMiddle(nn.Module):
    """Scores the class that the middle pixel's red tells highest."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        red = x[:, 0, x.shape[2] // 2, x.shape[3] // 2]
        return torch.stack([-(red - 0.1).abs(), -(red - 0.2).abs()], 1)


def test_the_share_of_right_classes_is_of_the_middle_of_each_image(monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = replace(TINY, input_size=(64, 64), crop=(32, 32), mean=(0.0, 0.0, 0.0), std=(1.0, 1.0, 1.0))
    module = ClassificationModule(SaysItsMiddle(), recipe, CAMVID, SimpleNamespace(), {})  # type: ignore[arg-type]
    images = []
    for shown, label in ((0, 0), (1, 1), (1, 0)):
        rgb = np.zeros((3, 64, 64), np.uint8)
        rgb[0, 16:48, 16:48] = (26, 51)[shown]
        rgb[0, 0, :] = 255  # beyond the crop
        images.append((torch.from_numpy(rgb), torch.tensor(label)))
    assert module.measure(images, 0, 1)['val_top1'] == pytest.approx(2 / 3)  # type: ignore[arg-type]
    right = []
    monkeypatch.setattr(pretraining_module, 'over_processes', lambda value: right.append(int(value)) or value)
    for process in range(2):
        module.measure(images, process, 2)  # type: ignore[arg-type]
    assert right == [1, 1]
