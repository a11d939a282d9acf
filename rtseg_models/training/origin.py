# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage's first weights are: those of another stage or run, or what is taken over from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple

from torch import Tensor, nn

from ..errors import ConfigurationError
from ..networks import build_network
from ..networks.contextnet import ContextNet
from ..networks.pruning import prune
from .checkpoint import read_origin
from .pretraining import load_encoder, load_pretrained
from .recipe import Recipe


class Origin(NamedTuple):
    """Where a stage's first weights come from: a file or a bundle, and what is taken over from it."""

    path: Path
    handover: str


class Beginning(NamedTuple):
    """A network with its first weights, the runs that these come from, and its parts that begin anew."""

    network: nn.Module
    lineage: List[str]
    anew: List[str]


def begun(network: nn.Module, recipe: Recipe, begin: Origin) -> Beginning:
    """``network`` with the weights that its stage begins with; ConfigurationError where they do not fit it."""
    if begin.handover == 'pretrained':
        return Beginning(network, [load_pretrained(network, begin.path)], [])
    parent = read_origin(begin.path)
    name, epochs = json.loads(parent['recipe'])['name'], parent['epoch']
    lineage = [*parent['lineage'], f'{name}, {epochs} epochs' if epochs else name]
    if begin.handover == 'encoder':
        load_encoder(network, parent)
        return Beginning(network, lineage, [])
    try:
        if begin.handover == 'prune':
            return Beginning(_pruned(recipe, parent), lineage, [])
        return Beginning(network, lineage, _take_over(network, recipe, parent))
    except RuntimeError as error:
        before = json.loads(parent['recipe'])['network']
        reason = str(error).splitlines()[-1].strip()
        raise ConfigurationError(f'weights of {before} do not fit {recipe.network}: {reason}') from error


def _pruned(recipe: Recipe, parent: Dict[str, Any]) -> nn.Module:
    """The survivors of a wider ContextNet."""
    before = json.loads(parent['recipe'])
    wide = build_network(before['network'], len(parent['class_set']), aux=True, **before['network_args'])
    assert isinstance(wide, ContextNet)
    wide.load_state_dict(parent['ema'])
    return prune(wide, float(recipe.network_args.get('width', 1.0)))


def _take_over(network: nn.Module, recipe: Recipe, parent: Dict[str, Any]) -> List[str]:
    """Give ``network`` all weights of a run on the same classes; of others, all that do not depend on their number.

    Returns the parts that begin anew: those, and the auxiliary heads, which bundles lack. RuntimeError where the
    weights are of another network.
    """
    weights: Dict[str, Tensor] = parent['ema']
    aux = any(name.startswith('aux_heads.') for name in weights)
    before = build_network(recipe.network, len(parent['class_set']), aux=aux, **recipe.network_args)
    before.load_state_dict(weights)
    own = network.state_dict()
    taken = {name: weight for name, weight in weights.items() if name in own and own[name].shape == weight.shape}
    network.load_state_dict({**own, **taken})
    return sorted({name.split('.')[0] for name, _ in network.named_parameters() if name not in taken})
