# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a process of a training stands among the others, and its device."""

from __future__ import annotations

import os
import time
from contextlib import contextmanager
from pathlib import Path
from typing import Dict, Iterator
from uuid import uuid4

import torch
import torch.distributed as dist


def world() -> Dict[str, int]:
    """Process number and counts as torchrun sets them: rank, local_rank, size, local_size."""
    names = {'rank': 'RANK', 'local_rank': 'LOCAL_RANK', 'size': 'WORLD_SIZE', 'local_size': 'LOCAL_WORLD_SIZE'}
    return {k: int(os.environ.get(v, '1' if 'size' in k else '0')) for k, v in names.items()}


def mark_of_the_first(folder: Path) -> Path:
    """A new file that the first process of the group makes in ``folder``, made when this returns in any of them.

    The first removes it.
    """
    name = [f'.of-process-0-{uuid4().hex}']
    dist.broadcast_object_list(name)
    mark = folder / name[0]
    if dist.get_rank() == 0:
        mark.touch()
    dist.barrier()
    return mark


@contextmanager
def others_waiting(folder: Path) -> Iterator[None]:
    """Leave the group of processes; those but the first wait behind the block for the first to leave it.

    Without that, torchrun gives up five minutes after a process of another machine has ended. ``folder`` is theirs all.
    """
    if world()['size'] == 1:
        yield
        return
    if not dist.is_initialized():  # there was nothing left to train
        dist.init_process_group('gloo')
    first, mark = dist.get_rank() == 0, mark_of_the_first(folder)
    dist.destroy_process_group()
    try:
        yield
    finally:
        if first:
            mark.unlink()
    while not first and mark.exists():
        time.sleep(0.5)


def arithmetic(precision: str) -> str:
    """What a recipe's ``precision`` is computed in here: fp32 for bf16 on a CPU that has none.

    PyTorch would emulate it there, which takes eight times as long as fp32.
    """
    return 'fp32' if precision == 'bf16' and training_device().type == 'cpu' and not _cpu_has_bf16() else precision


def _cpu_has_bf16() -> bool:
    return torch.backends.mkldnn.is_available() and bool(torch.ops.mkldnn._is_mkldnn_bf16_supported())


def training_device() -> torch.device:
    """The GPU of this process where there is one, else the CPU."""
    return torch.device('cuda', world()['local_rank']) if torch.cuda.is_available() else torch.device('cpu')
