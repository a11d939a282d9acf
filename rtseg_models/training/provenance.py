# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a checkpoint remembers of where its weights come from."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path
from typing import Any, Dict, Optional

import torch

from ..datasets import data_name
from ..labels import ClassSet
from ..machine import CORES
from .checkpoint import LICENCE
from .launch import arithmetic, training_device, world
from .origin import Parent
from .recipe import Recipe


def facts(recipe: Recipe, classes: ClassSet, parent: Optional[Parent]) -> Dict[str, Any]:
    """Hardware, versions, licence, the runs before this and all that was learnt from; ``parent`` is the last of these.

    A drive that this run holds out and an earlier one did not counts as learnt from.
    """
    data = data_name(recipe.dataset, classes)
    before = parent.learnt_from if parent is not None else {}
    learnt = [*recipe.splits, *before.get(data, [])]
    if parent is not None and data in before and recipe.hold_out not in ('', parent.recipe.get('hold_out', '')):
        learnt.append('held_out_drive')
    trained_on = list(dict.fromkeys(learnt))
    return {
        'hardware': hardware(recipe),
        'lineage': parent.lineage if parent is not None else [],
        'trained_on': trained_on,
        'learnt_from': {**before, data: trained_on},
        'licence': parent.licence if parent is not None else LICENCE,
        'torch': str(torch.__version__),
        'git_commit': commit(),
    }


def hardware(recipe: Recipe) -> str:
    """The device, number of processes and the precision that is computed in, for people."""
    device, size = training_device(), world()['size']
    if device.type == 'cuda':
        name = torch.cuda.get_device_name(device)
    else:
        name = f'{platform.machine()} CPU, {CORES} cores'
    return f'{name}, {arithmetic(recipe.precision)}' + (f', {size} processes' if size > 1 else '')


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
