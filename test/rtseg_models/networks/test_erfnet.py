# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rtseg_models.networks.erfnet import ERFNet, ERFNetClassifier, ERFNetEncoder


@pytest.mark.parametrize('stage', [ERFNetEncoder, ERFNetClassifier])
def test_second_stage_takes_the_encoder_and_keeps_a_fresh_decoder(stage):
    torch.manual_seed(0)
    first = stage(7)
    with torch.no_grad():
        for parameter in first.parameters():
            parameter.add_(0.1)
    network = ERFNet(7)
    decoder = {k: v.clone() for k, v in network.decoder.state_dict().items()}
    network.load_encoder(first.state_dict())
    assert all(torch.equal(v, first.encoder.state_dict()[k]) for k, v in network.encoder.state_dict().items())
    assert all(torch.equal(v, decoder[k]) for k, v in network.decoder.state_dict().items())


def test_encoder_of_another_network_is_refused():
    with pytest.raises(RuntimeError, match='Missing key'):
        ERFNet(7).load_encoder({'encoder.0.conv.weight': torch.zeros(13, 3, 3, 3)})


def test_classifier_scores_any_size():
    network = ERFNetClassifier(9).eval()
    with torch.no_grad():
        assert tuple(network(torch.randn(2, 3, 224, 224)).shape) == (2, 9)
        assert tuple(network(torch.randn(1, 3, 50, 70)).shape) == (1, 9)


def test_dropout_and_dilation_follow_the_layers():
    network = ERFNet(19)
    dropouts = [m.p for m in network.modules() if isinstance(m, nn.Dropout2d)]
    assert dropouts == [0.03] * 5 + [0.3] * 8 + [0.0] * 4
    dilations = [m.dilation for m in network.modules() if isinstance(m, nn.Conv2d) and max(m.dilation) > 1]
    assert dilations == [pair for d in (2, 4, 8, 16) * 2 for pair in ((d, 1), (1, d))]
    assert {m.p for m in ERFNetClassifier(9).modules() if isinstance(m, nn.Dropout2d)} == {0.1}


def test_identity_blocks_keep_the_gradient_in_bf16():
    """With the authors' start the cosine is 0.1 to 0.2 (docs/decisions.md)."""
    torch.manual_seed(0)
    network = ERFNet(5, dropout=(0.0, 0.0), residual_gain=0.0)
    x = F.interpolate(torch.randn(2, 3, 6, 8), (96, 128), mode='bilinear')
    labels = F.interpolate(torch.randint(0, 5, (2, 1, 3, 4)).float(), (96, 128))[:, 0].long()

    def gradient(reduced: bool) -> torch.Tensor:
        network.zero_grad()
        with torch.autocast('cpu', torch.bfloat16, enabled=reduced):
            logits = network(x)
        F.cross_entropy(logits.float(), labels).backward()
        return torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])

    assert F.cosine_similarity(gradient(False), gradient(True), dim=0) > 0.99
