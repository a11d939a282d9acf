# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parameters, multiply-adds and layers beside what the papers, or exact arithmetic on their tables, say."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from rtseg_models.catalogue import count_macs, count_parameters
from rtseg_models.networks import build_network
from rtseg_models.networks.erfnet import ERFNetClassifier

# network, classes, parameters, tolerance in percent, where the figure comes from
PARAMETERS = [
    ('contextnet', 19, 856_851, 0, 'Table 2 summed; Table 4 says 0.85 M'),
    ('contextnet_cn12', 19, 856_851, 0, 'Table 2 summed; Table 4 says 0.85 M'),
    ('contextnet_cn18', 19, 856_851, 0, 'Table 2 summed; Table 4 says 0.85 M'),
    ('contextnet_cn124', 19, 922_195, 0, 'Tables 2, 3 summed; Table 4 says 0.93 M'),
    ('contextnet_cn14_500', 19, 490_459, 2, 'section 3.2.1'),
    ('contextnet_cn14_160', 19, 159_387, 2, 'section 3.2.1'),
    ('contextnet_pyramid', 19, 906_515, 0, 'with the customary pyramid pooling'),
    ('fast_scnn', 19, 1_110_000, 2.6, 'Table 4 says 1.11 M, which is the convolution weights alone'),
    ('fast_scnn', 19, 1_138_051, 0.1, 'public implementations, with two biases of 128 more in the fusion'),
    ('farsee_net', 19, 16_753_056, 0, 'the one independent public implementation'),
    ('farsee_net', 11, 16_687_520, 0, 'the same at 11 classes'),
    ('farsee_net_method1', 19, 16_610_000, 0.1, 'section IV-C summed'),
    ('farsee_net_method2', 19, 13_280_000, 0.1, 'section IV-C summed'),
    ('farsee_net_method3', 19, 15_000_000, 1, 'section IV-C summed'),
    ('farsee_net_conv3x', 19, 23_038_368, 0, 'low feature at stride 8'),
    ('erfnet', 19, 2_064_191, 0, "the authors' code without its encoder head"),
    ('erfnet', 11, 2_063_671, 0, 'the same at 11 classes'),
    ('erfnet_encoder', 19, 2_066_642 - 190_147, 0, "the authors' code without its decoder"),
    ('dabnet', 19, 756_643, 0, 'Table 2 says 0.76 M'),
    ('dabnet', 11, 754_571, 0, 'the same at 11 classes'),
    ('dabnet_text_concat', 19, 756_643, 0, 'section 3.2: the same count either way'),
    ('dabnet_no_dilation', 19, 756_643, 0, 'Table 2 says 0.76 M'),
    ('dabnet_first_dilated', 19, 756_643, 0, 'Table 2 says 0.76 M'),
    ('dabnet_erf_decoder', 19, 1_017_325, 0, 'Table 2 says 1.02 M'),
    ('dabnet_spp', 19, 3_220_000, 1, 'Table 2 says 3.22 M'),
    ('enet', 19, 360_000, 3, 'others print 0.36 M and 0.37 M'),
]

# network, input size, multiply-adds, tolerance in percent
MACS = [
    ('contextnet', (1024, 2048), 5.63e9),
    ('contextnet', (512, 1024), 1.41e9),
    ('contextnet_cn18', (1024, 2048), 3.52e9),
    ('contextnet_cn12', (1024, 2048), 14.08e9),
    ('contextnet_cn124', (1024, 2048), 6.31e9),
    ('contextnet_cn14_500', (1024, 2048), 3.33e9),
    ('contextnet_cn14_160', (1024, 2048), 1.15e9),
    ('fast_scnn', (1024, 2048), 6.71e9),
    ('fast_scnn', (512, 1024), 1.68e9),
    ('farsee_net', (512, 1024), 26.3e9),
    ('farsee_net', (512, 768), 19.7e9),
    ('erfnet', (512, 1024), 26.6e9),
    ('erfnet', (360, 480), 8.77e9),
    ('dabnet', (512, 1024), 10.2e9),
    ('dabnet', (360, 480), 3.37e9),
]


@pytest.mark.parametrize(('name', 'classes', 'expected', 'percent', 'source'), PARAMETERS)
def test_parameters_as_deployed(name, classes, expected, percent, source):
    with torch.device('meta'):
        found = count_parameters(build_network(name, classes))
    assert abs(found - expected) <= expected * percent / 100, source


def test_parameters_of_the_encoder_for_imagenet():
    with torch.device('meta'):
        assert count_parameters(ERFNetClassifier(1000)) == 2_003_044


@pytest.mark.parametrize(('name', 'size', 'expected'), MACS)
def test_multiply_adds(name, size, expected):
    with torch.device('meta'):
        network = build_network(name, 19).eval()
    assert count_macs(network, size) == pytest.approx(expected, rel=0.015)


def test_multiply_adds_of_known_layers():
    layers = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=True), nn.Conv2d(8, 8, 3, padding=1, groups=8), nn.ConvTranspose2d(8, 5, 2, 2)
    )
    half = 8 * 16
    assert count_macs(layers, (16, 32)) == half * (3 * 8 * 9) + half * (8 * 9) + half * (8 * 5 * 4)


def test_contextnet_has_38_layers_in_its_context_branch():
    context = build_network('contextnet', 19).context
    assert sum(isinstance(m, nn.Conv2d) for m in context.modules()) == 38


def test_erfnet_has_the_23_layers_of_its_table():
    network = build_network('erfnet', 19)
    assert len(network.encoder) == 16
    assert len(network.decoder) == 7


@pytest.mark.parametrize('name', ['erfnet', 'erfnet_encoder', 'dabnet', 'dabnet_spp', 'dabnet_erf_decoder', 'enet'])
def test_batch_norm_epsilon_is_1e_3(name):
    norms = [m for m in build_network(name, 19).modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms
    assert {m.eps for m in norms} == {1e-3}
