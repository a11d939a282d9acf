# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the commands share: JSON files that are never overwritten unasked, tables, progress."""

from __future__ import annotations

import json
import os
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Iterator, Optional

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.table import Table

from ..errors import RtsegError
from ..files import refuse_existing, replace_text


def _writable(context: click.Context, parameter: click.Parameter, path: Optional[Path]) -> Optional[Path]:
    """The path of a result, tried before hours of work go into it: UsageError, RtsegError, or the system's error."""
    if path is not None and str(path) != '-':
        refuse_existing(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        if not os.access(path.parent, os.W_OK):
            raise RtsegError(f'{path.parent}: nothing can be written there')
    return path


def _picture(context: click.Context, parameter: click.Parameter, path: Optional[Path]) -> Optional[Path]:
    if path is not None and path.suffix.lower() not in PICTURES:
        raise click.BadParameter(f'{path} ends in none of {", ".join(PICTURES)}')
    return _writable(context, parameter, path)


PICTURES = ('.png', '.svg')


def new_file_option(flag: str, name: str, help: str) -> Callable[..., Any]:
    """An option for a new file, refused at once where it cannot be written."""
    return click.option(flag, name, type=click.Path(path_type=Path, dir_okay=False), callback=_writable, help=help)


json_option = new_file_option('--json', 'json_path', 'Write the result as JSON to this file.')


def plot_option(help: str) -> Callable[..., Any]:
    """An option for a new picture, refused at once where it cannot be written or drawn."""
    picture = click.Path(path_type=Path, dir_okay=False)
    return click.option('--plot', 'plot_path', type=picture, callback=_picture, help=f'{help} ({", ".join(PICTURES)}).')


console = Console(markup=False)  # class and bundle names may hold brackets


def print_wide(table: Table, columns: int) -> None:
    """Print a table at ``columns`` at least: wrapped lines tell more than cells that are cut."""
    Console(width=max(console.width, columns), markup=False).print(table)


def write_json(path: Path, value: Any) -> None:
    """Write ``value`` to a new file ('-' is standard output); UsageError where the file exists."""
    text = json.dumps(value, indent=2, allow_nan=False) + '\n'
    if str(path) == '-':
        click.echo(text, nl=False)
        return
    refuse_existing(path)
    replace_text(path, text)


@contextmanager
def progress(what: str) -> Iterator[Callable[[int, int], None]]:
    """A progress bar on standard error; yields ``advance(done, total)``."""
    columns = (TextColumn('{task.description}'), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
