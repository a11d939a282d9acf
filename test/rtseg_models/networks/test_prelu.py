# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The faster gradient of PReLU is PyTorch's own."""

import pytest
import torch
from torch import nn

from rtseg_models.networks.prelu import PReLU


def gradients(layer, x, grad, autocast):
    """Output, and the gradients of the input and of the slopes."""
    x = x.clone().requires_grad_()
    with torch.autocast('cpu', torch.bfloat16, enabled=autocast):
        y = layer(x)
    return y, *torch.autograd.grad(y, (x, layer.weight), grad.to(y.dtype))


@pytest.mark.parametrize('layout', [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize(
    ('dtype', 'autocast', 'off'),
    [
        (torch.float64, False, 1e-12),
        (torch.float32, False, 1e-5),
        (torch.bfloat16, True, 1e-2),
        (torch.float32, True, 1e-2),
    ],
)
def test_gradients_are_those_of_pytorch(layout, dtype, autocast, off):
    torch.manual_seed(1)
    ours, theirs = PReLU(5), nn.PReLU(5)
    for layer in (ours, theirs):
        layer.weight.data = torch.tensor([0.25, -0.5, 0.0, 1.0, 2.0])
        if dtype is torch.float64:
            layer.double()
    x = torch.randn(2, 5, 6, 7, dtype=dtype).contiguous(memory_format=layout)
    x[0, :, 0, 0] = 0.0
    grad = torch.randn(2, 5, 6, 7, dtype=dtype).contiguous(memory_format=layout)
    made, wanted = (gradients(layer, x, grad, autocast) for layer in (ours, theirs))
    assert made[0].grad_fn.name() != wanted[0].grad_fn.name()
    for m, w in zip(made, wanted):
        assert m.dtype == w.dtype and m.shape == w.shape
        torch.testing.assert_close(m, w, rtol=off, atol=off)


def test_pytorchs_own_kernel_serves_a_network_that_does_not_learn():
    x = torch.randn(1, 3, 4, 4)
    assert PReLU(3).eval()(x).grad_fn.name() == nn.PReLU(3)(x).grad_fn.name()
