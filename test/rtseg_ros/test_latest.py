# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
from collections import Counter

import pytest

from rtseg_ros.latest import Latest


def test_newest_wins_and_the_loss_is_told():
    box = Latest()
    assert [box.put(i) for i in range(3)] == [False, True, True]
    assert box.take(0) == 2
    assert box.take(0) is None
    assert box.put(3) is False


def test_cameras_take_turns_whatever_their_rates():
    box = Latest()
    served = []
    box.put('left 0', 'left')
    box.put('right 0', 'right')
    for i in range(1, 7):
        for _ in range(5):
            box.put(f'left {i}', 'left')
        served.append(box.take(0))
        box.put(f'right {i}', 'right')
    assert Counter(item.split()[0] for item in served) == {'left': 3, 'right': 3}


def test_what_waits_can_be_taken_together():
    box = Latest()
    for key in ('left', 'job', 'right'):
        box.put(key, key)
    assert box.take_also(lambda item: item != 'job') == ['left', 'right']
    assert box.take_also(lambda item: item != 'job') == []
    assert box.take(0) == 'job'


def test_close_wakes_and_refuses():
    box = Latest()
    results = []
    waiting = [threading.Thread(target=lambda: results.append(box.take(None))) for _ in range(3)]
    for thread in waiting:
        thread.start()
    assert box.close() == []
    for thread in waiting:
        thread.join(10)
    assert results == [None] * 3
    assert box.put(1) is True
    assert box.take(None) is None


def test_close_hands_over_what_waits():
    box = Latest()
    box.put(1, 'a')
    box.put(2, 'b')
    assert box.close() == [1, 2]
    assert box.close() == []


@pytest.mark.parametrize('keys', (('',), ('front', 'rear', 'left')))
def test_no_item_is_lost_or_served_twice_between_threads(keys):
    box, count = Latest(), 4000
    displaced, taken = Counter(), []

    def produce(key):
        for i in range(count):
            displaced[key] += box.put((key, i), key)

    def consume():
        while True:
            item = box.take(None)
            if item is None:
                return
            taken.append(item)

    producers = [threading.Thread(target=produce, args=(key,)) for key in keys]
    consumer = threading.Thread(target=consume)
    consumer.start()
    for thread in producers:
        thread.start()
    for thread in producers:
        thread.join(60)
    left = len(box.close())
    consumer.join(60)
    assert not consumer.is_alive()
    assert len(taken) == len(set(taken))
    assert len(taken) + sum(displaced.values()) + left == count * len(keys)
    for key in keys:
        numbers = [i for k, i in taken if k == key]
        assert numbers == sorted(numbers)
