# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from types import SimpleNamespace

import numpy as np
import pytest
from replays import COUNT, TOPIC, masks, report

from rtseg_models.bundle import load_bundle
from rtseg_models.engine.paint import blend
from rtseg_ros.bag import Bag, ImageRecord
from rtseg_ros.replay import stages
from rtseg_ros.replay.ahead import ahead
from rtseg_ros.replay.job import Job, share_cores
from rtseg_ros.replay.stages import Sink, infer, own_rate, read


def test_ahead_keeps_order_and_stays_within_its_depth():
    made = []

    def items():
        for i in range(20):
            made.append(i)
            yield i

    taken = []
    for item in ahead(items(), 3):
        taken.append(item)
        assert len(made) <= len(taken) + 5  # three waiting, one in hand, one being made
        time.sleep(0.002)
    assert taken == list(range(20))


def test_ahead_passes_errors_on_in_their_turn_and_ends_its_thread():
    closed = threading.Event()

    def items():
        try:
            yield 1
            raise KeyError('late')
        finally:
            closed.set()

    stream = ahead(items(), 2)
    assert next(stream) == 1
    with pytest.raises(KeyError):
        next(stream)
    assert closed.is_set()

    endless = ahead(iter(int, 1), 2)
    next(endless)
    before = threading.active_count()
    endless.close()
    assert threading.active_count() == before - 1


class _Uneven:
    """A pipeline that hands its work to a real one, late for every other frame."""

    def __init__(self, pipeline, wait_s: float) -> None:
        self._pipeline, self._wait_s = pipeline, wait_s
        self.calls = 0

    def __call__(self, rgb):
        time.sleep(self._wait_s)
        self.calls += 1
        return self._pipeline(rgb)


@pytest.fixture(scope='module')
def job(bundle, bag) -> Job:
    return Job('drive', str(bag), str(bundle.path), '', (TOPIC,), networks=2)


def test_frames_keep_their_order_over_networks_of_uneven_speed(job, bag):
    pipelines = [_Uneven(p, wait) for p, wait in zip(job.open_pipelines(), (0.05, 0.0))]
    with Bag(bag) as opened:
        frames = list(infer(read(opened.images([TOPIC]), (TOPIC,), []), pipelines))
    assert [f.record.index for f in frames] == list(range(COUNT))
    assert sorted(p.calls for p in pipelines) == [COUNT // 2, -(-COUNT // 2)]


def test_closing_early_ends_the_threads(job, bag):
    before = threading.active_count()
    with Bag(bag) as opened:
        frames = infer(read(opened.images([TOPIC]), (TOPIC,), []), job.open_pipelines())
        inside = next(frames)
        frames.close()
    assert inside.record.index == 0 and threading.active_count() == before


def test_networks_side_by_side_give_the_masks_of_one(replay, bag, tmp_path):
    for count in (1, 3):
        assert replay(bag, '--networks', count, out=f'out{count}').exit_code == 0
    one, three = (masks(tmp_path / f'out{count}') for count in (1, 3))
    assert len(one) == COUNT and all(np.array_equal(a[2], b[2]) and a[:2] == b[:2] for a, b in zip(one, three))
    facts = report(tmp_path / 'out3')
    assert facts['pipeline_fps'] > 0 and facts['machine']['networks_side_by_side'] == 3


def test_own_rate_counts_all_pipelines(job):
    pipelines = [_Uneven(p, 0.1) for p in job.open_pipelines()]
    assert own_rate(pipelines, np.zeros((72, 104, 3), np.uint8)) > 0
    assert all(p.calls > 1 for p in pipelines)


@pytest.mark.parametrize(
    'asked, cores, given',
    (
        ((0, 0), 2, (2, 1)),
        ((0, 0), 8, (8, 1)),
        ((0, 4), 8, (2, 4)),
        ((0, 4), 2, (1, 4)),
        ((3, 0), 8, (3, 2)),
        ((1, 0), 8, (1, 0)),
        ((2, 3), 2, (2, 3)),
    ),
)
def test_cores_are_shared(asked, cores, given, monkeypatch):
    monkeypatch.setattr('rtseg_ros.replay.job.CORES', cores)
    assert share_cores(*asked) == given


def test_replayed_pictures_are_those_of_the_node():
    written = {}
    writer = SimpleNamespace(write=lambda topic, stamp, image, **more: written.update({topic: image}))
    card = load_bundle('fast_scnn-camvid').card
    labels, rgb = np.array([[0, 3, 255]], np.uint8), np.full((1, 3, 3), 200, np.uint8)
    sink = Sink('drive', card, ('/image',), ('mask', 'color', 'overlay'), None, writer)
    sink._write(ImageRecord('/image', 1, '', 1, 0, None, False), rgb, labels)
    table = np.array(card.colour_table(), np.uint8)
    np.testing.assert_array_equal(written['/segmentation/color_mask'], table[labels])
    np.testing.assert_array_equal(written['/segmentation/overlay'], blend(rgb, labels, table, 0.5))


def test_own_rate_is_that_of_all_pipelines_together(monkeypatch):
    done = []
    clock = SimpleNamespace(perf_counter=lambda: 2.0 if len(done) == 3 * stages.RATE_FRAMES else 0.0)
    monkeypatch.setattr(stages, 'time', clock)
    assert own_rate([done.append] * 3, None) == 3 * stages.RATE_FRAMES / 2
