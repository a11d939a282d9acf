# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg build``: compile engines ahead of time, so that the node starts at once."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
from pathlib import Path
from typing import Optional

import click

from ..card import Size
from ..engine.backends.cache import CACHE
from .model_options import SIZE, open_pipeline, pipeline_options
from .output import console


@click.command('build')
@click.argument('model')
@click.option('--size', type=SIZE, help="Network input size instead of the card's.")
@click.option('--cache-dir', type=click.Path(path_type=Path), default=CACHE, show_default=True)
@click.option('--parent', type=int, hidden=True, help='Process that this one shall not outlive.')
@pipeline_options
def command(
    model: str,
    size: Optional[Size],
    cache_dir: Path,
    parent: Optional[int],
    backend: str,
    precision: str,
    device: str,
    threads: int,
) -> None:
    """Build and cache the engine of MODEL for this machine."""
    if parent is not None:
        _end_with(parent)
    start = time.perf_counter()
    folder = cache_dir.expanduser()
    with open_pipeline(model, backend, precision, device, threads, size, folder, keep=True) as pipeline:
        pipeline.warm_up(1)
        opened, taken_s = pipeline.backend, time.perf_counter() - start
        console.print(
            f'{pipeline.bundle.name}: {opened.name} {opened.precision} on {opened.device} ready in {taken_s:.1f} s'
        )


def _end_with(parent: int) -> None:
    """Have the kernel end this process when its parent goes; a build itself does not look up for minutes."""
    if sys.platform == 'linux':
        set_parent_death_signal = 1  # PR_SET_PDEATHSIG of prctl(2)
        ctypes.CDLL(None).prctl(set_parent_death_signal, signal.SIGKILL)
    if os.getppid() != parent:
        sys.exit('the process that asked for this build is gone')
