# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read the checkpoints of ``rtseg train``; needs PyTorch alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

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
