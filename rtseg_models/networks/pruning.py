# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Structured pruning of ContextNet (section 3.2.2): train wide, drop the filters with the lowest L1 sum, step by step.

The paper goes from twice the width to 1.5, 1.25 and 1 times. Channels that are added to one another must survive
together, so they form one group with one choice of survivors:
- the output channels along a residual chain of bottlenecks, the chain's first convolution among them;
- the outputs of a fusion unit's two 1x1 convolutions;
- a depthwise convolution's channels, which are those of its producer.
A group's score per channel is the sum of the absolute weights of the dense filters that produce it (Li et al., ICLR
2017); the highest survive, in their old order, lower index first on ties.
"""

from __future__ import annotations

from typing import Dict, List, NamedTuple, Sequence

import torch
from torch import Tensor, nn

from .blocks import Bottleneck, ConvBN, DSConv
from .contextnet import ContextNet


class Layer(NamedTuple):
    """A convolution with its batch norm, by module path, and the groups that its channels belong to."""

    path: str
    inputs: Sequence[str]  # groups, concatenated in this order; empty for the image's channels
    output: str
    depthwise: bool = False


def _separable(path: str, source: str, output: str) -> List[Layer]:
    return [Layer(f'{path}.0', [source], source, True), Layer(f'{path}.1', [source], output)]


def _branch(path: str, branch: nn.Sequential) -> List[Layer]:
    """Layers of a detail or context branch; the last layer's output group is the branch's."""
    layers: List[Layer] = []
    source = ''
    for i, child in enumerate(branch):
        here = f'{path}.{i}'
        if isinstance(child, DSConv):
            layers += _separable(here, source, here)
            source = here
        elif isinstance(child, ConvBN):
            layers.append(Layer(here, [source] if source else [], here))
            source = here
        else:
            for j, block in enumerate(child.children()):
                assert isinstance(block, Bottleneck)
                body = f'{here}.{j}.body'
                output = source if block.residual else f'{here}.{j}'
                layers.append(Layer(f'{body}.0', [source], body))
                layers.append(Layer(f'{body}.1', [body], body, True))
                layers.append(Layer(f'{body}.2', [body], output))
                source = output
    return layers


def _fusion(path: str, coarse: str, fine: str) -> List[Layer]:
    return [
        Layer(f'{path}.low.0', [coarse], coarse, True),
        Layer(f'{path}.low.1', [coarse], path),
        Layer(f'{path}.high', [fine], path),
    ]


def layers(network: ContextNet) -> List[Layer]:
    """Every convolution with a batch norm of the network, producers before consumers."""
    found = _branch('context', network.context)
    context = found[-1].output
    if network.pyramid is not None:
        levels = [f'pyramid.reduce.{i}' for i in range(len(network.pyramid.bins))]
        found += [Layer(level, [context], level) for level in levels]
        found.append(Layer('pyramid.project', [context, *levels], 'pyramid'))
        context = 'pyramid'
    if hasattr(network, 'aux_heads'):
        found.append(Layer('aux_heads.0.0', [context], 'aux'))
    if network.half_detail is not None:
        half = _branch('half_detail', network.half_detail)
        found += half + _fusion('fuse_half', context, half[-1].output)
        context = 'fuse_half'
    detail = _branch('detail', network.detail)
    return found + detail + _fusion('fuse', context, detail[-1].output)


def _convolution(network: nn.Module, layer: Layer) -> nn.Conv2d:
    return network.get_submodule(f'{layer.path}.0')  # type: ignore[return-value]


def narrower(network: ContextNet, width: float) -> ContextNet:
    """A fresh network with the same options at another ``width``."""
    return ContextNet(
        network.classes,
        context_scale=network.context_scale,
        width=width,
        half_branch=network.half_detail is not None,
        pyramid=network.pyramid is not None,
        aux=hasattr(network, 'aux_heads'),
        dropout=network.dropout,
    )


def survivors(network: ContextNet, width: float) -> Dict[str, Tensor]:
    """Channel indices (int64, ascending) that each group keeps at ``width``; ValueError unless it is narrower."""
    if not 0 < width < network.width:
        raise ValueError(f'width is {width}; between 0 and the present {network.width} is needed')
    target = narrower(network, width)
    scores: Dict[str, Tensor] = {}
    sizes: Dict[str, int] = {}
    for layer in layers(network):
        if layer.depthwise:
            continue
        norm = _convolution(network, layer).weight.detach().abs().sum((1, 2, 3))
        scores[layer.output] = scores[layer.output] + norm if layer.output in scores else norm
        sizes[layer.output] = _convolution(target, layer).out_channels
    return {
        group: torch.sort(torch.argsort(score, descending=True, stable=True)[: sizes[group]]).values
        for group, score in scores.items()
    }


@torch.no_grad()
def mask(network: ContextNet, keep: Dict[str, Tensor]) -> None:
    """Silence, in place, every channel that its group does not keep: its output is zero, the shapes stay."""
    for layer in layers(network):
        convolution, norm = _convolution(network, layer), network.get_submodule(f'{layer.path}.1')
        dropped = torch.ones(convolution.out_channels, dtype=torch.bool)
        dropped[keep[layer.output]] = False
        for parameter in (convolution.weight, *norm.parameters()):
            parameter[dropped] = 0.0


@torch.no_grad()
def prune(network: ContextNet, width: float) -> ContextNet:
    """The network at ``width``, made of the surviving filters; before fine-tuning it computes what ``mask`` leaves."""
    keep = survivors(network, width)
    result = narrower(network, width)
    widths = {layer.output: _convolution(network, layer).out_channels for layer in layers(network)}
    state = dict(network.state_dict())
    for layer in layers(network):
        outputs = keep[layer.output]
        weight = state[f'{layer.path}.0.weight'][outputs]
        if layer.inputs and not layer.depthwise:
            weight = weight[:, _concatenated(layer.inputs, keep, widths)]
        state[f'{layer.path}.0.weight'] = weight
        for name in ('weight', 'bias', 'running_mean', 'running_var'):
            state[f'{layer.path}.1.{name}'] = state[f'{layer.path}.1.{name}'][outputs]
    state['classifier.1.weight'] = state['classifier.1.weight'][:, keep['fuse']]
    if 'aux' in keep:
        state['aux_heads.0.2.weight'] = state['aux_heads.0.2.weight'][:, keep['aux']]
    result.load_state_dict(state)
    return result.train(network.training)


def _concatenated(groups: Sequence[str], keep: Dict[str, Tensor], widths: Dict[str, int]) -> Tensor:
    """Surviving positions in the concatenation of ``groups``."""
    parts, start = [], 0
    for group in groups:
        parts.append(keep[group] + start)
        start += widths[group]
    return torch.cat(parts)
