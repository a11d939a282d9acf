# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rtseg_models.bundle import Bundle


def build(*arguments: object) -> subprocess.CompletedProcess[str]:
    code = 'from rtseg_models.cli import main; main()'
    command = [sys.executable, '-c', code, 'build', *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True)


def test_an_engine_is_built_into_the_cache(tiny_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip('openvino')
    done = build(tiny_bundle.path, '--size', '96x128', '--backend', 'openvino', '--cache-dir', tmp_path / 'cache')
    assert done.returncode == 0, done.stderr
    assert 'tiny: openvino' in done.stdout
    (engine,) = (path for path in (tmp_path / 'cache').iterdir() if path.is_dir())
    assert 'openvino' in engine.name and '96x128' in engine.name and list(engine.glob('*.blob'))


def test_a_device_that_is_not_there_is_told(tiny_bundle: Bundle, tmp_path: Path) -> None:
    done = build(tiny_bundle.path, '--backend', 'openvino', '--device', 'cuda', '--cache-dir', tmp_path)
    assert done.returncode == 69
    assert 'openvino' in done.stderr and 'Traceback' not in done.stderr


def test_a_build_whose_parent_is_gone_does_not_begin(tiny_bundle: Bundle, tmp_path: Path) -> None:
    done = build(tiny_bundle.path, '--cache-dir', tmp_path / 'cache', '--parent', os.getppid())
    assert done.returncode != 0
    assert 'is gone' in done.stderr
    assert not (tmp_path / 'cache').exists()


def test_an_engine_that_cannot_be_kept_is_no_success(tiny_bundle: Bundle, tmp_path: Path) -> None:
    pytest.importorskip('openvino')
    (tmp_path / 'file').write_text('')
    done = build(tiny_bundle.path, '--backend', 'openvino', '--cache-dir', tmp_path / 'file' / 'cache')
    assert done.returncode == 73
    assert f'{tmp_path}/file/cache: engines cannot be kept there' in done.stderr and 'Traceback' not in done.stderr
