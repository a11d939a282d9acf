# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import torch
import torch.nn.functional as F

from rtseg_models.networks.enet import NEAR_TIE, ENet, max_pool_with_mask, unpool


def distinct(*shape):
    """A random order of values that differ by more than NEAR_TIE."""
    count = int(torch.tensor(shape).prod())
    order = torch.randperm(count, generator=torch.Generator().manual_seed(0)).float()
    return ((order - count / 2) * 2 * NEAR_TIE).view(shape)


def test_unpooling_is_that_of_pytorch():
    x, y = distinct(2, 3, 8, 12), torch.randn(2, 3, 4, 6)
    pooled, indices = F.max_pool2d(x, 2, 2, return_indices=True)
    found, mask = max_pool_with_mask(x)
    assert torch.equal(found, pooled)
    assert torch.equal(unpool(y, mask), F.max_unpool2d(y, indices, 2, 2))


def test_unpooling_is_nearest_upsampling_times_the_mask():
    x, y = distinct(1, 2, 6, 6), torch.randn(1, 2, 3, 3)
    _, mask = max_pool_with_mask(x)
    flat = unpool(torch.ones_like(y), mask)
    assert torch.equal(unpool(y, mask), F.interpolate(y, scale_factor=2, mode='nearest') * flat)


def test_first_of_equal_maxima_in_reading_order():
    windows = [[1, 1, 1, 1], [0, 1, 1, 0], [0, 0, 1, 1], [1, 0, 0, 1]]
    for window, place in zip(windows, (0, 1, 2, 0)):
        _, mask = max_pool_with_mask(torch.tensor(window, dtype=torch.float32).view(1, 1, 2, 2))
        assert mask.flatten().tolist() == [float(i == place) for i in range(4)]


def test_mask_is_continuous_and_sums_to_one():
    x = torch.randn(1, 4, 64, 64)
    _, mask = max_pool_with_mask(x)
    _, moved = max_pool_with_mask(x + 1e-5 * torch.randn_like(x))
    assert torch.allclose(mask.sum(2), torch.ones(1, 4, 32, 32), atol=1e-6)
    assert float((moved - mask).abs().max()) < 2e-3


def test_unpooling_mask_carries_no_gradient():
    x = torch.randn(1, 2, 4, 4, requires_grad=True)
    _, mask = max_pool_with_mask(x)
    assert not mask.requires_grad


def test_layout_of_the_paper():
    network = ENet(19)
    dilations = [m.dilation[0] for m in network.section2.modules() if getattr(m, 'dilation', (1,))[0] != 1]
    kernels = [
        m.kernel_size for m in network.section3.modules() if getattr(m, 'kernel_size', (1, 1)) in ((5, 1), (1, 5))
    ]
    assert dilations == [2, 4, 8, 16]
    assert kernels == [(5, 1), (1, 5)] * 2
    assert {m.p for m in network.section1.modules() if isinstance(m, torch.nn.Dropout2d)} == {0.01}
    assert {m.p for m in network.section2.modules() if isinstance(m, torch.nn.Dropout2d)} == {0.1}
