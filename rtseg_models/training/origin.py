# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage's first weights are: those of another stage, run or bundle, or what is taken over from them."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import torch
from torch import Tensor, nn

from ..bundle import load_bundle, shipped_bundles
from ..card import UNKNOWN_SPLIT
from ..datasets import data_name
from ..errors import BundleError, ConfigurationError, RtsegError
from ..labels import UNLABELLED, ClassSet
from ..networks import CLASSIFIERS, NETWORKS, build_network
from ..networks.contextnet import ContextNet
from ..networks.pruning import prune
from .checkpoint import read_checkpoint
from .pretraining import first_words, load_encoder
from .recipe import Recipe


class Origin(NamedTuple):
    """Where a stage's first weights come from: a file or a bundle, and what is taken over from it."""

    path: Path
    handover: str


@dataclass(frozen=True)
class Parent:
    """A training whose weights another begins with.

    ``learnt_from``: the splits that these weights and those before them have seen, by dataset.
    """

    recipe: Dict[str, Any]
    weights: Dict[str, Tensor]
    classes: ClassSet
    lineage: List[str]
    learnt_from: Dict[str, List[str]]
    licence: str

    @classmethod
    def of_stage(cls, recipe: Dict[str, Any], classes: ClassSet) -> Parent:
        """A stage of these settings, before anything is learnt."""
        network = build_network(recipe['network'], len(classes), aux=True, **recipe['network_args'])
        return cls(recipe, network.state_dict(), classes, [], {}, '')


def read_parent(path: Path) -> Parent:
    """What a checkpoint or a bundle (its folder, or the name of a shipped one) tells of its training.

    NotFound or BundleError in one sentence.
    """
    if not path.is_dir() and str(path) not in shipped_bundles():
        state = read_checkpoint(path)
        recipe = json.loads(state['recipe'])
        lineage = [*state['lineage'], _told(recipe['name'], state['epoch'], state['minutes'])]
        return Parent(recipe, state['ema'], state['class_set'], lineage, state['learnt_from'], state['licence'])
    bundle = load_bundle(str(path))
    card, origin = bundle.card, bundle.card.origin
    recipe = {
        'name': bundle.name,
        'network': card.network,
        'network_args': card.network_args,
        'dataset': card.dataset,
        'mean': card.mean,
        'std': card.std,
        **origin.get('recipe', {}),
    }
    classes = ClassSet(card.dataset, card.class_names, card.colours, card.ignore_id)
    unknown = {data_name(recipe['dataset'], classes): [UNKNOWN_SPLIT]}
    return Parent(
        recipe,
        {name: torch.from_numpy(weight) for name, weight in bundle.weights().items()},
        classes,
        [*origin.get('started_from', []), _told(recipe['name'], origin.get('epochs'), origin.get('minutes'))],
        card.learnt_from or unknown,
        card.licence,
    )


def _told(name: str, epochs: Optional[int], minutes: Optional[float]) -> str:
    """A run's line among those that others began with, as far as it is known."""
    time = f' in {minutes:.1f} min' if minutes is not None else ''
    return name if epochs is None else f'{name}, {epochs} epochs{time}'


class Beginning(NamedTuple):
    """A network with its first weights, where these come from, and the parts of it that begin anew."""

    network: nn.Module
    parent: Parent
    anew: List[str]


def begun(network: nn.Module, recipe: Recipe, classes: ClassSet, begin: Origin) -> Beginning:
    """``network`` with the weights that its stage begins with; ConfigurationError where they do not fit it."""
    if begin.handover == 'pretrained':
        return Beginning(network, load_pretrained(network, begin.path), [])
    return inherit(network, recipe, classes, read_parent(begin.path), begin.handover)


def load_pretrained(network: nn.Module, path: Path) -> Parent:
    """Load what was learnt from classified images into ``network``; tells whose weights these are.

    ``path`` is the checkpoint of a pre-training, or the weights of FarSee-Net's front-end in torchvision's naming,
    whose licence and data are not told. NotFound or BundleError where it cannot be read; ConfigurationError where it
    does not fit or has learnt from labelled pixels.
    """
    try:
        parent = read_parent(path)
    except BundleError:
        if not hasattr(network, 'load_frontend'):
            raise
        network.load_frontend(path)  # type: ignore[operator]
        return Parent({}, {}, NOT_TOLD, [f'front-end {path.name}'], {}, 'unknown')
    name = parent.recipe['network']
    if name not in CLASSIFIERS:
        raise ConfigurationError(
            f'{path} holds a {name}, which learnt from labelled pixels, not from classified images: take a recipe '
            'without a pre-training and begin with it by --start-from'
        )
    load_encoder(network, parent.weights, name)
    return parent


NOT_TOLD = ClassSet('', (), (), UNLABELLED)
"""The classes of a file of weights alone."""


def inherit(network: nn.Module, recipe: Recipe, classes: ClassSet, parent: Parent, handover: str) -> Beginning:
    """``network`` with what it takes over; ConfigurationError where that does not fit it."""
    if handover == 'encoder':
        load_encoder(network, parent.weights, parent.recipe['network'])
        return Beginning(network, parent, [])
    try:
        if handover == 'prune':
            return Beginning(_pruned(recipe, parent), parent, [])
        _check_normalisation(recipe, parent)
        return Beginning(network, parent, _take_over(network, recipe, classes, parent))
    except (RuntimeError, ValueError) as error:
        if isinstance(error, RtsegError):
            raise
        reason = first_words(error)
        raise ConfigurationError(
            f'weights of {parent.recipe["network"]} do not fit {recipe.network}: {reason}'
        ) from error


def _pruned(recipe: Recipe, parent: Parent) -> nn.Module:
    """The survivors of a wider ContextNet."""
    before = parent.recipe
    wide = build_network(before['network'], len(parent.classes), aux=True, **before['network_args'])
    if not isinstance(wide, ContextNet):
        raise ValueError('only a ContextNet of two branches can be pruned')
    wide.load_state_dict(parent.weights)
    width = {**NETWORKS[recipe.network].arguments, **recipe.network_args}.get('width', 1.0)
    return prune(wide, float(width))


def _check_normalisation(recipe: Recipe, parent: Parent) -> None:
    learnt, given = ([list(map(float, r[k])) for k in ('mean', 'std')] for r in (parent.recipe, vars(recipe)))
    if learnt != given:
        mean, std = (json.dumps(values, separators=(',', ':')) for values in learnt)
        raise ConfigurationError(
            'the weights to begin with learnt from images that were normalised otherwise; add '
            f'--set mean={mean} --set std={std}'
        )


def _take_over(network: nn.Module, recipe: Recipe, classes: ClassSet, parent: Parent) -> List[str]:
    """Give ``network`` all weights of a run on the same classes; of others, all that do not depend on their number.

    Returns the parts that begin anew: those, and the auxiliary heads, which bundles lack. RuntimeError where the
    weights are of another network.
    """
    aux = any(name.startswith('aux_heads.') for name in parent.weights)

    def shapes(count: int) -> Dict[str, Tuple[int, ...]]:
        built = build_network(recipe.network, count, aux=aux, **recipe.network_args)
        if count == len(parent.classes):
            built.load_state_dict(parent.weights)
        return {name: tuple(weight.shape) for name, weight in built.state_dict().items()}

    learnt, more = shapes(len(parent.classes)), shapes(len(parent.classes) + 1)
    same = parent.classes.names == classes.names
    taken = {name: w for name, w in parent.weights.items() if same or learnt[name] == more[name]}
    network.load_state_dict({**network.state_dict(), **taken})
    parts = (name.rpartition('.')[0] for name, _ in network.named_parameters() if name not in taken)
    return sorted({'aux_heads' if part.startswith('aux_heads.') else part for part in parts})
