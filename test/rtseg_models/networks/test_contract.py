# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What every network and variant promises: sizes, gradients, determinism, and the same logits in every runtime."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from parity import MEAN, STD, disagreement, randomise, rendered, runtimes
from torch import nn

from rtseg_models.catalogue import PAPERS, paper_of
from rtseg_models.networks import NETWORKS, build_network
from rtseg_models.networks.deployed import Deployed

WITH_AUX = [n for n, v in NETWORKS.items() if hasattr(v.build, 'aux_weight')]


def expected_size(network: nn.Module, size):
    return tuple(-(-side // network.stride) for side in size)


@pytest.mark.parametrize('name', NETWORKS)
def test_any_size_gives_logits_of_its_size_over_the_stride(name):
    with torch.device('meta'):
        network = build_network(name, 19).eval()
    for size in (paper_of(name).size, (353, 487), (65, 97)):
        logits = network(torch.empty(2, 3, *size, device='meta'))
        assert tuple(logits.shape) == (2, 19, *expected_size(network, size)), size


@pytest.mark.parametrize('name', NETWORKS)
def test_smallest_size_works_and_a_smaller_one_is_refused(name):
    network = build_network(name, 2).eval()
    side = network.multiple
    with torch.no_grad():
        logits = network(torch.randn(1, 3, side, side + 1))
    assert tuple(logits.shape) == (1, 2, *expected_size(network, (side, side + 1)))
    with pytest.raises(ValueError, match=f'at least {side} pixels on each side.* got {side - 1}x{side}'):
        network(torch.randn(1, 3, side - 1, side))
    with pytest.raises(ValueError, match=r'expects images \(N,3,H,W\)'):
        network(torch.randn(1, 4, side, side))


@pytest.mark.parametrize('name', NETWORKS)
def test_no_classes_are_refused(name):
    with pytest.raises(ValueError, match='classes is 0; at least 1 is needed'):
        build_network(name, 0)


def test_unknown_network_is_refused_with_the_known_ones():
    with pytest.raises(ValueError, match=r"unknown network 'unet'; known: contextnet, .*farsee_net_method3"):
        build_network('unet', 19)


@pytest.mark.parametrize('name', NETWORKS)
def test_gradient_reaches_every_parameter(name):
    torch.manual_seed(0)
    network = build_network(name, 5, aux=True).train()
    x = torch.randn(2, 3, *(max(64, 2 * network.multiple),) * 2)
    if name in WITH_AUX:
        logits, aux = network.forward_with_aux(x)
    else:
        logits, aux = network(x), []
    sum(t.square().mean() for t in (logits, *aux)).backward()
    modules = dict(network.named_modules())
    for path, parameter in network.named_parameters():
        assert parameter.grad is not None, path
        assert torch.isfinite(parameter.grad).all(), path
        owner, _, kind = path.rpartition('.')
        # A batch norm removes the bias of the convolution before it, so that gradient is zero but for rounding.
        if kind == 'weight' or not isinstance(modules[owner], nn.Conv2d):
            assert parameter.grad.abs().max() > 0, path


@pytest.mark.parametrize('name', NETWORKS)
def test_what_inference_keeps_serves_learning(name):
    network = build_network(name, 2)
    x = torch.randn(2, 3, *(max(64, 2 * network.multiple),) * 2)
    with torch.inference_mode():
        network.eval()(x)
    network.train()(x).square().mean().backward()


@pytest.mark.parametrize('name', NETWORKS)
def test_evaluation_is_deterministic_and_ignores_the_batch(name):
    torch.manual_seed(0)
    network = build_network(name, 7).eval()
    x = torch.randn(2, 3, 97, 131)
    with torch.no_grad():
        first, again, alone = network(x), network(x), network(x[1:])
    assert torch.equal(first, again)
    assert torch.allclose(first[1:], alone, atol=1e-4 * float(first.std()))


@pytest.mark.parametrize('name', WITH_AUX)
def test_auxiliary_heads_are_for_training_only(name):
    torch.manual_seed(0)
    bare, network = build_network(name, 6).eval(), build_network(name, 6, aux=True).eval()
    assert network.aux_weight == 0.4
    extra = network.state_dict().keys() - bare.state_dict().keys()
    assert extra
    assert all(key.startswith('aux_heads.') for key in extra)
    bare.load_state_dict({k: v for k, v in network.state_dict().items() if k not in extra})
    x = torch.randn(1, 3, 100, 140)
    with torch.no_grad():
        logits, aux = network.forward_with_aux(x)
        assert torch.equal(logits, bare(x))
    assert all(a.shape[:2] == (1, 6) for a in aux)


def check_parity(name, size, folder):
    torch.manual_seed(1)
    deployed = Deployed(randomise(build_network(name, 19)), MEAN, STD).eval()
    rgb = rendered(*size)
    with torch.no_grad():
        eager = deployed(torch.from_numpy(rgb)).numpy()
    assert len(np.unique(eager.argmax(1))) > 1
    for runtime, logits in runtimes(deployed, folder, rgb).items():
        assert logits.shape == eager.shape
        difference, agreement = disagreement(logits, eager)
        assert difference <= 1e-3, runtime
        assert agreement >= 0.999, runtime


@pytest.mark.parametrize('name', NETWORKS)
def test_runtimes_agree_at_256x512(name, tmp_path):
    check_parity(name, (256, 512), tmp_path)


@pytest.mark.parametrize('name', PAPERS)
def test_runtimes_agree_at_360x480(name, tmp_path):
    check_parity(name, (360, 480), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize('name', [n for n in NETWORKS if n not in PAPERS])
def test_runtimes_agree_for_every_variant_at_360x480(name, tmp_path):
    check_parity(name, (360, 480), tmp_path)


@pytest.mark.long
@pytest.mark.parametrize('name', NETWORKS)
def test_runtimes_agree_at_the_papers_size(name, tmp_path):
    check_parity(name, paper_of(name).size, tmp_path)


@pytest.mark.long
@pytest.mark.parametrize('name', PAPERS)
def test_runtimes_agree_at_an_odd_size(name, tmp_path):
    check_parity(name, (353, 487), tmp_path)
