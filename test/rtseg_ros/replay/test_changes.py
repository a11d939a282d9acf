# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from replays import KEY, run_of

from rtseg_ros.replay import changed_frames, changes
from rtseg_ros.replay.changes import WORTH, count_worth, most_changed, rate


def test_rating_of_a_case_worked_by_hand():
    truth = np.array([[0, 0, 0, 0, 255]], np.uint8)
    a, b = np.array([[0, 0, 1, 1, 0]], np.uint8), np.array([[0, 1, 0, 2, 1]], np.uint8)
    assert rate(truth, a, b).tolist() == [[255, WORTH.index('broken'), WORTH.index('fixed'), 2, 255]]
    assert count_worth(truth, a, b)[0].tolist() == [1, 1, 1]


def test_most_changed_frames_are_no_neighbours():
    rows = [{'changed': 0.5 - 0.001 * i} for i in range(100)]
    assert most_changed(rows) == [rows[5 * i] for i in range(6)]
    assert most_changed(rows[:3]) == rows[:3]
    assert most_changed([*rows, {'changed': 0.0, 'delta': -0.2}])[0]['delta'] == -0.2


def test_classes_in_another_order_are_the_same(monkeypatch):
    a, b = run_of(['road', 'car'], {KEY: {'index': 0}}), run_of(['car', 'road'], {KEY: {'index': 0}})
    masks = np.array([[0, 1, 1, 255]], np.uint8), np.array([[1, 0, 0, 255]], np.uint8)
    monkeypatch.setattr(changes, 'paired_masks', lambda *_: iter([(KEY, *masks)]))
    assert changes.changes(a, b, [KEY])['changed'] == 0
    drawn = []
    monkeypatch.setattr(changed_frames, '_image', lambda *_: None)
    monkeypatch.setattr(changed_frames, '_marked', lambda rgb, rated: drawn.append(rated) or rgb)
    changed_frames._pictures(a, b, KEY, *masks, None)
    assert (drawn[0] == 255).all()


@pytest.mark.parametrize('count', (3, 211, 254))
def test_runs_of_many_classes_each_compare(count, monkeypatch):
    """The first class is in both runs, all others are one run's own."""
    a = run_of(['road', *(f'a{i}' for i in range(1, count))], {KEY: {'index': 0}})
    b = run_of([*(f'b{i}' for i in range(1, count)), 'road'], {KEY: {'index': 0}})
    last = count - 1
    masks = np.array([[0, 0, last, 255, 255]], np.uint8), np.array([[last, last - 1, last, 0, 255]], np.uint8)
    monkeypatch.setattr(changes, 'paired_masks', lambda *_: iter([(KEY, *masks)]))
    found = changes.changes(a, b, [KEY])
    assert found['changed'] == found['per_frame'][0]['changed'] == 3 / 5
    told = {(move['from'], move['to']): move['share'] for move in found['moved']}
    assert told == dict.fromkeys([('road', f'b{last}'), (f'a{last}', 'road'), ('unlabelled', 'b1')], 1 / 5)
    truth = np.array([[0, 0, 0, last, last]], np.uint8)
    rated = rate(truth, masks[0], changes.translation(b, a)[masks[1]])
    assert rated.tolist() == [[255, WORTH.index('broken'), WORTH.index('fixed'), WORTH.index('both_wrong'), 255]]
