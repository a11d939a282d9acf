# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read what trainings left, to begin with: checkpoints of ``rtseg train`` and bundles. Needs PyTorch alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

import torch

from ..bundle import load_bundle, shipped_bundles
from ..errors import BundleError
from ..labels import ClassSet, class_set
from ..networks.weights_file import read_weights

KEYS = ('ema', 'epoch', 'minutes', 'recipe', 'class_set', 'hardware', 'lineage')


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """What a checkpoint tells of its run; tensors and plain data only.

    'ema': averaged weights; 'epoch': finished epochs; 'minutes'; 'recipe': JSON; 'class_set': ClassSet; 'hardware';
    'lineage': runs that it started from; 'trained_on': splits that these and it learnt from; 'torch' and 'git_commit':
    of the run, '' where unknown; 'history': figures per epoch. NotFound or BundleError in one sentence.
    """
    state = read_weights(path)
    if isinstance(state, dict):
        state = state.get('rtseg', state)  # runs before the first release kept these keys at the top
    missing = [k for k in KEYS if not isinstance(state, dict) or k not in state]
    if missing:
        raise BundleError(f'{path}: not a checkpoint of rtseg train: {", ".join(missing)} missing')
    known = state['class_set']
    classes = class_set(known) if isinstance(known, str) else ClassSet(**known)
    return {'trained_on': ['train'], 'torch': '', 'git_commit': '', 'history': [], **state, 'class_set': classes}


def read_origin(path: Path) -> Dict[str, Any]:
    """What a checkpoint, or a bundle (its folder, or the name of a shipped one), tells of its run.

    The keys that a new run asks for are those of ``read_checkpoint``; a bundle has no auxiliary heads. NotFound or
    BundleError in one sentence.
    """
    if not path.is_dir() and str(path) not in shipped_bundles():
        return read_checkpoint(path)
    bundle = load_bundle(str(path))
    card, origin = bundle.card, bundle.card.origin
    recipe = {'name': bundle.name, 'network': card.network, 'network_args': card.network_args, 'dataset': card.dataset}
    return {
        'ema': {name: torch.from_numpy(weight) for name, weight in bundle.weights().items()},
        'epoch': origin.get('epochs', 0),
        'recipe': json.dumps(origin.get('recipe', recipe)),
        'class_set': ClassSet(card.dataset, card.class_names, card.colours, card.ignore_id),
        'lineage': origin.get('started_from', []),
        'trained_on': origin.get('trained_on', []),
    }
