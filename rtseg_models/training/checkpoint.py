# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the checkpoints of ``rtseg train``; needs PyTorch alone."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Dict

from ..datasets import data_name
from ..errors import BundleError
from ..labels import ClassSet, class_set
from ..networks.weights_file import read_weights

LICENCE = 'Apache-2.0'
"""Of weights that begin with no others'."""

KEYS = ('ema', 'epoch', 'minutes', 'recipe', 'class_set', 'hardware', 'lineage')


def read_checkpoint(path: Path) -> Dict[str, Any]:
    """What a checkpoint tells of its run; tensors and plain data only.

    'ema': averaged weights; 'epoch': finished epochs; 'minutes'; 'recipe': JSON; 'class_set': ClassSet; 'hardware';
    'lineage': runs that it started from; 'trained_on': splits of its dataset that these and it learnt from;
    'learnt_from': the same for each dataset of the lineage; 'licence'; 'torch' and 'git_commit': of the run, '' where
    unknown; 'samples': images that it learns from, 0 where unknown; 'history': figures per epoch. NotFound or
    BundleError in one sentence.
    """
    state = read_weights(path)
    if isinstance(state, dict):
        state = state.get('rtseg', state)  # runs before the first release kept these keys at the top
    absent = [k for k in KEYS if not isinstance(state, dict) or k not in state]
    if absent:
        raise BundleError(f'{path}: not a checkpoint of rtseg train: {", ".join(absent)} missing')
    known = state['class_set']
    classes = class_set(known) if isinstance(known, str) else ClassSet(**known)
    trained_on = state.get('trained_on', ['train'])
    missing = {
        'trained_on': trained_on,
        'learnt_from': {data_name(json.loads(state['recipe'])['dataset'], classes): trained_on},
        'licence': LICENCE,
        'torch': '',
        'git_commit': '',
        'samples': 0,
        'history': [],
    }
    return {**missing, **state, 'class_set': classes}
