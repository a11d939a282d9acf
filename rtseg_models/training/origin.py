# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage's first weights are: those of another stage or run, or what is taken over from them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Tuple

from torch import Tensor, nn

from ..errors import ConfigurationError
from ..networks import build_network
from ..networks.contextnet import ContextNet
from ..networks.pruning import prune
from .checkpoint import read_checkpoint
from .pretraining import load_encoder, load_pretrained
from .recipe import Recipe


class Origin(NamedTuple):
    """Where a stage's first weights come from: a file, and what is taken over from it."""

    path: Path
    handover: str


def begun(network: nn.Module, recipe: Recipe, begin: Origin) -> Tuple[nn.Module, List[str]]:
    """``network`` with the weights that its stage begins with, and the lineage of these."""
    if begin.handover == 'pretrained':
        return network, [load_pretrained(network, begin.path)]
    parent = read_checkpoint(begin.path)
    lineage = [*parent['lineage'], f'{json.loads(parent["recipe"])["name"]}, {parent["epoch"]} epochs']
    return take_over(network, recipe, parent, begin.handover), lineage


def take_over(network: nn.Module, recipe: Recipe, parent: Dict[str, Any], handover: str) -> nn.Module:
    """``network`` with what it inherits of a checkpoint: all weights, an encoder, or the survivors of pruning.

    ConfigurationError where the checkpoint's network does not fit.
    """
    before = json.loads(parent['recipe'])
    weights: Dict[str, Tensor] = parent['ema']
    if handover == 'encoder':
        load_encoder(network, parent)
        return network
    try:
        if handover == 'prune':
            classes = len(parent['class_set'].names)
            wide = build_network(before['network'], classes, aux=True, **before['network_args'])
            assert isinstance(wide, ContextNet)
            wide.load_state_dict(weights)
            return prune(wide, float(recipe.network_args.get('width', 1.0)))
        network.load_state_dict(weights)
    except RuntimeError as error:
        raise ConfigurationError(
            f'a checkpoint of {before["network"]} does not fit {recipe.network}: {str(error).splitlines()[-1].strip()}'
        ) from error
    return network
