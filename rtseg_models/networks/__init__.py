# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks by name: one paper, one file."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple

from torch import nn

from .contextnet import BranchEnsemble, ContextNet, ContextOnly, DetailOnly
from .dabnet import DABNet
from .enet import ENet
from .erfnet import ERFNet, ERFNetClassifier, ERFNetEncoder
from .farsee_net import FarSeeNet, FarSeeNetClassifier
from .fast_scnn import FastSCNN, FastSCNNClassifier


class Variant(NamedTuple):
    """A network's class and the arguments that make this variant of it."""

    build: Callable[..., nn.Module]
    arguments: Dict[str, Any]


NETWORKS: Dict[str, Variant] = {
    'contextnet': Variant(ContextNet, {}),
    'contextnet_cn12': Variant(ContextNet, {'context_scale': 2}),
    'contextnet_cn18': Variant(ContextNet, {'context_scale': 8}),
    'contextnet_cn124': Variant(ContextNet, {'half_branch': True}),
    'contextnet_cn14_500': Variant(ContextNet, {'width': 3 / 4}),
    'contextnet_cn14_160': Variant(ContextNet, {'width': 13 / 32}),
    'contextnet_pyramid': Variant(ContextNet, {'pyramid': True}),
    'contextnet_context_only': Variant(ContextOnly, {}),
    'contextnet_detail_only': Variant(DetailOnly, {}),
    'contextnet_ensemble': Variant(BranchEnsemble, {}),
    'fast_scnn': Variant(FastSCNN, {}),
    'farsee_net': Variant(FarSeeNet, {}),
    'farsee_net_method1': Variant(FarSeeNet, {'method': 1}),
    'farsee_net_method2': Variant(FarSeeNet, {'method': 2}),
    'farsee_net_method3': Variant(FarSeeNet, {'method': 3}),
    'farsee_net_conv3x': Variant(FarSeeNet, {'low_stride': 8}),
    'farsee_net_resnet34': Variant(FarSeeNet, {'frontend': 'resnet34'}),
    'farsee_net_mobilenet_v2': Variant(FarSeeNet, {'frontend': 'mobilenet_v2'}),
    'farsee_net_shufflenet_v2': Variant(FarSeeNet, {'frontend': 'shufflenet_v2'}),
    'erfnet': Variant(ERFNet, {}),
    'erfnet_encoder': Variant(ERFNetEncoder, {}),
    'dabnet': Variant(DABNet, {}),
    'dabnet_r4': Variant(DABNet, {'dilations': ((2, 2, 2), (4,) * 6)}),
    'dabnet_coprime': Variant(DABNet, {'dilations': ((2, 2, 2), (3, 3, 7, 7, 13, 13))}),
    'dabnet_no_dilation': Variant(DABNet, {'dilations': ((1,) * 3, (1,) * 6)}),
    'dabnet_first_dilated': Variant(DABNet, {'first_dilation': 2}),
    'dabnet_erf_decoder': Variant(DABNet, {'head': 'erf_decoder'}),
    'dabnet_spp': Variant(DABNet, {'head': 'pyramid'}),
    'dabnet_text_concat': Variant(DABNet, {'concat': 'first_module'}),
    'enet': Variant(ENet, {}),
}

CLASSIFIERS: Dict[str, Variant] = {
    'fast_scnn_classifier': Variant(FastSCNNClassifier, {}),
    'farsee_net_classifier': Variant(FarSeeNetClassifier, {}),
    'erfnet_classifier': Variant(ERFNetClassifier, {}),
}
"""Networks for pre-training on images with one class each: scores (N,classes)."""


def logit_stride(network: nn.Module) -> int:
    """Input pixels from one logit of the network to the next."""
    return int(getattr(network, 'stride'))  # noqa: B009  an attribute that nn.Module's type does not know


def build_network(name: str, classes: int, *, aux: bool = False, **arguments: Any) -> nn.Module:
    """A fresh network for ``classes`` classes; ValueError lists the known names.

    ``aux`` adds the auxiliary training heads to those networks whose papers have some (class attribute ``aux_weight``).
    """
    known = {**NETWORKS, **CLASSIFIERS}
    if name not in known:
        raise ValueError(f'unknown network {name!r}; known: {", ".join(sorted(known))}')
    variant = known[name]
    if aux and hasattr(variant.build, 'aux_weight'):
        arguments['aux'] = True
    return variant.build(classes, **{**variant.arguments, **arguments})
