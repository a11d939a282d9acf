# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's output folder: what may be overwritten, and how the results get there, all or nothing."""

from __future__ import annotations

import errno
import json
import os
import shutil
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Iterator, List, Tuple

import click

OUTPUTS = ('overlay.mp4', 'report.html', 'report.json', 'masks', 'logs')


def check_output(out: Path) -> None:
    """Refuse an output that holds anything but the results of an earlier demo."""
    if not out.exists():
        return
    if not out.is_dir():
        raise click.UsageError(f'{out} is a file; --out names a folder')
    found = {p.name for p in out.iterdir()}
    if found and (not _is_demo(out) or not found <= set(OUTPUTS)):
        strange = ', '.join(sorted(found - set(OUTPUTS))) or 'report.json, which no demo wrote'
        raise click.UsageError(f'{out} holds {strange} and is not overwritten; name another --out or remove it')


def _is_demo(out: Path) -> bool:
    try:
        facts = json.loads((out / 'report.json').read_text(encoding='utf-8'))
        return bool(facts['source']['run'] == 'demo')
    except (OSError, ValueError, KeyError, TypeError):
        return False


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """A new folder that takes the place of ``out`` at the end, or vanishes with the parents made for it.

    A link stays, and what it names is replaced. A folder that cannot be renamed stays, and what it holds is replaced.
    """
    out = Path(os.path.realpath(out))
    missing = [p for p in out.parents if not p.exists()]
    folder = out if out.exists() and not _can_be_renamed(out) else out.parent
    staging, old = (folder / f'.{out.name}.{role}-{os.getpid()}' for role in ('partial', 'old'))
    try:
        try:
            staging.mkdir(parents=True)
        except OSError as error:
            raise click.UsageError(f'{out} cannot be made: {error}') from error
        yield staging
        (_move_into if folder == out else _take_place)(out, staging, old)
        shutil.rmtree(old, ignore_errors=True)
    except BaseException:  # an interruption, too, leaves no half folder
        shutil.rmtree(staging, ignore_errors=True)
        for parent in missing:
            with suppress(OSError):  # it holds something that is not ours, or was never made
                parent.rmdir()
        raise


def _can_be_renamed(folder: Path) -> bool:
    """Whether a rename fails only because a full folder is in the way: a mount point is refused before that."""
    probe = folder.with_name(f'.{folder.name}.probe-{os.getpid()}')
    try:
        (probe / 'full').mkdir(parents=True, exist_ok=True)
        folder.rename(probe)
    except OSError as error:
        found = error.errno in (errno.ENOTEMPTY, errno.EEXIST)
    else:
        probe.rename(folder)
        found = True
    shutil.rmtree(probe, ignore_errors=True)
    return found


def _move_into(out: Path, staging: Path, old: Path) -> None:
    """Have what ``staging`` holds take its place in ``out``, what was there go to ``old``; or all stay as it was."""
    old.mkdir()
    moves = [(out / name, old / name) for name in OUTPUTS if (out / name).exists()]
    moves += [(made, out / made.name) for made in list(staging.iterdir())]
    begun: List[Tuple[Path, Path]] = []
    try:
        for here, there in moves:
            begun.append((here, there))
            here.rename(there)
    except BaseException:  # an interruption, too
        for here, there in reversed(begun):
            if there.exists() and not here.exists():
                there.rename(here)
        old.rmdir()
        raise
    staging.rmdir()


def _take_place(out: Path, staging: Path, old: Path) -> None:
    """Have ``staging`` become ``out``, and what was there ``old``; or what was there stay."""
    try:
        if out.exists():
            out.rename(old)
        staging.rename(out)
    except BaseException:  # an interruption, too
        if old.exists() and not out.exists():
            old.rename(out)
        raise
