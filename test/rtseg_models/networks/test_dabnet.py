# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from torch import nn

from rtseg_models.networks import build_network
from rtseg_models.networks.dabnet import DABNet


def dilations(network):
    """Of each module's context branch, and of its first 3x3."""
    modules = [*network.block1, *network.block2]
    for module in modules:
        assert module.context[0][0].dilation == (module.context[1][0].dilation[1], 1)
        assert module.local[0][0].dilation == module.local[1][0].dilation == (1, 1)
    return [m.context[0][0].dilation[0] for m in modules], {m.reduce[0].dilation for m in modules}


@pytest.mark.parametrize(
    ('name', 'rates', 'first'),
    [
        ('dabnet', [2, 2, 2, 4, 4, 8, 8, 16, 16], 1),
        ('dabnet_r4', [2, 2, 2, 4, 4, 4, 4, 4, 4], 1),
        ('dabnet_coprime', [2, 2, 2, 3, 3, 7, 7, 13, 13], 1),
        ('dabnet_no_dilation', [1] * 9, 1),
        ('dabnet_first_dilated', [2, 2, 2, 4, 4, 8, 8, 16, 16], 2),
    ],
)
def test_dilations_of_the_ablations(name, rates, first):
    assert dilations(build_network(name, 19)) == (rates, {(first, first)})


def test_concatenation_takes_the_blocks_input_or_the_first_modules_output():
    torch.manual_seed(0)
    code, text = DABNet(5).eval(), DABNet(5, concat='first_module').eval()
    text.load_state_dict(code.state_dict())
    x = torch.randn(1, 64, 8, 8)
    with torch.no_grad():
        outputs = [x]
        for module in code.block1:
            outputs.append(module(outputs[-1]))
        assert torch.equal(code._block(code.block1, x), torch.cat([outputs[3], outputs[0]], 1))
        assert torch.equal(text._block(text.block1, x), torch.cat([outputs[3], outputs[1]], 1))


def test_no_convolution_has_a_bias():
    assert all(m.bias is None for m in DABNet(19).modules() if isinstance(m, nn.Conv2d))


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match="unknown concat 'last'; known: block_input, first_module"):
        DABNet(19, concat='last')
    with pytest.raises(ValueError, match="unknown head 'psp'; known: linear, erf_decoder, pyramid"):
        DABNet(19, head='psp')
    with pytest.raises(ValueError, match='two lists with at least one rate each are needed'):
        DABNet(19, dilations=((2, 2), ()))
