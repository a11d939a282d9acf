# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from rtseg_models.catalogue import count_parameters
from rtseg_models.errors import BundleError, NotFound
from rtseg_models.networks.farsee_net import FarSeeNet, SubPixel
from rtseg_models.networks.frontends import FRONTENDS, build_frontend, load_frontend

# Parameters of torchvision's networks less those of their last linear layer, which its documentation's totals include.
TORCHVISION = {
    'resnet18': 11_689_512 - 513_000,
    'resnet34': 21_797_672 - 513_000,
    'mobilenet_v2': 3_504_872 - 1_281_000,
    'shufflenet_v2': 2_278_604 - 1_025_000,
}
SAMPLE_NAMES = {
    'resnet18': ('conv1.weight', 'bn1.running_var', 'layer2.0.downsample.0.weight', 'layer4.1.bn2.bias'),
    'resnet34': ('layer3.5.conv2.weight', 'layer4.2.bn1.weight'),
    'mobilenet_v2': (
        'features.0.0.weight',
        'features.1.conv.0.0.weight',
        'features.17.conv.3.bias',
        'features.18.1.bias',
    ),
    'shufflenet_v2': (
        'conv1.0.weight',
        'stage2.0.branch1.2.weight',
        'stage3.7.branch2.5.weight',
        'conv5.1.running_mean',
    ),
}


@pytest.mark.parametrize('name', FRONTENDS)
def test_frontend_is_torchvisions_without_its_classifier(name):
    frontend = build_frontend(name).eval()
    assert count_parameters(frontend) == TORCHVISION[name]
    assert frontend.state_dict().keys() >= set(SAMPLE_NAMES[name])
    with torch.no_grad():
        features = frontend(torch.randn(1, 3, 64, 96))
    expected = {s: (1, frontend.channels[s], 64 // s, 96 // s) for s in (4, 8, 16, 32)}
    assert {s: tuple(f.shape) for s, f in features.items()} == expected


def test_shuffle_interleaves_the_halves():
    unit = build_frontend('shufflenet_v2').stage2[1].eval()
    x = torch.randn(1, 116, 4, 4)
    with torch.no_grad():
        found, convolved = unit(x), unit.branch2(x[:, 58:])
    assert torch.equal(found[:, 0::2], x[:, :58])
    assert torch.allclose(found[:, 1::2], convolved, atol=1e-6)


@pytest.mark.parametrize('name', FRONTENDS)
def test_weights_file_in_torchvisions_naming_loads(name, tmp_path):
    torch.manual_seed(0)
    published = build_frontend(name)
    # Files from before PyTorch 0.4.1 hold no batch counters; every file holds the classifier.
    state = {k: v for k, v in published.state_dict().items() if not k.endswith('num_batches_tracked')}
    state.update({f'{published.classifier_prefix}weight': torch.zeros(1000, 4)})
    torch.save(state, tmp_path / 'weights.pth')
    network = FarSeeNet(3, frontend=name)
    network.load_frontend(tmp_path / 'weights.pth')
    assert all(torch.equal(v, network.frontend.state_dict()[k]) for k, v in published.state_dict().items())


def test_weights_of_another_frontend_are_refused(tmp_path):
    path = tmp_path / 'weights.pth'
    state = build_frontend('resnet18').state_dict()
    torch.save(state, path)
    with pytest.raises(BundleError, match=r"tensor 'conv1.0.bias'|tensor 'bn1.bias'"):
        load_frontend(build_frontend('shufflenet_v2'), path)
    with pytest.raises(BundleError, match=r"lacks tensor 'layer1.2.bn1.bias', so it is not a file for this ResNet"):
        load_frontend(build_frontend('resnet34'), path)
    torch.save({**state, 'conv1.weight': torch.zeros(64, 3, 3, 3)}, path)
    with pytest.raises(BundleError, match=r"'conv1.weight' has shape \(64, 3, 3, 3\), expected \(64, 3, 7, 7\)"):
        load_frontend(build_frontend('resnet18'), path)
    path.write_bytes(b'')
    with pytest.raises(BundleError, match='not a weights file that can be read: its end is missing'):
        load_frontend(build_frontend('resnet18'), path)
    with pytest.raises(NotFound, match='no such weights file'):
        load_frontend(build_frontend('resnet18'), tmp_path / 'absent.pth')


def test_sub_pixel_convolution_is_a_1x1_and_a_periodic_shuffle():
    torch.manual_seed(0)
    layer = SubPixel(6, 2, 3)
    x = torch.randn(1, 6, 2, 2)
    wide, found = layer[0](x), layer(x)
    assert tuple(found.shape) == (1, 2, 6, 6)
    for c, i, j in ((0, 0, 0), (1, 2, 1), (0, 1, 2)):
        assert torch.equal(found[0, c, i::3, j::3], wide[0, 9 * c + 3 * i + j])


@pytest.mark.parametrize(('method', 'stride', 'subpixel'), [(1, 8, 0), (2, 8, 0), (3, 16, 0), (4, 4, 2)])
def test_methods_differ_as_the_ablation_says(method, stride, subpixel):
    network = FarSeeNet(19, method=method)
    assert network.stride == stride
    assert sum(isinstance(m, SubPixel) for m in network.modules()) == subpixel
    rates = [m.dilation[0] for m in network.modules() if isinstance(m, nn.Conv2d) and m.dilation[0] > 1]
    assert rates == ([6, 12, 18] if method <= 2 else [6, 12, 18, 6, 12])
    dense = [m for m in network.modules() if isinstance(m, nn.Conv2d) and m.dilation[0] > 1 and m.groups == 1]
    assert len(dense) == (3 if method == 1 else 0)


def test_norm_on_the_first_sub_pixel_convolution_is_an_option():
    assert count_parameters(FarSeeNet(19, subpixel_norm=True)) == 16_757_152


def test_half_size_input_learns_from_full_size_labels():
    torch.manual_seed(0)
    network = FarSeeNet(5, frontend='shufflenet_v2')
    labels = torch.randint(0, 5, (2, 128, 192))
    logits = network(torch.randn(2, 3, 64, 96))
    loss = F.cross_entropy(F.interpolate(logits, labels.shape[-2:], mode='bilinear'), labels)
    loss.backward()
    assert all(float(p.grad.abs().sum()) > 0 for p in network.backend.classify.parameters())
    assert float(network.frontend.conv1[0].weight.grad.abs().sum()) > 0


def test_unknown_choices_are_refused_with_the_known_ones():
    with pytest.raises(ValueError, match="unknown front-end 'vgg'; known: resnet18, resnet34, mobilenet_v2"):
        FarSeeNet(19, frontend='vgg')
    with pytest.raises(ValueError, match='unknown method 5; known: 1, 2, 3, 4'):
        FarSeeNet(19, method=5)
    with pytest.raises(ValueError, match='low_stride is 32; known: 4, 8, 16'):
        FarSeeNet(19, low_stride=32)
