# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtseg_models.engine.rate import RateLadder

SIZES = [(256, 512), (384, 768), (512, 1024)]


def run(ladder, frames, ms_per_megapixel):
    """The sizes that were used, one per frame, where a frame takes time in proportion to its pixels."""
    used = []
    for i in range(frames):
        height, width = ladder.size
        used.append(ladder.size)
        ladder.add(ms_per_megapixel(i) * height * width / 1e6)
    return used


def test_it_starts_at_the_largest_and_stays_while_that_holds():
    assert set(run(RateLadder(SIZES, 20), 500, lambda i: 80)) == {(512, 1024)}


def test_it_starts_where_it_is_told_to_and_climbs_from_there():
    used = run(RateLadder(SIZES, 20, start=(256, 512)), 500, lambda i: 60)
    assert used[0] == (256, 512) and used[-1] == (512, 1024)


def test_it_reports_what_frames_take_and_may_take():
    ladder = RateLadder(SIZES, 20)
    assert np.isnan(ladder.slow_ms) and ladder.holds
    for frame_ms in range(1, 12):
        ladder.add(frame_ms)
    assert (ladder.slow_ms, ladder.budget_ms) == (10, 50)


def test_a_slow_first_frame_says_nothing_about_the_rate():
    ladder = RateLadder(SIZES[:1], 20)
    ladder.add(1000)
    assert ladder.holds
    run(ladder, 15, lambda i: 1000)
    assert not ladder.holds


@pytest.mark.parametrize(('speed', 'size'), [(80, (512, 1024)), (120, (384, 768)), (300, (256, 512))])
def test_it_settles_on_the_largest_size_that_holds(speed, size):
    ladder = RateLadder(SIZES[::-1], 20)
    assert run(ladder, 400, lambda i: speed)[-1] == size
    assert ladder.holds


def test_it_says_when_even_the_smallest_is_too_slow():
    ladder = RateLadder(SIZES, 20)
    assert run(ladder, 400, lambda i: 1000)[-1] == (256, 512)
    assert not ladder.holds


def test_it_climbs_back_when_the_load_goes():
    used = run(RateLadder(SIZES, 20), 800, lambda i: 300 if i < 200 else 60)
    assert used[199] == (256, 512) and used[-1] == (512, 1024)


def test_a_few_slow_frames_do_not_move_it():
    assert set(run(RateLadder(SIZES, 20), 500, lambda i: 900 if i % 15 == 7 else 80)) == {(512, 1024)}


def test_a_load_at_the_edge_does_not_make_it_swing():
    """The larger size takes more than its share of pixels says, so every climb proves wrong."""
    ladder, moves, last = RateLadder(SIZES[1:], 20), 0, None
    for _ in range(20_000):
        ladder.add(60.0 if ladder.size == (512, 1024) else 20.0)
        moves += last is not None and last != ladder.size
        last = ladder.size
    assert 3 <= moves <= 24  # 20000 frames at most that often


@given(st.lists(st.floats(0.1, 1e4), max_size=300), st.floats(0.1, 200))
def test_it_never_leaves_the_ladder(times_ms, rate):
    ladder = RateLadder(SIZES, rate)
    for frame_ms in times_ms:
        assert ladder.add(frame_ms) in SIZES


@pytest.mark.parametrize(('sizes', 'rate'), [([], 10), (SIZES, 0), (SIZES, -1), (SIZES, float('nan'))])
def test_nonsense_is_refused(sizes, rate):
    with pytest.raises(ValueError):
        RateLadder(sizes, rate)
    with pytest.raises(ValueError):
        RateLadder(SIZES, 10, start=(1, 1))
