# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames a report shows."""

from __future__ import annotations

import pytest

from rtseg_ros.reporting.choice import Candidate, worth_showing


def test_worst_and_best_come_in_order_and_none_twice():
    scores = [0.5, 0.2, 0.9, 0.7, 0.3, 0.8, 0.6]
    shown = worth_showing([Candidate('mask', i, score) for i, score in enumerate(scores)])
    assert [place for why, place in shown if why == 'Worst: '] == [1, 4, 0, 6]
    assert [place for why, place in shown if why == 'Best: '] == [2, 5]
    assert len(shown) == 6
    assert worth_showing([Candidate('mask', 0, 0.5)]) == [('Worst: ', 0)]


def test_neighbours_of_a_stream_are_not_shown_twice():
    count = 100  # so that frames of one stream lie more than four apart
    frames = [Candidate('front', i, i / count) for i in range(count)]
    frames[10] = Candidate('rear', 2, 0.005)
    shown = worth_showing(frames)
    assert [place for why, place in shown if why == 'Worst: '] == [0, 10, 5, 11]
    assert [place for why, place in shown if why == 'Best: '] == [99, 94]


def test_frames_without_truth_are_left_out_where_others_have_one():
    frames = [Candidate('mask', 0, None), Candidate('mask', 1, 0.4), Candidate('mask', 2, None)]
    assert worth_showing(frames) == [('Worst: ', 1)]


@pytest.mark.parametrize(('count', 'places'), [(0, []), (1, [0]), (3, [0, 1, 2]), (101, [0, 20, 40, 60, 80, 100])])
def test_without_truth_frames_are_spread_over_the_run(count, places):
    frames = [Candidate('mask', i, None) for i in range(count)]
    assert worth_showing(frames) == [('', place) for place in places]
