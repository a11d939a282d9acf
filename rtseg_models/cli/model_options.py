# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The options that say which pipeline to run, the same for every command that runs one."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Callable, Optional

import click

from ..bundle import load_bundle
from ..card import LARGEST_SIDE, SMALLEST_SIDE, Size
from ..engine import Pipeline, open_for_command
from ..engine.backends import DEVICES, MODULES, Options


class SizeType(click.ParamType):  # type: ignore[type-arg]  # generic only in newer releases of click
    """A size written HxW, as (height, width)."""

    name = 'HxW'

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> Size:
        if isinstance(value, tuple):
            return value[0], value[1]
        match = re.fullmatch(r'(\d+)x(\d+)', value)
        if not match or not all(SMALLEST_SIDE <= int(n) <= LARGEST_SIDE for n in match.groups()):
            sides = f'{SMALLEST_SIDE} to {LARGEST_SIDE}'
            self.fail(f'{value!r} is not a size HxW with sides of {sides}, such as 512x1024', param, ctx)
        return int(match[1]), int(match[2])


class DeviceType(click.ParamType):  # type: ignore[type-arg]  # as above
    """``auto``, ``cpu``, ``cuda`` or ``cuda:N``."""

    name = 'auto|cpu|cuda|cuda:N'

    def convert(self, value: Any, param: Optional[click.Parameter], ctx: Optional[click.Context]) -> str:
        if not re.fullmatch(DEVICES, value):
            self.fail(f'{value!r} is none of auto, cpu, cuda, cuda:N', param, ctx)
        return str(value)


SIZE, DEVICE = SizeType(), DeviceType()
BACKEND = click.Choice(['auto', *MODULES])
PRECISION = click.Choice(['auto', 'fp32', 'fp16', 'bf16', 'int8'])


def pipeline_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Add --backend --precision --device --threads to a command."""
    for option in (
        click.option('--threads', type=click.IntRange(0), default=0, help='CPU threads; 0 = the runtime decides.'),
        click.option('--device', type=DEVICE, default='auto', show_default=True),
        click.option('--precision', type=PRECISION, default='auto', show_default=True),
        click.option('--backend', type=BACKEND, default='auto', show_default=True),
    ):
        command = option(command)
    return command


def open_pipeline(
    model: str,
    backend: str,
    precision: str,
    device: str,
    threads: int,
    size: Optional[Size] = None,
    cache_dir: Optional[Path] = None,
    keep: bool = False,
) -> Pipeline:
    """The pipeline that the options describe."""
    options = Options(device=device, precision=precision, threads=threads, cache_dir=cache_dir, keep=keep)
    return open_for_command(load_bundle(model), backend=backend, input_size=size, options=options)
