# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What reports, benchmarks and diagnostics tell of the machine; what Linux does not tell is left out."""

from __future__ import annotations

import os
import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Iterable, Optional, Sequence, Union

CORES = len(os.sched_getaffinity(0)) if hasattr(os, 'sched_getaffinity') else os.cpu_count() or 1
"""Cores that this process may use."""

RUNTIMES = ('numpy', 'opencv-python-headless', 'opencv-python', 'openvino', 'onnxruntime', 'onnxruntime-gpu', 'torch')
"""Distributions on whose version labels and times may depend."""


def machine_facts(distributions: Sequence[str] = RUNTIMES) -> Dict[str, Any]:
    """Processor, cores, memory in gigabytes, system, Python, and the versions of those that are installed."""
    return {
        'processor': processor_name(),
        'cores': CORES,
        'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9, 1),
        'system': platform.platform(),
        'python': platform.python_version(),
        'versions': versions(distributions),
    }


def processor_name() -> str:
    """The CPU's model name, or its architecture where /proc/cpuinfo has none (as on arm64)."""
    for line in _lines(Path('/proc/cpuinfo')):
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def resident_mb() -> Optional[float]:
    """Resident memory of this process in megabytes (of 1024 x 1024 bytes)."""
    return _memory_mb('VmRSS', 'self')


def peak_resident_mb(pid: Union[int, str] = 'self') -> Optional[float]:
    """The most resident memory that a process has had, in megabytes (of 1024 x 1024 bytes).

    Not ``getrusage``: on Linux its maximum outlives exec and so holds the parent's.
    """
    return _memory_mb('VmHWM', pid)


def temperature_c() -> Optional[float]:
    """The hottest thermal zone in degrees Celsius."""
    zones = [line for path in Path('/sys/class/thermal').glob('thermal_zone*/temp') for line in _lines(path)]
    degrees = [int(zone) / 1000 for zone in zones if zone.strip().lstrip('-').isdigit()]
    return max(degrees, default=None)


def versions(distributions: Iterable[str]) -> Dict[str, str]:
    """Version of each distribution that is installed."""
    found = {name: _version(name) for name in distributions}
    return {name: version for name, version in found.items() if version}


def _memory_mb(field: str, pid: Union[int, str]) -> Optional[float]:
    for line in _lines(Path(f'/proc/{pid}/status')):
        if line.startswith(f'{field}:'):
            return int(line.split()[1]) / 1024
    return None


@lru_cache(maxsize=None)  # to look it up walks through all that is installed
def _version(distribution: str) -> str:
    try:
        return metadata.version(distribution)
    except metadata.PackageNotFoundError:
        return ''


def _lines(path: Path) -> Iterable[str]:
    try:
        return path.read_text(encoding='utf-8', errors='replace').splitlines()
    except OSError:
        return ()
