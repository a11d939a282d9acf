# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What OpenVINO does to the process that it runs in."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest.importorskip('openvino', reason='OpenVINO is not installed')

SIGNAL_AFTER_CLOSING = """
import os, signal, sys
from rtseg_models.bundle import load_bundle
from rtseg_models.engine import Pipeline

signal.signal(signal.SIGINT, lambda number, frame: print('handled'))
networks = [Pipeline(load_bundle(sys.argv[1]), backend='openvino') for _ in range(2)]
while networks:
    networks.pop(0).close()
os.kill(os.getpid(), signal.SIGINT)
"""


def test_signals_are_handled_after_networks_were_closed(tiny_bundle):
    """Of several plugins, closed in the order of loading, a thread would be left with a freed signal stack."""
    command = [sys.executable, '-c', SIGNAL_AFTER_CLOSING, str(tiny_bundle.path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, 'handled\n'), done.stderr
