# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg verify``: the golden sample through every backend that is installed here."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click
from rich.table import Table

from ..bundle import load_bundle
from ..engine import Pipeline
from ..engine.backends import ON_CPU, ON_GPU, Options, installed, nvidia_gpu_present
from ..engine.backends.cache import CACHE
from ..errors import BundleError, RtsegError, Unavailable
from .output import console, json_option, write_json

NOT_HERE = 'not available here'


@click.command('verify')
@click.argument('model')
@json_option
def command(model: str, json_path: Optional[Path]) -> None:
    """Check hash, tensors and golden sample of MODEL on every backend here; exit status 65 if one disagrees, 69 if
    there is none.
    """
    bundle = load_bundle(model)
    rows: List[Dict[str, Any]] = []
    for name, device in combinations():
        row: Dict[str, Any] = {'backend': name, 'device': device, 'precision': 'fp32', 'agreement': None}
        rows.append(row)
        if not installed(name):
            row['result'] = NOT_HERE
            continue
        row['result'] = 'agrees'
        try:
            pipeline = Pipeline(bundle, backend=name, options=Options(device, 'fp32', cache_dir=CACHE))
            row['agreement'] = pipeline.self_test()
            pipeline.close()
        except Unavailable as error:
            row['result'] = f'{NOT_HERE}: {error}'
        except RtsegError as error:
            row['result'] = str(error)
    if json_path is not None:
        write_json(json_path, rows)
    if str(json_path) != '-':
        table = Table('backend', 'device', 'precision', 'agreement', 'result', title=f'{bundle.name}: {bundle.path}')
        for row in rows:
            share = '-' if row['agreement'] is None else f'{100 * row["agreement"]:.3f} %'
            table.add_row(row['backend'], row['device'], row['precision'], share, row['result'])
        console.print(table)
    bad = [row for row in rows if row['result'] != 'agrees' and not row['result'].startswith(NOT_HERE)]
    if bad:
        failed = ', '.join(f'{row["backend"]} on {row["device"]}' for row in bad)
        raise BundleError(f'{failed} failed: {bad[0]["result"]}')
    if all(row['result'].startswith(NOT_HERE) for row in rows):
        raise Unavailable(f'no runtime could be tried; install one of: {", ".join(ON_CPU)}')


def combinations() -> List[Tuple[str, str]]:
    """Every backend and device to try: the CPU's, and with an NVIDIA GPU those that run there."""
    on_gpu = [(name, 'cuda') for name in ON_GPU] if nvidia_gpu_present() else [('tensorrt', 'cuda')]
    return [(name, 'cpu') for name in ON_CPU] + on_gpu
