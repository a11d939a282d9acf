# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was measured on, and what a process weighs."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import Any, Dict, Optional, Sequence

import numpy as np

from .. import __name__ as package
from ..card import Size
from ..engine import kernels
from ..engine.backends.nvidia import gpu_name

_RUNTIMES = ('numpy', 'opencv-python-headless', 'opencv-python', 'openvino', 'onnxruntime', 'onnxruntime-gpu', 'torch')


def machine_facts() -> Dict[str, Any]:
    """Processor, cores, memory, system, versions, GPU and date; and how busy the machine was with other work."""
    versions = {}
    for name in _RUNTIMES:
        try:
            versions[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            continue
    return {
        'processor': _processor(),
        'cores': len(os.sched_getaffinity(0)),
        'memory_gb': round(os.sysconf('SC_PAGE_SIZE') * os.sysconf('SC_PHYS_PAGES') / 1e9, 1),
        'gpu': _gpu(),
        'system': platform.platform(),
        'python': platform.python_version(),
        'versions': versions,
        'compiled_kernels': kernels.COMPILED,
        'load_before': round(os.getloadavg()[0], 2),
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
    }


def ran_on(facts: Dict[str, Any], rows: Sequence[Dict[str, Any]]) -> str:
    """What the rows of a benchmark ran on, for people."""
    on_gpu = [row['device'] != 'cpu' for row in rows]
    processor = f'{facts["processor"]}, {facts["cores"]} cores'
    return ' and '.join([facts['gpu'] or 'GPU'] * any(on_gpu) + [processor] * (not all(on_gpu)))


def peak_rss_mb(model: str, size: Size, camera: Size, backend: str, **options: Any) -> Optional[float]:
    """Peak resident memory of a process of its own that runs the pipeline on five frames; None where it fails."""
    arguments = json.dumps({'model': model, 'size': size, 'camera': camera, 'backend': backend, 'options': options})
    done = subprocess.run(
        [sys.executable, '-m', f'{package}.benchmark.machine', arguments], capture_output=True, text=True, check=False
    )
    told = done.stdout.split()  # the figure last: a runtime may have had something to say before
    return round(float(told[-1]), 1) if done.returncode == 0 else None


def _weigh(arguments: Dict[str, Any]) -> float:
    from ..bundle import load_bundle
    from ..engine import open_for_command
    from ..engine.backends import Options

    pipeline = open_for_command(
        load_bundle(arguments['model']),
        backend=arguments['backend'],
        input_size=tuple(arguments['size']),
        options=Options(**arguments['options']),
    )
    rgb = np.full((*arguments['camera'], 3), 128, np.uint8)
    for _ in range(5):
        pipeline(rgb)
    # Not getrusage: on Linux its maximum outlives exec and so holds the parent's.
    status = Path('/proc/self/status').read_text(encoding='utf-8').splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith('VmHWM:')) / 1024


def _processor() -> str:
    try:
        lines = Path('/proc/cpuinfo').read_text(encoding='utf-8').splitlines()
    except OSError:
        lines = []
    return next((line.partition(':')[2].strip() for line in lines if line.startswith('model name')), platform.machine())


def _gpu() -> Optional[str]:
    try:
        question = ['nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader']
        found = subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # as on a Jetson
        found = ''
    return found or gpu_name() or None


if __name__ == '__main__':
    print(_weigh(json.loads(sys.argv[1])))
