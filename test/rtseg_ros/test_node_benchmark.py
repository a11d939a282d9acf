# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's benchmark, on a tiny network: what it times is really there. No figure is judged here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

from rtseg_models.bundle import Bundle


def test_every_part_is_timed(tiny_bundle: Bundle, tmp_path: Path) -> None:
    report = tmp_path / 'report.json'
    command = [sys.executable, '-m', 'rtseg_ros.node_benchmark', '--model', str(tiny_bundle.path), '--camera', '90x160']
    done = subprocess.run(
        [*command, '--frames', '3', '--blocks', '2', '--json', str(report)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(report.read_text(encoding='utf-8'))
    assert set(result['ms']) == {'echo', 'pipeline', 'node'}
    assert all(0 < found['p50'] <= found['p95'] <= found['p99'] for found in result['ms'].values())
    assert result['node_minus_pipeline_ms'] == result['ms']['node']['p50'] - result['ms']['pipeline']['p50']
    assert 50 < result['node_peak_rss_mb'] < 4000


def test_a_missing_bundle_is_refused(tmp_path: Path) -> None:
    command = [sys.executable, '-m', 'rtseg_ros.node_benchmark', '--model', str(tmp_path / 'nothing')]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 66 and str(tmp_path / 'nothing') in done.stderr
