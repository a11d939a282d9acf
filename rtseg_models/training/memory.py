# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How much memory the datasets of a training may be held in."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import List, Optional

import torch

from .launch import world

HOST_SHARE = 1 / 4  # of the memory that the machine can still give
GPU_SHARE = 1 / 3  # of a GPU's free memory
ROOT = Path('/')


class Budget:
    """Bytes of the host's memory for all datasets of this process; ``left`` shrinks by what is held."""

    def __init__(self, left: Optional[int] = None) -> None:
        self.left = int(host_memory() * HOST_SHARE / world()['local_size']) if left is None else left

    def room(self, device: torch.device) -> int:
        """Bytes that may be held on ``device``: of a GPU, a share of its own free memory."""
        if device.type == 'cuda':
            free, _ = torch.cuda.mem_get_info(device)
            return int(free * GPU_SHARE)
        return self.left

    def charge(self, device: torch.device, used: int) -> None:
        """Count what is held from now on."""
        if device.type != 'cuda':
            self.left -= used


def host_memory(root: Path = ROOT) -> int:
    """Bytes that the machine can still give to this process, or its control group where that is less."""
    found = re.search(r'MemAvailable:\s*(\d+) kB', _text(root / 'proc/meminfo'))
    pages = os.sysconf('SC_AVPHYS_PAGES') * os.sysconf('SC_PAGE_SIZE')
    return max(0, min([int(found[1]) * 1024 if found else pages, *_left_to_groups(root)]))


def _left_to_groups(root: Path) -> List[int]:
    """What this process's control groups, of either version, and those above them have left; caches count as free."""
    left: List[int] = []
    for line in _text(root / 'proc/self/cgroup').splitlines():
        _, controllers, path = line.split(':', 2)
        if controllers not in ('', 'memory'):
            continue
        top = root / 'sys/fs/cgroup' / controllers
        group = top / path.lstrip('/')
        limit, usage, cache = (
            ('memory.limit_in_bytes', 'memory.usage_in_bytes', 'total_inactive_file')
            if controllers
            else ('memory.max', 'memory.current', 'inactive_file')
        )
        for folder in (group, *(p for p in group.parents if top in (p, *p.parents))):
            most, used = _text(folder / limit).strip(), _text(folder / usage).strip()
            if most.isdigit() and used.isdigit():  # a group without a limit says 'max'
                idle = re.search(rf'^{cache} (\d+)$', _text(folder / 'memory.stat'), re.MULTILINE)
                left.append(int(most) - int(used) + (int(idle[1]) if idle else 0))
    return left


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding='utf-8')
    except OSError:
        return ''
