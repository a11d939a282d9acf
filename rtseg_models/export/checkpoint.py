# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a training checkpoint of ours to a bundle."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Sequence

from ..bundle import Bundle
from ..card import Card, Size
from ..datasets import data_name
from ..errors import BundleError
from ..networks import CLASSIFIERS, build_network, logit_stride
from ..training.checkpoint import read_checkpoint
from .bundle_writer import write_bundle


def bundle_from_checkpoint(path: Path, out: Path, *, sizes: Sequence[Size] = ()) -> Bundle:
    """Write the averaged weights of a checkpoint as a bundle at ``out``, figures not yet measured."""
    state = read_checkpoint(path)
    recipe = json.loads(state['recipe'])
    classes = state['class_set']
    if recipe['network'] in CLASSIFIERS:
        raise BundleError(f'{path}: a checkpoint of {recipe["network"]}, which classifies whole images')
    network = build_network(recipe['network'], len(classes), **recipe['network_args'])
    network.load_state_dict({k: v for k, v in state['ema'].items() if not k.startswith('aux_heads.')})
    card = Card(
        network=recipe['network'],
        network_args=recipe['network_args'],
        class_names=classes.names,
        colours=classes.colours,
        ignore_id=classes.ignore_id,
        input_size=tuple(recipe['input_size']),
        output_stride=logit_stride(network),
        mean=tuple(recipe['mean']),
        std=tuple(recipe['std']),
        weights_sha256='',
        dataset=data_name(recipe['dataset'], classes),
        licence=state['licence'],
        origin={
            'trained_on': list(state['trained_on']),
            'learnt_from': state['learnt_from'],
            'recipe': recipe,
            'epochs': state['epoch'],
            'started_from': state['lineage'],
            'seed': recipe['seed'],
            'minutes': round(state['minutes'], 1),
            'hardware': state['hardware'],
            'torch': state['torch'],
            'git_commit': state['git_commit'],
        },
    )
    return write_bundle(network.eval(), card, out, sizes=sizes)
