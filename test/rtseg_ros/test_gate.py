# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtseg_ros.gate import JUMP_NS, FrameGate, Verdict

NOW = 1_000_000_000_000
MS = 1_000_000


@pytest.mark.parametrize(
    ('stamp_ns', 'now_ns', 'change', 'reason'),
    (
        (NOW, NOW, {}, ''),
        (NOW - 500 * MS, NOW, {}, ''),
        (NOW - 501 * MS, NOW, {}, 'stale'),
        (NOW - 501 * MS, NOW, {'max_age_s': 0.6}, ''),
        (1, NOW, {'max_age_s': 0.0}, ''),
        (NOW + 100 * MS, NOW, {}, ''),
        (NOW + 101 * MS, NOW, {}, 'future'),
        (NOW + 101 * MS, NOW, {'max_future_s': 0.2}, ''),
        (2 * NOW, NOW, {'max_future_s': 0.0}, ''),
        (0, NOW, {}, ''),
        (0, NOW, {'drop_zero_stamp': True}, 'zero_stamp'),
        (NOW, 0, {}, ''),
        (0, 0, {'drop_zero_stamp': True}, 'zero_stamp'),
    ),
)
def test_reasons(stamp_ns, now_ns, change, reason):
    assert FrameGate(**change).check(stamp_ns, now_ns) == Verdict(reason, jumped=False)


def test_settings_change_while_running():
    gate = FrameGate()
    assert gate.check(NOW - 900 * MS, NOW).reason == 'stale'
    gate.max_age_s = 1.0
    assert gate.check(NOW - 900 * MS, NOW).reason == ''


def test_a_bag_that_loops_has_jumped_once():
    gate = FrameGate()
    stamps = [NOW + i * 33 * MS for i in range(60)]
    verdicts = [gate.check(stamp, stamp + MS) for stamp in stamps + stamps]
    assert [i for i, v in enumerate(verdicts) if v.jumped] == [60]
    assert all(v.reason == '' for v in verdicts)


def test_the_clock_alone_may_jump():
    gate = FrameGate()
    gate.check(NOW, NOW)
    assert gate.check(NOW + 33 * MS, NOW - 2 * JUMP_NS) == Verdict('future', jumped=True)


def test_duplicates_and_swapped_frames_are_no_jump():
    gate = FrameGate()
    for stamp in (NOW, NOW, NOW - 40 * MS, NOW + 33 * MS):
        assert gate.check(stamp, NOW + 40 * MS) == Verdict('', jumped=False)


@pytest.mark.parametrize('faulty', [(5,), (5, 6), (5, 7, 9), (5, 6, 7, 8)])
def test_the_frame_after_one_from_the_future_is_no_jump(faulty):
    gate = FrameGate()
    for i in range(20):
        now = NOW + i * 33 * MS
        verdict = gate.check(now + (60_000 * MS if i in faulty else 0), now)
        assert verdict == Verdict('future' if i in faulty else '', jumped=False)


def test_stamps_that_stay_ahead_and_come_back_have_jumped():
    gate = FrameGate()
    stamps = [NOW + i * 33 * MS for i in range(60)]
    verdicts = [gate.check(stamp + (60_000 * MS if 20 <= i < 40 else 0), stamp) for i, stamp in enumerate(stamps)]
    assert [i for i, v in enumerate(verdicts) if v.jumped] == [40]
    assert [i for i, v in enumerate(verdicts) if v.reason == 'future'] == list(range(20, 40))


def test_a_bag_that_loops_under_a_clock_that_is_behind_has_jumped_once():
    gate = FrameGate()
    stamps = [NOW + i * 33 * MS for i in range(60)]
    verdicts = [gate.check(stamp, NOW - 60_000 * MS + i) for i, stamp in enumerate(stamps + stamps)]
    assert all(v.reason == 'future' for v in verdicts)
    assert sum(v.jumped for v in verdicts) == 1


def test_a_clock_that_is_put_right_is_no_jump():
    gate = FrameGate()
    for i in range(60):
        now = NOW + i * 33 * MS
        assert not gate.check(now, now - (60_000 * MS if i < 30 else 0)).jumped


def test_zeros_are_no_jump():
    gate = FrameGate()
    gate.check(NOW, NOW)
    assert not gate.check(0, 0).jumped
    assert gate.check(NOW - 2 * JUMP_NS, NOW).jumped


@settings(max_examples=500, deadline=None, database=None, derandomize=True)
@given(st.lists(st.tuples(st.integers(-(2**31), 2**31), st.integers(0, 10**9), st.integers(0, 2**62)), max_size=20))
def test_any_stamp_gets_one_verdict(frames):
    gate = FrameGate(drop_zero_stamp=True)
    for sec, nanosec, now_ns in frames:
        stamp_ns = sec * 10**9 + nanosec
        verdict = gate.check(stamp_ns, now_ns)
        late, early = now_ns - stamp_ns > 500 * MS, stamp_ns - now_ns > 100 * MS
        if stamp_ns == 0:
            assert verdict.reason == 'zero_stamp'
        elif now_ns and abs(now_ns - stamp_ns) < 2**52:  # where float seconds still tell nanoseconds apart
            assert verdict.reason == ('stale' if late else 'future' if early else '')


def test_a_jump_is_seen_across_a_clock_that_reads_zero():
    now_ns = 10**12
    gate = FrameGate()
    gate.check(now_ns, now_ns)
    gate.check(0, 0)
    assert gate.check(now_ns, now_ns - 2 * JUMP_NS).jumped
