# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from recordings import PERIOD_NS, START_NS, Entry, frames, write_bag

FRAMES = 2000


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
    _, status, usage = os.wait4(replay.pid, 0)  # of this child alone, whatever ran before
    assert status == 0
    peak_mb = usage.ru_maxrss / 1024
    print(f'{FRAMES} frames, {peak_mb:.0f} MB resident at most')
    assert json.loads((tmp_path / 'out' / 'report.json').read_text())['frames'] == FRAMES
    assert peak_mb < 1000
