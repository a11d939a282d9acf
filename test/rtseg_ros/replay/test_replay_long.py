# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import cv2
import pytest
from recordings import PERIOD_NS, START_NS, Entry, frames, write_bag

FRAMES = 2000


def peak_memory_mb(pid: int) -> float:
    lines = Path(f'/proc/{pid}/status').read_text().splitlines()
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith('VmHWM:')), 0.0)


@pytest.mark.long
@pytest.mark.timeout(3600)
def test_memory_stays_bounded_however_long_the_bag(tiny_bundle, tmp_path):
    """2,000 frames of 720x1280 under 1 GB resident."""
    jpegs = [
        cv2.imencode('.jpg', cv2.resize(rgb, (1280, 720)))[1].tobytes() for rgb, _ in frames(10, height=180, width=320)
    ]
    stamps = [START_NS + i * PERIOD_NS for i in range(FRAMES)]
    bag = write_bag(tmp_path / 'drive', [Entry('/camera', s, jpegs[i % 10], s) for i, s in enumerate(stamps)])
    root = Path(__file__).parents[3]
    command = [sys.executable, '-m', 'rtseg_ros.replay_bag', bag, '--topic', '/camera', '--out', tmp_path / 'out']
    replay = subprocess.Popen([*command, '--model', tiny_bundle.path, '--outputs', 'mask,overlay'], cwd=root)
    peak_mb = 0.0
    while replay.poll() is None:  # not getrusage: its maximum outlives exec and so holds that of the tests before
        peak_mb = max(peak_mb, peak_memory_mb(replay.pid))
        time.sleep(0.1)
    assert replay.returncode == 0
    print(f'{FRAMES} frames, {peak_mb:.0f} MB resident at most')
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['frames'] == FRAMES
    assert peak_mb < 1000
