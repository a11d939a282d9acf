# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg build``: compile engines ahead of time, so that the node starts at once."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Optional

import click

from ..card import Size
from .model_options import SIZE, open_pipeline, pipeline_options
from .output import console


@click.command('build')
@click.argument('model')
@click.option('--size', type=SIZE, help="Network input size instead of the card's.")
@click.option('--cache-dir', type=click.Path(path_type=Path), default=Path('~/.cache/rtseg'), show_default=True)
@pipeline_options
def command(
    model: str,
    size: Optional[Size],
    cache_dir: Path,
    backend: str,
    precision: str,
    device: str,
    threads: int,
) -> None:
    """Build and cache the engine of MODEL for this machine."""
    start = time.perf_counter()
    pipeline = open_pipeline(model, backend, precision, device, threads, size, cache_dir.expanduser())
    pipeline.warm_up(1)
    console.print(
        f'{pipeline.bundle.name}: {pipeline.backend.name} {pipeline.backend.precision} on {pipeline.backend.device} '
        f'ready in {time.perf_counter() - start:.1f} s'
    )
    pipeline.close()
