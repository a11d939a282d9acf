# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How ``rtseg`` ends where something fails."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

COMMAND = """
import atexit, sys, time
from rtseg_models import cli
from rtseg_models.cli import evaluate_command
atexit.register(time.sleep, 600)  # as NCCL, which waits for processes that wait for this one
def fails(*_):
    raise {error}
evaluate_command.open_dataset = fails
cli.main(['evaluate', '--model', 'fast_scnn-camvid', '--dataset', 'camvid', '--root', '/none'])
"""


@pytest.mark.parametrize(
    ('error', 'code', 'said'), [('OSError("no space left")', 70, 'rtseg: no space left'), ('KeyError("bug")', 1, 'bug')]
)
def test_a_process_among_several_ends_at_once(error: str, code: int, said: str) -> None:
    environment = {**os.environ, 'WORLD_SIZE': '2'}
    command = [sys.executable, '-c', COMMAND.format(error=error)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)
    assert done.returncode == code and said in done.stderr, done.stderr
