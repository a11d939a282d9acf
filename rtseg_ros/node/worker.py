# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that uses the network: the newest frame of each camera, and jobs between two frames."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Generic, List, Optional, TypeVar, Union, cast

from rtseg_models.errors import RtsegError

from ..latest import Latest

Frame = TypeVar('Frame')
HURRIED_S = 0.3
"""Seconds that a running inference may take to end once the process was asked to."""


class _Job:
    """Work to be done between two frames."""

    def __init__(self, work: Callable[[], Any]) -> None:
        self.work = work
        self.done: Future[Any] = Future()


class Worker(Generic[Frame]):
    """Serves frames and does jobs, one at a time. ``busy_s`` lets another thread see one that hangs.

    ``serve`` gets the frame that has waited longest and, while ``together`` says so, the waiting frames of all other
    cameras; it handles its own errors. ``pace`` gives the seconds to wait before the next, which newer frames may
    replace; jobs do not wait for it.
    """

    def __init__(
        self,
        serve: Callable[[List[Frame]], None],
        pace: Callable[[], float] = lambda: 0.0,
        together: Callable[[], bool] = lambda: False,
    ) -> None:
        self._serve = serve
        self._pace = pace
        self._together = together
        self._box: Latest[Union[_Job, Frame]] = Latest()
        self._stopped = threading.Event()
        self._began: Optional[float] = None
        self._numbers = itertools.count()
        self._thread = threading.Thread(target=self._run, name='segmentation', daemon=True)
        self._thread.start()

    @property
    def busy_s(self) -> float:
        """Seconds since the running job began; 0 while idle."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def put_frame(self, frame: Frame, camera: str) -> bool:
        """Leave a camera's newest frame; True when that cost an older one (or this one, once stopped)."""
        return self._box.put(frame, f'camera {camera}')

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Have ``work`` done between two frames; the future holds its result or its error.

        RtsegError where the worker stops before.
        """
        job = _Job(work)
        if self._box.put(job, f'job {next(self._numbers)}'):
            job.done.set_exception(_stopped())
        return job.done

    def stop(self, timeout_s: float = 5.0, hurried: Callable[[], bool] = lambda: False) -> bool:
        """End after the running job; False if that did not end in time (the thread is then left behind).

        From when ``hurried`` says so, the time is ``HURRIED_S`` at most.
        """
        self._stopped.set()
        for item in self._box.close():
            if isinstance(item, _Job):
                item.done.set_exception(_stopped())
        end_s = time.monotonic() + timeout_s
        while self._thread.is_alive() and time.monotonic() < end_s:
            self._thread.join(min(0.05, timeout_s))
            if hurried():
                end_s = min(end_s, time.monotonic() + HURRIED_S)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            wait_s = self._pace()
            if wait_s > 0:
                for job in self._box.take_also(lambda item: isinstance(item, _Job)):
                    self._do(cast(_Job, job))
                self._stopped.wait(min(wait_s, 0.1))
                continue
            item = self._box.take()
            if item is None:
                return
            self._do(item)

    def _do(self, item: Union[_Job, Frame]) -> None:
        self._began = time.monotonic()
        if isinstance(item, _Job):
            _fulfil(item.done, item.work)
        else:
            self._serve([item, *self._others()])
        self._began = None

    def _others(self) -> List[Frame]:
        if not self._together():
            return []
        return cast(List[Frame], self._box.take_also(lambda item: not isinstance(item, _Job)))


def run_aside(work: Callable[[], Any], name: str) -> Future[Any]:
    """Do ``work`` in a thread of its own that does not keep the process alive."""
    done: Future[Any] = Future()
    threading.Thread(target=_fulfil, args=(done, work), name=name, daemon=True).start()
    return done


def _stopped() -> RtsegError:
    return RtsegError('the node was cleaned up meanwhile')


def _fulfil(done: Future[Any], work: Callable[[], Any]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # the caller's to judge: it is handed over, not swallowed
        done.set_exception(error)
