# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch

from rtseg_models.networks import build_network
from rtseg_models.networks.fast_scnn import FastSCNN, FastSCNNClassifier
from rtseg_models.networks.prediction import Prediction, upsample


def test_argmax_and_softmax_outputs_tell_the_same_labels():
    torch.manual_seed(0)
    network = build_network('fast_scnn', 6).eval()
    x = torch.randn(2, 3, 75, 101)
    with torch.no_grad():
        labels = Prediction(network, 'labels')(x)
        probabilities = Prediction(network, 'probabilities')(x)
    assert labels.dtype == torch.uint8
    assert tuple(labels.shape) == (2, 75, 101)
    assert tuple(probabilities.shape) == (2, 6, 75, 101)
    assert torch.allclose(probabilities.sum(1), torch.ones(2, 75, 101), atol=1e-5)
    assert torch.equal(probabilities.argmax(1).to(torch.uint8), labels)
    with pytest.raises(ValueError, match="unknown output 'logits'; known: labels, probabilities"):
        Prediction(network, 'logits')


@pytest.mark.parametrize('stride', [1, 2, 4, 8])
def test_upsampling_maps_pixels_by_the_true_stride(stride):
    # Logits that are a ramp over pixel centres come back as that ramp, at sizes that the stride does not divide too.
    height, width = 37, 53
    rows, columns = -(-height // stride), -(-width // stride)
    ramp = (torch.arange(columns) + 0.5) * stride - 0.5
    found = upsample(ramp.expand(1, 1, rows, columns), stride, (height, width))
    inside = slice(stride, width - 2 * stride)
    assert torch.allclose(found[0, 0, 0, inside], torch.arange(float(width))[inside], atol=1e-4)


def test_zeroed_skip_keeps_the_detail_out():
    torch.manual_seed(0)
    network = FastSCNN(5).eval()
    x = torch.randn(1, 3, 64, 96)
    with torch.no_grad():
        plain = network(x)
        network.zero_skip = True
        zeroed = network(x)
        network.fuse_high[0].weight.mul_(3.0)
        assert torch.equal(network(x), zeroed)
    assert not torch.equal(plain, zeroed)


def test_features_pretrained_for_classification_are_taken_over():
    torch.manual_seed(0)
    classifier, network = FastSCNNClassifier(10).eval(), FastSCNN(5)
    fusion = network.fuse_low[1][0].weight.clone()
    network.load_encoder(classifier.state_dict())
    for name, tensor in classifier.state_dict().items():
        if not name.startswith('head.'):
            assert torch.equal(network.state_dict()[name], tensor), name
    assert torch.equal(network.fuse_low[1][0].weight, fusion)
    assert tuple(classifier(torch.randn(2, 3, 224, 224)).shape) == (2, 10)
    with pytest.raises(RuntimeError, match='Missing key'):
        network.load_encoder({})


def test_compatibility_options_change_what_they_name():
    plain = FastSCNN(5)
    compatible = FastSCNN(5, stem_padding=0, dw_relu=True, ffm_dilation=1, ffm_bias=True, align_corners=True)
    assert plain.learning_to_downsample[0][0].padding == (1, 1)
    assert compatible.learning_to_downsample[0][0].padding == (0, 0)
    assert plain.fuse_low[0][0].dilation == (4, 4)
    assert compatible.fuse_low[0][0].dilation == (1, 1)
    assert plain.fuse_high[0].bias is None
    assert compatible.fuse_high[0].bias is not None
    assert len(compatible.classifier[0][0]) == len(plain.classifier[0][0]) + 1
