# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands share: JSON files that are never overwritten unasked, tables, progress."""

from __future__ import annotations

import json
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..errors import RtsegError

json_option = click.option(
    '--json',
    'json_path',
    type=click.Path(path_type=Path, dir_okay=False),
    help='Write the result as JSON to this file.',
)

console = Console()


def print_wide(table: Table, columns: int) -> None:
    """Print a table at ``columns`` at least: wrapped lines tell more than cells that are cut."""
    Console(width=max(console.width, columns)).print(table)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to a new file ('-' is standard output); RtsegError where the file exists."""
    text = json.dumps(value, indent=2, allow_nan=False) + '\n'
    if str(path) == '-':
        click.echo(text, nl=False)
        return
    refuse_existing(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding='utf-8')


def refuse_existing(path: Path) -> None:
    """RtsegError where an output is there already."""
    if path.exists():
        raise RtsegError(f'{path} exists already, not overwriting')


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; yields ``advance(done, total)``."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
