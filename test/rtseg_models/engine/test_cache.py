# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines on disk: kept, built anew, done without."""

from __future__ import annotations

import pytest

from rtseg_models.engine.backends.cache import build_cached


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


def test_a_cache_that_the_runtime_left_empty_is_told(tmp_path, caplog):
    assert build_cached(tmp_path, 'key', lambda folder: 'engine') == 'engine'
    assert 'is the disk full' in caplog.text and not (tmp_path / 'key').exists()
