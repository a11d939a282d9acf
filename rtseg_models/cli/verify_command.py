# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg verify``: the golden sample through every backend that is installed here, in fp32 and as the node runs it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click
from rich.table import Table

from ..bundle import Bundle, load_bundle
from ..engine import open_for_command
from ..engine.backends import ON_CPU, ON_GPU, Options, installed, nvidia_gpu_present
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
        row = _tried(bundle, name, device, 'auto')
        rows.append(row)
        if row['precision'] != 'fp32' and installed(name) and name != 'tensorrt':  # whose engines take minutes each
            rows.append(_tried(bundle, name, device, 'fp32'))
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
        failed = ', '.join(f'{row["backend"]} {row["precision"]} on {row["device"]}' for row in bad)
        raise BundleError(f'{failed} failed: {bad[0]["result"]}')
    if all(row['result'].startswith(NOT_HERE) for row in rows):
        raise Unavailable(f'no runtime could be tried; install one of: {", ".join(ON_CPU)}')


def _tried(bundle: Bundle, name: str, device: str, precision: str) -> Dict[str, Any]:
    """The golden sample's result on one backend; ``precision`` 'auto' becomes what the node would run."""
    row: Dict[str, Any] = {'backend': name, 'device': device, 'precision': precision, 'agreement': None}
    if not installed(name):
        return {**row, 'result': NOT_HERE}
    try:
        with open_for_command(bundle, backend=name, options=Options(device, precision)) as pipeline:
            row['precision'] = pipeline.backend.precision
            row['agreement'] = pipeline.self_test()
    except Unavailable as error:
        return {**row, 'result': f'{NOT_HERE}: {error}'}
    except RtsegError as error:
        return {**row, 'result': str(error)}
    except Exception as error:  # runtimes raise what they like; the others are to be tried all the same
        return {**row, 'result': f'{type(error).__name__}: {error}'}
    return {**row, 'result': 'agrees'}


def combinations() -> List[Tuple[str, str]]:
    """Every backend and device to try: the CPU's, and with an NVIDIA GPU those that run there."""
    on_gpu = [(name, 'cuda') for name in ON_GPU] if nvidia_gpu_present() else [('tensorrt', 'cuda')]
    return [(name, 'cpu') for name in ON_CPU] + on_gpu
