# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines on disk: kept, built anew, done without."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from rtseg_models.engine.backends import cache
from rtseg_models.engine.backends.cache import build_cached
from rtseg_models.errors import BundleError


def write_engine(folder):
    if folder is not None:
        (folder / 'engine').write_bytes(b'compiled')
    return folder


def test_the_cache_is_private_and_kept(tmp_path, caplog):
    root = tmp_path / 'cache'
    folder = build_cached(root, 'key', write_engine)
    assert folder == root / 'key' and {root.stat().st_mode & 0o777, folder.stat().st_mode & 0o777} == {0o700}
    assert build_cached(root, 'key', lambda f: (f / 'engine').read_bytes()) == b'compiled'
    assert not caplog.records


@pytest.mark.parametrize('damage', [b'', b'compileD', b'compiled and more'])
def test_a_damaged_engine_is_built_anew(tmp_path, caplog, damage):
    folder = build_cached(tmp_path, 'key', write_engine)
    (folder / 'engine').write_bytes(damage)
    seen = build_cached(tmp_path, 'key', lambda f: [p.name for p in f.iterdir()])
    assert seen == [] and 'damaged' in caplog.text
    assert build_cached(tmp_path, 'key', write_engine) == folder


def test_a_cache_that_cannot_be_written_is_done_without(tmp_path, caplog):
    (tmp_path / 'file').write_text('not a folder')
    assert build_cached(tmp_path / 'file', 'key', write_engine) is None
    assert 'running without cache' in caplog.text
    assert build_cached(None, 'key', write_engine) is None


def test_a_cache_open_to_others_is_not_trusted(tmp_path, caplog):
    (tmp_path / 'key').mkdir()
    (tmp_path / 'key').chmod(0o777)
    assert build_cached(tmp_path, 'key', write_engine) is None
    assert 'open to others' in caplog.text


def test_a_build_that_fails_on_its_cache_is_repeated_without(tmp_path, caplog):
    def build(folder):
        if folder is not None:
            raise OSError('no space left on device')
        return 'engine'

    assert build_cached(tmp_path, 'key', build) == 'engine'
    assert 'no space left' in caplog.text and not (tmp_path / 'key').exists()
    with pytest.raises(ZeroDivisionError):
        build_cached(tmp_path, 'key', lambda folder: 1 / 0)


def test_the_cache_is_not_blamed_for_a_bundle(tmp_path, caplog):
    def build(folder):
        builds.append(folder)
        raise BundleError('tensor of another shape')

    builds = []
    with pytest.raises(BundleError):
        build_cached(tmp_path, 'key', build)
    assert builds == [tmp_path / 'key'] and not (tmp_path / 'key').exists() and not caplog.records


def test_a_cache_that_the_runtime_left_empty_is_told(tmp_path, caplog):
    assert build_cached(tmp_path, 'key', lambda folder: 'engine') == 'engine'
    assert 'is the disk full' in caplog.text and not (tmp_path / 'key').exists()


def read_engine(folder):
    return (folder / 'engine').read_bytes()


def test_a_second_start_waits_for_the_engine_of_the_first(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(cache, '_TELL_PERIOD_S', 0.1)
    begun, told = threading.Event(), threading.Event()

    def build(folder):
        (folder / 'part').touch()
        begun.set()
        assert told.wait(10)
        return write_engine(folder)

    with ThreadPoolExecutor() as starts:
        first = starts.submit(build_cached, tmp_path, 'key', build)
        assert begun.wait(10)
        second = starts.submit(build_cached, tmp_path, 'key', read_engine)
        other = starts.submit(build_cached, tmp_path, 'other key', write_engine)
        assert other.result(10) == tmp_path / 'other key'
        until_s = time.monotonic() + 10
        while 'waiting for' not in caplog.text and time.monotonic() < until_s:
            time.sleep(0.01)
        told.set()
        assert first.result(10) == tmp_path / 'key' and second.result(10) == b'compiled'
    assert f'{tmp_path}/key: waiting for another process' in caplog.text
    assert 'damaged' not in caplog.text and 'of no use' not in caplog.text


KILLED_WHILE_IT_BUILDS = """
import os, signal, sys
from pathlib import Path
from rtseg_models.engine.backends.cache import build_cached

def build(folder):
    (folder / 'part').touch()
    os.kill(os.getpid(), signal.SIGKILL)

build_cached(Path(sys.argv[1]), 'key', build)
"""


def test_a_killed_process_leaves_no_lock(tmp_path, caplog):
    killed = subprocess.run([sys.executable, '-c', KILLED_WHILE_IT_BUILDS, str(tmp_path)], check=False)
    assert killed.returncode == -9 and (tmp_path / 'key' / 'part').exists()
    assert build_cached(tmp_path, 'key', write_engine) == tmp_path / 'key'
    assert not (tmp_path / 'key' / 'part').exists() and 'is damaged; building anew' in caplog.text


def test_where_there_are_no_locks_whole_engines_are_read_and_none_is_built(tmp_path, caplog):
    build_cached(tmp_path, 'key', write_engine)
    for key in ('key', 'other'):
        (tmp_path / f'.{key}.lock').unlink(missing_ok=True)
        (tmp_path / f'.{key}.lock').mkdir()  # what cannot be opened for writing
    assert build_cached(tmp_path, 'key', read_engine) == b'compiled' and not caplog.records
    assert build_cached(tmp_path, 'other', write_engine) is None
    assert 'running without cache' in caplog.text and not (tmp_path / 'other').exists()
