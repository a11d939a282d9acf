# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stage clocks and the statistics that people quote."""

from __future__ import annotations

import time
from typing import Dict, Sequence

import numpy as np


class StageClock:
    """Milliseconds per named stage: ``lap('network')`` closes the stage that began at the last lap."""

    def __init__(self) -> None:
        self.stage_ms: Dict[str, float] = {}
        self._last = time.perf_counter()

    def lap(self, stage: str) -> None:
        """Close a stage."""
        now = time.perf_counter()
        self.stage_ms[stage] = (now - self._last) * 1e3
        self._last = now


def percentiles(values_ms: Sequence[float]) -> Dict[str, float]:
    """p50, p95, p99 and max of durations; all nan where there are none."""
    if not len(values_ms):
        return dict.fromkeys(('p50', 'p95', 'p99', 'max'), float('nan'))
    p50, p95, p99, worst = np.percentile(values_ms, (50, 95, 99, 100))
    return {'p50': float(p50), 'p95': float(p95), 'p99': float(p99), 'max': float(worst)}
