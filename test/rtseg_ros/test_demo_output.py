# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How a demo's results get to their folder, whatever that folder is."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import pytest
from mounts import mounted

from rtseg_ros.demo.output import staged


def earlier_demo(folder: Path) -> Path:
    """A folder with the results of an earlier demo."""
    (folder / 'masks').mkdir(parents=True)
    for name in ('report.json', 'masks/masks_0.mcap', 'overlay.mp4'):
        (folder / name).write_text('old')
    return folder


def write_demo(out: Path) -> None:
    with staged(out) as staging:
        (staging / 'masks').mkdir()
        for name in ('report.json', 'masks/metadata.yaml'):
            (staging / name).write_text('new')


def written(out: Path) -> dict:
    return {str(p.relative_to(out)): p.read_text() for p in out.rglob('*') if p.is_file()}


NEW = {'report.json': 'new', 'masks/metadata.yaml': 'new'}


@pytest.mark.parametrize('there', [True, False])
def test_an_output_that_is_a_link_stays_one(tmp_path, there):
    (tmp_path / 'disk').mkdir()
    if there:
        earlier_demo(tmp_path / 'disk' / 'demo')
    (tmp_path / 'out').symlink_to('disk/demo')
    write_demo(tmp_path / 'out')
    assert (tmp_path / 'out').is_symlink() and written(tmp_path / 'disk' / 'demo') == NEW
    assert sorted(p.name for p in tmp_path.glob('**/.*')) == [] and len(list(tmp_path.iterdir())) == 2


@pytest.fixture
def fixed(tmp_path, monkeypatch):
    """An earlier demo in a folder that cannot be renamed, as a mount point cannot."""
    out, rename = earlier_demo(tmp_path / 'out'), Path.rename

    def refuse(self, target):
        if self == out:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY), str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, 'rename', refuse)
    return out


def test_results_move_into_an_output_that_cannot_be_renamed(fixed):
    write_demo(fixed)
    assert written(fixed) == NEW and [p.name for p in fixed.parent.iterdir()] == ['out']


def test_a_demo_that_fails_leaves_an_output_that_cannot_be_renamed_as_it_was(fixed):
    before = written(fixed)
    with pytest.raises(KeyboardInterrupt), staged(fixed) as staging:
        (staging / 'report.json').write_text('new')
        raise KeyboardInterrupt
    assert written(fixed) == before and [p.name for p in fixed.parent.iterdir()] == ['out']


@pytest.mark.parametrize('movable', [True, False])
def test_results_that_cannot_take_their_place_give_it_back(movable, tmp_path, monkeypatch, request):
    out = earlier_demo(tmp_path / 'out') if movable else request.getfixturevalue('fixed')
    before, rename = written(out), Path.rename

    def fails(self, target):
        if '.partial-' in str(self) and (movable or self.name == 'report.json'):
            raise OSError(errno.EIO, os.strerror(errno.EIO), str(self))
        return rename(self, target)

    monkeypatch.setattr(Path, 'rename', fails)
    with pytest.raises(OSError, match='Input/output error'):
        write_demo(out)
    assert written(out) == before and [p.name for p in out.parent.iterdir()] == ['out']


def test_an_interruption_while_the_earlier_results_make_way_gives_them_back(tmp_path, monkeypatch):
    out, rename = earlier_demo(tmp_path / 'out'), Path.rename
    before = written(out)

    def interrupted(self, target):
        done = rename(self, target)
        if self == out and '.old-' in str(target):
            raise KeyboardInterrupt
        return done

    monkeypatch.setattr(Path, 'rename', interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_demo(out)
    assert written(out) == before and [p.name for p in tmp_path.iterdir()] == ['out']


def test_an_output_may_be_a_mount_point(tmp_path):
    code = 'import sys, pathlib, test_demo_output as t; out = pathlib.Path(sys.argv[1]); t.earlier_demo(out); '
    code += 't.write_demo(out); assert t.written(out) == t.NEW, t.written(out)'
    (tmp_path / 'out').mkdir()
    command = [*mounted(tmp_path / 'out', '1m'), sys.executable, '-c', code, str(tmp_path / 'out')]
    variables = {**os.environ, 'PYTHONPATH': os.pathsep.join(filter(None, sys.path))}
    done = subprocess.run(command, env=variables, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ['out']
