# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint remembers of where its weights come from."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, List, Optional

import torch

from .checkpoint import read_origin
from .launch import training_device, world
from .recipe import Recipe


def facts(recipe: Recipe, lineage: List[str], parent: Optional[Path]) -> Dict[str, Any]:
    """Hardware, versions, the runs before this and all that was learnt from; ``parent`` is the last of these runs."""
    learnt = [*recipe.splits, *(learnt_before(recipe, parent) if parent is not None else [])]
    return {
        'hardware': hardware(recipe),
        'lineage': lineage,
        'trained_on': list(dict.fromkeys(learnt)),
        'torch': str(torch.__version__),
        'git_commit': commit(),
    }


def learnt_before(recipe: Recipe, parent: Path) -> List[str]:
    """Splits of the recipe's dataset that ``parent``'s weights have learnt from, the held-out drive among them."""
    state = read_origin(parent)
    before = json.loads(state['recipe'])
    if before['dataset'] != recipe.dataset:
        return []
    leaked = recipe.hold_out and before.get('hold_out', '') != recipe.hold_out
    return [*state['trained_on'], *(['held_out_drive'] if leaked else [])]


def hardware(recipe: Recipe) -> str:
    """The device, number of processes and precision, for people."""
    device, size = training_device(), world()['size']
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    else:
        name = f'{platform.machine()} CPU, {os.cpu_count()} cores'
    return f'{name}, {recipe.precision}' + (f', {size} processes' if size > 1 else '')


def commit(source: Path = Path(__file__)) -> str:
    """The commit of the checkout that holds the file ``source``; empty where none does or git is missing."""

    def git(*arguments: str) -> str:
        command = ['git', '-C', str(source.parent), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    try:
        git('ls-files', '--error-unmatch', source.name)  # else the checkout round it is another project's
        return git('rev-parse', 'HEAD')
    except (OSError, subprocess.CalledProcessError):
        return ''
