# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What diagnostics tell of the machine, on Linux; what cannot be read is left out."""

from __future__ import annotations

import platform
from functools import lru_cache
from importlib import metadata
from pathlib import Path
from typing import Dict, Iterable, Optional


def processor_name() -> str:
    """The CPU's model name, or its architecture where /proc/cpuinfo has none (as on arm64)."""
    for line in _lines(Path('/proc/cpuinfo')):
        if line.startswith('model name'):
            return line.partition(':')[2].strip()
    return platform.machine()


def resident_mb() -> Optional[float]:
    """Resident memory of this process in megabytes."""
    for line in _lines(Path('/proc/self/status')):
        if line.startswith('VmRSS:'):
            return int(line.split()[1]) / 1024
    return None


def temperature_c() -> Optional[float]:
    """The hottest thermal zone in degrees Celsius."""
    zones = [line for path in Path('/sys/class/thermal').glob('thermal_zone*/temp') for line in _lines(path)]
    degrees = [int(zone) / 1000 for zone in zones if zone.strip().lstrip('-').isdigit()]
    return max(degrees, default=None)


def versions(distributions: Iterable[str]) -> Dict[str, str]:
    """Version of each distribution that is installed."""
    return {name: version for name in distributions for version in [_version(name)] if version}


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
