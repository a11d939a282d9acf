# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from parity import randomise

from rtseg_models.catalogue import count_parameters
from rtseg_models.networks.contextnet import ContextNet
from rtseg_models.networks.pruning import layers, mask, prune, survivors


def wide(**options):
    torch.manual_seed(0)
    return randomise(ContextNet(5, **options))


@pytest.mark.parametrize(
    'options',
    [{}, {'half_branch': True}, {'pyramid': True}, {'aux': True}, {'context_scale': 2, 'pyramid': True, 'aux': True}],
)
def test_pruned_network_computes_what_the_masked_wide_one_computes(options):
    network = wide(width=0.5, **options)
    pruned = prune(network, 0.25)
    assert count_parameters(pruned) == count_parameters(ContextNet(5, width=0.25, **options))
    x = torch.randn(2, 3, 96, 160)
    with torch.no_grad():
        unmasked = network(x)
        mask(network, survivors(network, 0.25))
        expected, found = network(x), pruned(x)
    scale = float(expected.std())
    assert float((found - expected).abs().max()) <= 1e-4 * scale
    assert float((unmasked - expected).abs().max()) > 0.1 * scale
    if 'aux' in options:
        with torch.no_grad():
            (masked,), (narrow,) = network.forward_with_aux(x)[1], pruned.forward_with_aux(x)[1]
        assert torch.allclose(masked, narrow, atol=1e-4 * float(masked.std()))


def test_the_papers_steps_end_in_the_network_itself():
    with torch.device('meta'):
        counts = [count_parameters(ContextNet(19, width=w)) for w in (2, 1.5, 1.25, 1)]
    assert counts == [3_291_667, 1_877_011, 1_317_619, 856_851]
    network = ContextNet(19, width=2)
    for width in (1.5, 1.25, 1.0):
        network = prune(network, width)
    plain = ContextNet(19)
    assert {k: v.shape for k, v in network.state_dict().items()} == {k: v.shape for k, v in plain.state_dict().items()}


def test_the_filters_with_the_lowest_l1_sum_go():
    network = ContextNet(5)
    with torch.no_grad():
        weight = network.detail[0][0].weight
        weight.copy_(torch.arange(1.0, 33.0).flip(0).view(32, 1, 1, 1).expand_as(weight))
        weight[3] = 0.0
    keep = survivors(network, 0.5)['detail.0']
    assert keep.tolist() == [0, 1, 2, *range(4, 17)]


def test_ties_keep_the_lower_index():
    network = ContextNet(5)
    with torch.no_grad():
        network.detail[0][0].weight.fill_(1.0)
    assert survivors(network, 0.5)['detail.0'].tolist() == list(range(16))


def test_added_channels_share_one_group():
    found = {layer.path: layer for layer in layers(ContextNet(5))}
    # Rows 1 to 3 of Table 2 have one width and are joined by residuals.
    assert found['context.0'].output == found['context.1.0.body.2'].output == found['context.2.0.body.2'].output
    # A stage's first bottleneck strides, so its chain begins there.
    assert found['context.3.0.body.2'].output != found['context.0'].output
    assert found['context.3.0.body.2'].output == found['context.3.2.body.2'].output
    assert found['fuse.low.1'].output == found['fuse.high'].output


def test_every_convolution_is_in_the_plan():
    network = ContextNet(5, half_branch=True, pyramid=True, aux=True)
    planned = {f'{layer.path}.0' for layer in layers(network)}
    convolutions = {n for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d)}
    assert convolutions - planned == {'classifier.1', 'aux_heads.0.2'}


@pytest.mark.parametrize('width', [0.0, 1.0, 1.5])
def test_only_narrower_widths_are_accepted(width):
    with pytest.raises(ValueError, match=rf'width is {width}; between 0 and the present 1.0 is needed'):
        prune(ContextNet(5), width)
