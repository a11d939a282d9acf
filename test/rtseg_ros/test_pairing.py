# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which sweep a frame gets, whichever of them comes first."""

from hypothesis import given
from hypothesis import strategies as st

from rtseg_ros.pairing import KEPT_FRAMES, KEPT_SWEEPS, Pairing


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
    given_up = [pairing.add_frame(1000 * i, i) for i in range(KEPT_FRAMES + 2)]
    assert given_up == [[]] * KEPT_FRAMES + [[(0, None)], [(1, None)]]
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


@given(st.lists(st.integers(0, 500), min_size=1, max_size=KEPT_SWEEPS, unique=True), st.integers(0, 500))
def test_the_nearest_of_all_sweeps_is_taken(stamps, frame):
    pairing = Pairing(1000)
    decided = pairing.add_frame(frame, frame)
    for stamp in sorted(stamps):
        decided += pairing.add_sweep(stamp, stamp)
    nearest = min(abs(stamp - frame) for stamp in stamps)
    assert [abs(sweep - frame) for _, sweep in decided] == ([nearest] if max(stamps) >= frame else [])


def test_only_the_newest_sweeps_wait():
    pairing = Pairing(10**9)
    for stamp in range(KEPT_SWEEPS + 1):
        pairing.add_sweep(stamp, stamp)
    assert pairing.add_frame(0, 'frame') == [('frame', 1)]  # sweep 0 is gone
