# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which sweep a frame gets, whichever of them comes first."""

import weakref

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rtseg_ros.pairing import FEW_FRAMES, KEPT_BYTES, KEPT_FRAME_BYTES, KEPT_FRAMES, KEPT_SWEEPS, Pairing

MS = 1_000_000


def test_a_frame_waits_for_the_sweep_of_its_own_time():
    pairing = Pairing(50)
    assert pairing.add_sweep(67, 'before') == []
    assert pairing.add_frame(100, 'frame') == []  # 33 from the sweep before: near enough, yet not its own
    assert pairing.add_sweep(100, 'own') == [('frame', 'own')]
    assert pairing.add_frame(101, 'next') == []
    assert pairing.add_sweep(133, 'after') == [('next', 'own')]


def test_a_sweep_of_the_frames_time_that_came_first_is_taken_at_once():
    pairing = Pairing(50)
    pairing.add_sweep(100, 'own')
    assert pairing.add_frame(100, 'frame') == [('frame', 'own')]
    assert pairing.add_frame(40, 'late') == [('late', None)]  # 60 from the nearest


def test_frames_without_sweeps_are_given_up_in_turn():
    pairing = Pairing(50)
    given_up = [pairing.add_frame(100 * MS * i, i) for i in range(8)]  # of which the sixth is WAIT_NS away
    assert given_up == [[]] * 6 + [[(0, None)], [(1, None)]]
    pairing.clear()
    given_up = [pairing.add_frame(i, i) for i in range(KEPT_FRAMES + 2)]
    assert given_up == [[]] * KEPT_FRAMES + [[(0, None)], [(1, None)]]
    pairing.clear()
    given_up = [pairing.add_frame(i, i, KEPT_FRAME_BYTES // 3) for i in range(FEW_FRAMES + 2)]
    assert given_up == [[]] * FEW_FRAMES + [[(0, None)], [(1, None)]]
    pairing.clear()
    assert pairing.add_frame(10**12, 'before') == [] and pairing.add_frame(0, 'back') == [('before', None)]
    pairing.clear()
    assert pairing.add_sweep(10**9, 'sweep') == []


@given(st.lists(st.tuples(st.booleans(), st.integers(0, 200)), max_size=60), st.integers(0, 40))
def test_every_frame_is_decided_once_and_in_order_with_a_sweep_in_reach(events, tolerance):
    pairing, frames, decided = Pairing(tolerance), [], []
    for is_frame, stamp in events:
        if is_frame:
            frames.append((stamp, len(frames)))
            decided += pairing.add_frame(stamp, frames[-1])
        else:
            decided += pairing.add_sweep(stamp, stamp)
    assert [frame for frame, _ in decided] == frames[: len(decided)]
    assert len(frames) - len(decided) <= KEPT_FRAMES
    assert all(sweep is None or abs(sweep - frame[0]) <= tolerance for frame, sweep in decided)


@given(st.lists(st.integers(0, 500), min_size=1, max_size=50, unique=True), st.integers(0, 500))
def test_the_nearest_of_all_sweeps_is_taken(stamps, frame):
    pairing = Pairing(1000)
    decided = pairing.add_frame(frame, frame)
    for stamp in sorted(stamps):
        decided += pairing.add_sweep(stamp, stamp)
    nearest = min(abs(stamp - frame) for stamp in stamps)
    assert [abs(sweep - frame) for _, sweep in decided] == ([nearest] if max(stamps) >= frame else [])


@given(st.integers(1, 100), st.integers(0, 60))
def test_each_frame_gets_its_twin_however_long_its_mask_takes(period, late):
    """Sweeps of every ``period`` ms, a frame for every fifth, its mask ``late`` sweeps behind."""
    pairing, decided = Pairing(50 * MS), []
    for i in range(300):
        decided += pairing.add_sweep(i * period * MS, i)
        if i % 5 == 0 and i >= late:
            decided += pairing.add_frame((i - late) * period * MS, i - late)
    assert decided and all(frame == sweep for frame, sweep in decided)


@pytest.mark.parametrize('rate', [10, 30, 60, 90])
def test_a_lidars_sweep_finds_its_frames_at_any_rate(rate):
    """Sweeps of 10 Hz that come 0.15 s after the stamp of their beginning, masks 20 ms after theirs."""
    frames = [(i * 1000 // rate * MS + 20 * MS, 'frame', i * 1000 // rate * MS) for i in range(10 * rate)]
    sweeps = [(i * 100 * MS + 150 * MS, 'sweep', i * 100 * MS) for i in range(100)]
    pairing, decided = Pairing(50 * MS), []
    for _, kind, stamp in sorted([*frames, *sweeps]):
        decided += (pairing.add_frame if kind == 'frame' else pairing.add_sweep)(stamp, stamp)
    assert len(decided) > 9 * rate and all(sweep is not None for _, sweep in decided)


def test_sweeps_too_old_for_the_frames_to_come_are_let_go():
    pairing, sweeps = Pairing(50), [Sweep() for _ in range(20)]
    for i, sweep in enumerate(sweeps):
        pairing.add_sweep(10 * i, sweep)
    kept = [weakref.ref(sweep) for sweep in sweeps]
    del sweeps, sweep
    assert all(reference() for reference in kept)
    pairing.add_frame(150, 'frame')
    assert [i for i, reference in enumerate(kept) if reference()] == list(range(10, 20))


def test_frames_that_go_back_find_the_sweeps_that_come_then():
    pairing = Pairing(50)
    pairing.add_sweep(1000, 'before')
    assert pairing.add_frame(1000, 'frame') == [('frame', 'before')]
    assert pairing.add_frame(600, 'back') == [('back', None)]
    pairing.add_sweep(633, 'after')
    assert pairing.add_frame(633, 'next') == [('next', 'after')]
    pairing.clear()
    pairing.add_sweep(100, 'anew')
    assert pairing.add_frame(100, 'again') == [('again', 'anew')]


@pytest.mark.parametrize(('size', 'kept'), [(0, KEPT_SWEEPS), (KEPT_BYTES // 8, 8), (2 * KEPT_BYTES, 1)])
def test_where_no_frame_comes_only_the_newest_sweeps_wait(size, kept):
    pairing, sweeps = Pairing(10**9), [Sweep() for _ in range(KEPT_SWEEPS + 10)]
    references = [weakref.ref(sweep) for sweep in sweeps]
    for stamp, sweep in enumerate(sweeps):
        pairing.add_sweep(stamp, sweep, size)
    del sweeps, sweep
    assert [reference() is not None for reference in references] == [False] * (KEPT_SWEEPS + 10 - kept) + [True] * kept


def test_of_sweeps_of_one_stamp_the_newest_is_taken():
    pairing = Pairing(50)
    pairing.add_sweep(100, 'first')
    pairing.add_sweep(100, 'second')
    assert pairing.add_frame(100, 'frame') == [('frame', 'second')]


class Sweep:
    """Something that shows whether it is still kept."""
