# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a process of a training stands among the others, and its device."""

from __future__ import annotations

import os
from typing import Dict

import torch
import torch.distributed as dist


def world() -> Dict[str, int]:
    """Process number and counts as torchrun sets them: rank, local_rank, size, local_size."""
    names = {'rank': 'RANK', 'local_rank': 'LOCAL_RANK', 'size': 'WORLD_SIZE', 'local_size': 'LOCAL_WORLD_SIZE'}
    return {k: int(os.environ.get(v, '1' if 'size' in k else '0')) for k, v in names.items()}


def leave_the_others() -> None:
    """Leave the group of processes, all of them at once: those with nothing left to do end without waiting."""
    if dist.is_available() and dist.is_initialized():
        dist.destroy_process_group()


def training_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    return torch.device('cuda', world()['local_rank']) if torch.cuda.is_available() else torch.device('cpu')
