# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading

import numpy as np
import pytest

from rtseg_models.engine.timing import percentiles
from rtseg_ros.statistics import DROP_REASONS, WINDOW_FRAMES, Statistics, percentiles_from, percentiles_text


class Clock:
    now_s = 100.0

    def __call__(self):
        return self.now_s


def test_the_books_balance():
    statistics = Statistics()
    for _ in range(20):
        statistics.received()
    for reason in DROP_REASONS:
        statistics.dropped(reason)
    statistics.dropped('busy', 2)
    statistics.failed()
    statistics.published({'network': 5.0})
    shot = statistics.snapshot()
    assert shot.dropped == {**dict.fromkeys(DROP_REASONS, 1), 'busy': 3}
    assert (shot.received, shot.published, shot.failed, shot.in_flight) == (20, 1, 1, 7)


def test_an_unknown_reason_is_an_error():
    with pytest.raises(KeyError, match='tired'):
        Statistics().dropped('tired')


def test_consecutive_failures_end_with_a_picture():
    statistics = Statistics()
    statistics.failed()
    statistics.failed()
    assert statistics.snapshot().consecutive_failures == 2
    statistics.dropped('stale')
    assert statistics.snapshot().consecutive_failures == 2
    statistics.published({})
    assert statistics.snapshot().consecutive_failures == 0
    assert statistics.snapshot().failed == 2


def test_failures_from_before_anybody_listened_are_forgotten():
    now_s = [100.0]
    statistics = Statistics(lambda: now_s[0])
    statistics.failed()
    assert statistics.snapshot(90.0).consecutive_failures == 1
    assert statistics.snapshot(110.0).consecutive_failures == 0
    now_s[0] = 120.0
    statistics.failed()
    assert statistics.snapshot(110.0).consecutive_failures == 2


def test_rates_follow_the_last_ten_seconds():
    clock = Clock()
    statistics = Statistics(clock)
    for i in range(400):
        clock.now_s = 100.0 + (i + 1) / 20
        statistics.received()
        if i % 2:
            statistics.published({})
    shot = statistics.snapshot()
    assert shot.received_hz == pytest.approx(20)
    assert shot.published_hz == pytest.approx(10)
    clock.now_s += 5
    assert statistics.snapshot().received_hz == pytest.approx(10)
    clock.now_s += 6
    assert statistics.snapshot().received_hz == 0


def test_the_first_seconds_are_not_diluted():
    clock = Clock()
    statistics = Statistics(clock)
    for i in range(40):
        clock.now_s = 100.0 + (i + 1) / 20
        statistics.received()
    assert statistics.snapshot().received_hz == pytest.approx(20)


def test_rates_begin_where_the_subscription_does():
    clock = Clock()
    statistics = Statistics(clock)
    clock.now_s = 101.0
    statistics.received()
    clock.now_s = since_s = 107.0
    for i in range(40):
        clock.now_s = since_s + (i + 1) / 20
        statistics.received()
        statistics.published({})
    assert statistics.snapshot().received_hz == pytest.approx(41 / 9)
    shot = statistics.snapshot(since_s)
    assert (shot.rates_over_s, shot.received_hz, shot.published_hz) == (pytest.approx(2), 20, 20)
    assert statistics.snapshot(since_s - 100) == statistics.snapshot()


def test_latencies_do_not_outlive_their_window():
    clock = Clock()
    statistics = Statistics(clock)
    statistics.published({'network': 900.0, 'confidence': 5.0})
    clock.now_s += 6
    statistics.published({'network': 10.0})
    assert statistics.snapshot().latency_ms['network']['max'] == 900
    clock.now_s += 5
    assert statistics.snapshot().latency_ms == {'network': {'p50': 10, 'p95': 10, 'p99': 10, 'max': 10}}
    clock.now_s += 6
    assert statistics.snapshot().latency_ms == {}


def test_latencies_are_those_of_the_last_frames():
    statistics = Statistics()
    statistics.published({'network': 1e6})
    for value in range(WINDOW_FRAMES):
        statistics.published({'network': float(value), 'preprocess': 1.0})
    latency = statistics.snapshot().latency_ms
    assert latency['network']['max'] == WINDOW_FRAMES - 1
    assert latency['network']['p50'] == pytest.approx((WINDOW_FRAMES - 1) / 2)
    assert latency['network']['p95'] == pytest.approx(np.percentile(range(WINDOW_FRAMES), 95))
    assert latency['preprocess']['p95'] == 1.0


def test_a_jump_restarts_rates_and_latencies_but_no_count():
    statistics = Statistics()
    statistics.received()
    statistics.published({'network': 5.0})
    statistics.restart_window()
    shot = statistics.snapshot()
    assert (shot.received, shot.published) == (1, 1)
    assert (shot.received_hz, shot.published_hz, shot.latency_ms) == (0, 0, {})


def test_snapshots_balance_between_threads():
    statistics = Statistics()
    stop = threading.Event()

    def work():
        while not stop.is_set():
            statistics.received()
            statistics.dropped('busy')
            statistics.received()
            statistics.published({'network': 1.0})

    workers = [threading.Thread(target=work) for _ in range(2)]
    for worker in workers:
        worker.start()
    shots = [statistics.snapshot() for _ in range(200)]
    stop.set()
    for worker in workers:
        worker.join(30)
    assert all(0 <= shot.in_flight <= len(workers) for shot in shots)
    assert statistics.snapshot().in_flight == 0


def test_rates_of_the_first_second_are_not_blown_up():
    now_s = [100.0]
    statistics = Statistics(lambda: now_s[0])
    now_s[0] += 0.1
    statistics.received()
    assert statistics.snapshot().received_hz == 1


def test_faults_are_counted_by_reason_from_mask_to_mask():
    clock = Clock()
    statistics = Statistics(clock)
    clock.now_s += 1
    statistics.dropped('stale', 2)
    clock.now_s += 9
    statistics.dropped('busy')
    statistics.restart_window()  # time jumped, and that ends no fault
    statistics.dropped('stale')
    clock.now_s += 2
    assert (statistics.snapshot().faults, statistics.snapshot().faulty_s) == ({'stale': 3}, 11)
    assert statistics.snapshot(clock.now_s - 1).faults == {}  # nobody listened then
    statistics.published({})
    assert statistics.snapshot().faults == {}
    clock.now_s += 1
    statistics.dropped('decode')
    clock.now_s += 1
    assert (statistics.snapshot().faults, statistics.snapshot().faulty_s) == ({'decode': 1}, 1)
    assert statistics.snapshot().dropped['stale'] == 3


def test_percentiles_are_read_as_they_are_told():
    assert percentiles_from(percentiles_text(percentiles([1.0, 2.0, 30.0]))) == {'p50': 2.0, 'p95': 27.2, 'max': 30.0}
    assert percentiles_from('openvino') == percentiles_from('') == percentiles_from('p50 1.0') == {}
