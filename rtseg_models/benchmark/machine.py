# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What was measured on, and what a process weighs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from datetime import datetime, timezone
from typing import Any, Dict, Optional, Sequence

import numpy as np

from .. import __name__ as package
from ..card import Size
from ..engine import kernels
from ..engine.backends.nvidia import gpu_name
from ..machine import machine_facts, peak_resident_mb


def measured_on() -> Dict[str, Any]:
    """``machine_facts`` with GPU and date; and how busy the machine was with other work."""
    return {
        **machine_facts(),
        'gpu': _gpu(),
        'compiled_kernels': kernels.COMPILED,
        'load_before': round(os.getloadavg()[0], 2),
        'date': datetime.now(timezone.utc).strftime('%Y-%m-%d'),
    }


def ran_on(machine: Dict[str, Any], rows: Sequence[Dict[str, Any]]) -> str:
    """What the rows of a benchmark ran on, for people."""
    on_gpu = [row['device'] != 'cpu' for row in rows]
    processor = f'{machine["processor"]}, {machine["cores"]} cores'
    return ' and '.join([machine['gpu'] or 'GPU'] * any(on_gpu) + [processor] * (not all(on_gpu)))


def peak_rss_mb(model: str, size: Size, camera: Size, backend: str, **options: Any) -> Optional[float]:
    """Peak resident memory of a process of its own that runs the pipeline on five frames; None where it fails."""
    arguments = json.dumps({'model': model, 'size': size, 'camera': camera, 'backend': backend, 'options': options})
    done = subprocess.run(
        [sys.executable, '-m', f'{package}.benchmark.machine', arguments], capture_output=True, text=True, check=False
    )
    told = done.stdout.split()  # the figure last: a runtime may have had something to say before
    return round(float(told[-1]), 1) if done.returncode == 0 and told[-1] != 'None' else None


def _weigh(arguments: Dict[str, Any]) -> Optional[float]:
    from ..bundle import load_bundle
    from ..engine import open_for_command
    from ..engine.backends import Options

    rgb = np.full((*arguments['camera'], 3), 128, np.uint8)
    with open_for_command(
        load_bundle(arguments['model']),
        backend=arguments['backend'],
        input_size=tuple(arguments['size']),
        options=Options(**arguments['options']),
    ) as pipeline:
        for _ in range(5):
            pipeline(rgb)
    return peak_resident_mb()


def _gpu() -> Optional[str]:
    try:
        question = ['nvidia-smi', '--query-gpu=name,driver_version', '--format=csv,noheader']
        found = subprocess.run(question, capture_output=True, text=True, check=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):  # as on a Jetson
        found = ''
    return found or gpu_name() or None


if __name__ == '__main__':
    print(_weigh(json.loads(sys.argv[1])))
