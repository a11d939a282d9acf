# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math

import pytest

from rtseg_models.engine import timing
from rtseg_models.engine.timing import StageClock, percentiles


def test_a_stage_lasts_from_the_lap_before(monkeypatch):
    ticks = iter([10.0, 10.5, 12.0])
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: next(ticks))
    clock = StageClock()
    clock.lap('first')
    clock.lap('second')
    assert clock.stage_ms == {'first': pytest.approx(500), 'second': pytest.approx(1500)}


def test_percentiles_of_known_values():
    assert percentiles(range(101)) == {'p50': 50, 'p95': 95, 'p99': 99, 'max': 100}
    assert all(math.isnan(v) for v in percentiles([]).values())
