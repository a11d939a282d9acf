# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rtseg_models.networks import build_network
from rtseg_models.networks.contextnet import CONTEXT_WIDTHS, DETAIL_WIDTHS, ContextNet, scaled


def test_widths_scale_as_the_smaller_variants_need():
    assert scaled(CONTEXT_WIDTHS, 3 / 4) == (24, 24, 24, 36, 48, 72, 96, 96)
    assert scaled(CONTEXT_WIDTHS, 13 / 32) == (13, 13, 13, 20, 26, 39, 52, 52)
    assert scaled(DETAIL_WIDTHS, 13 / 32) == (13, 26, 52, 52)


@pytest.mark.parametrize('name', ['contextnet', 'contextnet_cn124'])
def test_zeroed_branches_do_not_reach_the_output(name):
    torch.manual_seed(0)
    network = build_network(name, 5, width=0.25).eval()
    x = torch.randn(1, 3, 64, 96)

    def spoilt(*branches):
        """The output with other weights in these branches."""
        state = {k: v.clone() for k, v in network.state_dict().items()}
        for key in state:
            if key.startswith(branches) and key.endswith('0.weight'):
                state[key] *= 1.7
        other = build_network(name, 5, width=0.25).eval()
        other.load_state_dict(state)
        other.zero_context, other.zero_detail = network.zero_context, network.zero_detail
        return other(x)

    with torch.no_grad():
        assert not torch.equal(network(x), spoilt('context.'))
        network.zero_context = True
        assert torch.equal(network(x), spoilt('context.'))
        assert not torch.equal(network(x), spoilt('detail.'))
        network.zero_context, network.zero_detail = False, True
        assert torch.equal(network(x), spoilt('detail.', 'half_detail.'))
        assert not torch.equal(network(x), spoilt('context.'))


def test_fusion_is_dilated_by_its_upsampling_factor():
    for name, factors in (('contextnet', [4]), ('contextnet_cn12', [2]), ('contextnet_cn18', [8])):
        network = build_network(name, 19)
        assert [network.fuse.low[0][0].dilation[0]] == factors
    network = build_network('contextnet_cn124', 19)
    assert network.fuse_half.low[0][0].dilation == network.fuse.low[0][0].dilation == (2, 2)


def test_detail_branch_has_no_activation_between_depthwise_and_pointwise():
    network = build_network('contextnet', 19)
    acts = [m for m in network.detail.modules() if isinstance(m, nn.ReLU6)]
    assert len(acts) == 4
    assert not any(isinstance(m, nn.ReLU) for m in network.modules())


def test_ensemble_averages_the_softmax_of_both_networks():
    torch.manual_seed(0)
    network = build_network('contextnet_ensemble', 5).eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        coarse, fine = network.context_network(x), network.detail_network(x)
        coarse = F.interpolate(coarse, fine.shape[-2:], mode='bilinear', align_corners=False)
        expected = (coarse.softmax(1) + fine.softmax(1)) / 2
        found = network(x)
    assert torch.allclose(found.softmax(1), expected, atol=1e-6)
    assert torch.allclose(found.exp(), expected, atol=1e-6)


def test_arguments_out_of_range_are_refused():
    with pytest.raises(ValueError, match='context_scale is 3; known: 2, 4, 8'):
        ContextNet(19, context_scale=3)
    with pytest.raises(ValueError, match='width is 0; a factor above 0 is needed'):
        ContextNet(19, width=0)
