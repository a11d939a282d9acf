# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the papers claim for each network, beside what the built network measures: parameters and multiply-adds.

Sizes are (height, width) of the input. Speeds are single-image frames per second on the device named, as the source
printed them; where two papers print different speeds for one network on one card, both are listed.
"""

from __future__ import annotations

from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from .networks import NETWORKS, build_network

Size = Tuple[int, int]
CLASSES = 19

FULL, HALF, QUARTER = (1024, 2048), (512, 1024), (256, 512)
TITAN_X = 'Titan X (Maxwell)'
TITAN_XP = 'Titan Xp'


class Paper(NamedTuple):
    """A paper and the input size at which multiply-adds are counted."""

    title: str
    year: int
    size: Size


class Figure(NamedTuple):
    """One published result; None where the source gives no such number. ``miou`` in percent."""

    miou: Optional[float]
    split: Optional[str]
    fps: Optional[float]
    device: Optional[str]
    size: Size
    protocol: str
    source: str
    dataset: str = 'cityscapes'


PAPERS: Dict[str, Paper] = {
    'contextnet': Paper('ContextNet: Exploring Context and Detail for Semantic Segmentation in Real-time', 2018, FULL),
    'fast_scnn': Paper('Fast-SCNN: Fast Semantic Segmentation Network', 2019, FULL),
    'farsee_net': Paper(
        'FarSee-Net: Real-Time Semantic Segmentation by Efficient Multi-scale Context Aggregation and Feature Space '
        'Super-resolution',
        2020,
        HALF,
    ),
    'erfnet': Paper('Efficient ConvNet for Real-time Semantic Segmentation', 2017, HALF),
    'dabnet': Paper('DABNet: Depth-wise Asymmetric Bottleneck for Real-time Semantic Segmentation', 2019, HALF),
    'enet': Paper('ENet: A Deep Neural Network Architecture for Real-Time Semantic Segmentation', 2016, HALF),
}

_CN_TIMING = 'TensorFlow, one CPU thread, memory transfers included'
_CN_PRUNED = f'pruned from twice the width; {_CN_TIMING}'
_CN_ABLATION = f'trained on train; {_CN_TIMING}'
_CN_ALONE = 'branch trained alone on train'
_FS_TIMING = 'TensorFlow, one CPU thread, batch 1, mean of 100 after 100 warm-up'
_FS_CLS = f'argmax output; {_FS_TIMING}'
_FS_PROB = f'softmax output; {_FS_TIMING}'
_FARSEE = 'ImageNet pre-trained ResNet-18, trained on train; PyTorch 1.1, mean of 500 images'
_ERF = 'trained from scratch on train; input at half size, output interpolated to 1024x2048'
_DAB_TIMING = 'PyTorch, mean of 100 frames'
_DAB = f'trained from scratch on train; {_DAB_TIMING}'
_DAB_CAMVID = f'trained from scratch on train and val; {_DAB_TIMING}'

PUBLISHED: Dict[str, List[Figure]] = {
    'contextnet': [
        Figure(66.1, 'test', 18.3, TITAN_X, FULL, _CN_PRUNED, 'ContextNet, Tables 6, 7'),
        Figure(65.9, 'val', 18.3, TITAN_X, FULL, _CN_ABLATION, 'ContextNet, Table 4'),
        Figure(None, None, 23.2, TITAN_X, FULL, 'kernel execution alone', 'ContextNet, Table 7'),
        Figure(None, None, 65.5, TITAN_X, HALF, _CN_TIMING, 'ContextNet, Table 7'),
        Figure(None, None, 139.2, TITAN_X, QUARTER, _CN_TIMING, 'ContextNet, Table 7'),
        Figure(None, None, 41.9, TITAN_X, FULL, _FS_TIMING, 'Fast-SCNN, Table 6'),
    ],
    'contextnet_cn12': [Figure(68.7, 'val', 11.4, TITAN_X, FULL, _CN_ABLATION, 'ContextNet, Table 4')],
    'contextnet_cn18': [Figure(60.1, 'val', 21.0, TITAN_X, FULL, _CN_ABLATION, 'ContextNet, Table 4')],
    'contextnet_cn124': [Figure(67.3, 'val', 7.6, TITAN_X, FULL, _CN_ABLATION, 'ContextNet, Table 4')],
    'contextnet_cn14_500': [Figure(62.1, 'val', 20.6, TITAN_X, FULL, _CN_ABLATION, 'ContextNet, Table 4')],
    'contextnet_cn14_160': [Figure(57.7, 'val', 22.0, TITAN_X, FULL, _CN_ABLATION, 'ContextNet, Table 4')],
    'contextnet_context_only': [Figure(63.3, 'val', None, None, FULL, _CN_ALONE, 'ContextNet, section 3.2.1')],
    'contextnet_detail_only': [Figure(25.1, 'val', None, None, FULL, _CN_ALONE, 'ContextNet, section 3.2.1')],
    'contextnet_ensemble': [
        Figure(60.3, 'val', None, None, FULL, 'softmax outputs averaged', 'ContextNet, section 3.2.1')
    ],
    'fast_scnn': [
        Figure(68.0, 'test', 123.5, TITAN_XP, FULL, _FS_CLS, 'Fast-SCNN, Tables 4, 6, 7'),
        Figure(62.8, 'test', 285.8, TITAN_XP, HALF, _FS_CLS, 'Fast-SCNN, Tables 6, 7'),
        Figure(51.9, 'test', 485.4, TITAN_XP, QUARTER, _FS_CLS, 'Fast-SCNN, Tables 6, 7'),
        Figure(None, None, 106.2, TITAN_XP, FULL, _FS_PROB, 'Fast-SCNN, Table 6'),
        Figure(None, None, 75.3, TITAN_X, FULL, _FS_CLS, 'Fast-SCNN, Table 6'),
        Figure(None, None, 62.1, TITAN_X, FULL, _FS_PROB, 'Fast-SCNN, Table 6'),
        Figure(68.62, 'val', None, None, FULL, 'fine labels, no pre-training', 'Fast-SCNN, Table 8'),
        Figure(69.15, 'val', None, None, FULL, 'ImageNet pre-training', 'Fast-SCNN, Table 8'),
        Figure(69.22, 'val', None, None, FULL, 'fine and coarse labels', 'Fast-SCNN, Table 8'),
        Figure(64.3, 'val', None, None, FULL, 'fine and coarse labels, skip zeroed', 'Fast-SCNN, section 3.2'),
    ],
    'farsee_net': [
        Figure(70.2, 'test', 68.5, TITAN_X, HALF, _FARSEE, 'FarSee-Net, Table II'),
        Figure(68.4, 'test', 84.0, TITAN_X, (512, 768), _FARSEE, 'FarSee-Net, Table II'),
        Figure(73.52, 'val', 21.7, TITAN_X, FULL, _FARSEE, 'FarSee-Net, Table I, 46.1 ms'),
        Figure(72.28, 'val', 37.3, TITAN_X, (768, 1536), _FARSEE, 'FarSee-Net, Table I, 26.8 ms'),
        Figure(70.29, 'val', 68.5, TITAN_X, HALF, _FARSEE, 'FarSee-Net, Table I, 14.6 ms'),
        Figure(69.84, 'val', 84.0, TITAN_X, (512, 768), _FARSEE, 'FarSee-Net, Table I, 11.9 ms'),
        Figure(None, None, 21.2, 'Jetson AGX Xavier', (512, 768), 'PyTorch, not optimised', 'FarSee-Net, section IV-D'),
    ],
    'farsee_net_method1': [
        Figure(72.01, 'val', 23.8, TITAN_X, FULL, _FARSEE, 'FarSee-Net, Table I, 42.0 ms'),
        Figure(70.40, 'val', 39.4, TITAN_X, (768, 1536), _FARSEE, 'FarSee-Net, Table I, 25.4 ms'),
        Figure(68.33, 'val', 63.3, TITAN_X, HALF, _FARSEE, 'FarSee-Net, Table I, 15.8 ms'),
    ],
    'farsee_net_method2': [Figure(68.61, 'val', 75.2, TITAN_X, HALF, _FARSEE, 'FarSee-Net, Table I, 13.3 ms')],
    'farsee_net_method3': [Figure(70.05, 'val', 74.1, TITAN_X, HALF, _FARSEE, 'FarSee-Net, Table I, 13.5 ms')],
    'erfnet': [
        Figure(68.0, 'test', 41.7, TITAN_X, HALF, _ERF, 'ERFNet, Tables II, III, 24 ms'),
        Figure(None, None, 83.3, TITAN_X, (360, 640), 'Torch7', 'ERFNet, Table IV'),
        Figure(None, None, 24.4, TITAN_X, (720, 1280), 'Torch7', 'ERFNet, Table IV'),
        Figure(None, None, 7.1, 'Jetson TX1', (360, 640), 'Torch7', 'ERFNet, Table IV'),
        Figure(69.7, 'test', None, None, HALF, 'ImageNet pre-trained encoder', 'FarSee-Net, Table II'),
    ],
    'dabnet': [
        Figure(70.1, 'test', 27.7, 'GTX 1080Ti', FULL, 'trained from scratch; PyTorch', 'DABNet, Table 3'),
        Figure(69.1, 'val', 104.2, 'GTX 1080Ti', HALF, _DAB, 'DABNet, Table 2'),
        Figure(None, None, 170.2, 'GTX 1080Ti', QUARTER, _DAB_TIMING, 'DABNet, Table 5'),
        Figure(66.4, 'test', 146.0, 'GTX 1080Ti', (360, 480), _DAB_CAMVID, 'DABNet, Table 4, section 4.3', 'camvid'),
    ],
    'dabnet_r4': [Figure(66.8, 'val', 104.3, 'GTX 1080Ti', HALF, _DAB, 'DABNet, Table 2')],
    'dabnet_coprime': [Figure(68.4, 'val', 104.2, 'GTX 1080Ti', HALF, _DAB, 'DABNet, Table 2')],
    'dabnet_erf_decoder': [Figure(69.4, 'val', 58.6, 'GTX 1080Ti', HALF, _DAB, 'DABNet, Table 2')],
    'dabnet_spp': [Figure(68.6, 'val', 72.2, 'GTX 1080Ti', HALF, _DAB, 'DABNet, Table 2')],
    'dabnet_no_dilation': [Figure(None, None, 104.5, 'GTX 1080Ti', HALF, _DAB_TIMING, 'DABNet, Table 2')],
    'dabnet_first_dilated': [Figure(None, None, 85.6, 'GTX 1080Ti', HALF, _DAB_TIMING, 'DABNet, Table 2')],
    'enet': [
        Figure(58.3, 'test', 76.9, TITAN_X, HALF, 'as other papers quote it', 'ContextNet, Tables 6, 7'),
        Figure(None, None, 46.8, TITAN_X, (720, 1280), 'Torch7', 'ERFNet, Table IV'),
        Figure(None, None, 14.6, 'Jetson TX1', (360, 640), 'Torch7', 'ERFNet, Table IV'),
        Figure(51.3, 'test', None, None, (360, 480), 'as other papers quote it', 'DABNet, Table 4', 'camvid'),
    ],
}


def paper_of(name: str) -> Paper:
    """The paper of a network or variant."""
    return next(paper for network, paper in PAPERS.items() if name == network or name.startswith(f'{network}_'))


def count_parameters(network: nn.Module) -> int:
    """Trainable parameters: weights, biases, batch norm's scale and shift; not its running statistics."""
    return sum(p.numel() for p in network.parameters())


def count_macs(network: nn.Module, size: Size) -> int:
    """Multiply-adds of one image of ``size``: convolutions, transposed convolutions, linear layers, matrix products.

    Batch norm, activations, pooling and resizing are not counted. On the meta device nothing is computed.
    """
    device = next(network.parameters()).device
    counter = FlopCounterMode(display=False)
    with counter, torch.no_grad():
        network(torch.empty(1, 3, *size, device=device))
    return int(counter.get_total_flops()) // 2  # it counts a multiply-add as two operations


def describe_networks() -> List[Dict[str, Any]]:
    """What ``rtseg models --json`` writes: a plain dict per network and variant, at 19 classes as deployed."""
    rows = []
    for name in NETWORKS:
        paper = paper_of(name)
        with torch.device('meta'):
            network = build_network(name, CLASSES).eval()
        rows.append(
            {
                'name': name,
                'paper': paper.title,
                'year': paper.year,
                'params': count_parameters(network),
                'macs': count_macs(network, paper.size),
                'size': list(paper.size),
                'published': [{**f._asdict(), 'size': list(f.size)} for f in PUBLISHED.get(name, [])],
            }
        )
    return rows
