# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The worker's thread and the guard, without ROS."""

import threading
import time

import pytest

from rtseg_models.errors import RtsegError
from rtseg_ros.node.guard import Guard
from rtseg_ros.node.worker import Worker, run_aside


@pytest.fixture
def worker():
    """A worker whose frames are functions to be called."""
    made = Worker(lambda frames: [frame() for frame in frames])
    yield made
    made.stop()


class Log:
    def __init__(self):
        self.errors, self.warnings = [], []
        self.error, self.warning = self.errors.append, self.warnings.append


def test_newest_frame_of_each_camera_wins_and_jobs_are_kept(worker):
    gate, done = threading.Event(), []
    worker.put_frame(lambda: gate.wait(10), 'front')
    while not worker.busy_s:
        pass
    assert not worker.put_frame(lambda: done.append('old'), 'front')
    job = worker.submit(lambda: done.append('job'))
    assert not worker.put_frame(lambda: done.append('rear'), 'rear')
    assert worker.put_frame(lambda: done.append('new'), 'front')
    gate.set()
    job.result(10)
    worker.submit(lambda: None).result(10)
    assert sorted(done) == ['job', 'new', 'rear']


def test_jobs_do_not_wait_for_the_rate():
    served = []
    worker = Worker(served.append, pace=lambda: 60.0)
    worker.put_frame('frame', 'front')
    assert worker.submit(lambda: 'done').result(10) == 'done'
    assert worker.stop() and not served


def test_frames_of_several_cameras_are_served_together_where_that_is_wanted():
    gate, served, wanted = threading.Event(), [], [False]

    def serve(frames):
        served.append(frames)
        gate.wait(10)

    worker = Worker(serve, together=lambda: wanted[0])
    for together in (False, True):
        wanted[0] = together
        gate.clear()
        worker.put_frame('first', 'front')
        while not worker.busy_s:
            pass
        for camera in ('front', 'rear'):
            worker.put_frame(camera, camera)
        job = worker.submit(lambda: served.append('job'))
        gate.set()
        job.result(10)
    assert worker.stop()
    assert served == [['first'], ['front'], ['rear'], 'job', ['first'], ['front', 'rear'], 'job']


def test_a_jobs_error_is_its_callers_and_the_worker_goes_on(worker):
    with pytest.raises(ZeroDivisionError):
        worker.submit(lambda: 1 / 0).result(10)
    assert worker.submit(lambda: 7).result(10) == 7


def test_a_stopped_worker_says_so(worker):
    assert worker.stop()
    with pytest.raises(RtsegError, match='cleaned up'):
        worker.submit(lambda: 7).result(10)
    assert worker.put_frame(lambda: None, 'front')


@pytest.fixture
def hanging():
    """A worker within a frame, and the gate that lets the frame end."""
    gate = threading.Event()
    worker = Worker(lambda frames: gate.wait(10))
    worker.put_frame('frame', 'front')
    while not worker.busy_s:
        pass
    yield worker, gate
    gate.set()
    worker.stop(10)


def test_jobs_that_wait_when_the_worker_stops_are_told(hanging):
    worker, gate = hanging
    job = worker.submit(lambda: 7)
    assert not worker.stop(0.05)
    with pytest.raises(RtsegError, match='cleaned up'):
        job.result(10)
    gate.set()
    assert worker.stop(10)


def test_a_worker_that_hangs_is_left_behind(hanging):
    worker, gate = hanging
    assert not worker.stop(0.05)
    gate.set()
    assert worker.stop(10)


def test_work_aside_hands_over_result_and_error():
    assert run_aside(lambda: 7, 'test').result(10) == 7
    with pytest.raises(ZeroDivisionError):
        run_aside(lambda: 1 / 0, 'test').result(10)


def test_guard_shows_a_traceback_once_for_each_place():
    log = Log()
    guard = Guard(log)
    for place in ('here', 'here', 'there'):
        try:
            raise ValueError('wrong')
        except ValueError as error:
            guard.report(error, place)
    assert guard.errors == 3
    assert len(log.errors) == 2
    assert 'Traceback' in log.errors[0]


def test_guard_warns_at_most_every_five_seconds_for_each_topic():
    now_s, log = [0.0], Log()
    guard = Guard(log, lambda: now_s[0])
    for time_s, topic in [(0, 'a'), (1, 'a'), (1, 'b'), (4.9, 'a'), (5, 'a')]:
        now_s[0] = time_s
        guard.warn(topic, f'{topic} at {time_s}')
    assert log.warnings == ['a at 0', 'b at 1', 'a at 5']


def test_whoever_is_in_a_hurry_waits_less(hanging):
    worker, release = hanging
    began_s = time.monotonic()
    assert not worker.stop(60.0, lambda: True)
    assert 0.2 < time.monotonic() - began_s < 5
    release.set()
    assert worker.stop(10)
