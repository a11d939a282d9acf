# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The one thread that uses the network: the newest frame of each camera, and jobs between two frames."""

from __future__ import annotations

import itertools
import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, Optional

from ..latest import Latest

Job = Callable[[], None]


class Worker:
    """Runs jobs one at a time. ``pace`` gives the seconds to wait before the next one, which newer frames may replace.

    Jobs handle their own errors. ``busy_s`` lets another thread see a job that hangs.
    """

    def __init__(self, pace: Callable[[], float]) -> None:
        self._pace = pace
        self._jobs: Latest[Job] = Latest()
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

    def put_frame(self, job: Job, camera: str) -> bool:
        """Leave the work for a camera's newest frame; True when that cost an older one (or this one, once stopped)."""
        return self._jobs.put(job, f'camera {camera}')

    def submit(self, work: Callable[[], Any]) -> Future[Any]:
        """Have ``work`` done between two frames; the future holds its result or its error."""
        done: Future[Any] = Future()
        if self._jobs.put(lambda: _fulfil(done, work), f'job {next(self._numbers)}'):
            done.set_exception(RuntimeError('the worker has stopped'))
        return done

    def stop(self, timeout_s: float = 5.0) -> bool:
        """End after the running job; False if that did not end in time (the thread is then left behind)."""
        self._stopped.set()
        self._jobs.close()
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._stopped.is_set():
            wait_s = self._pace()
            if wait_s > 0:
                self._stopped.wait(min(wait_s, 0.1))
                continue
            job = self._jobs.take()
            if job is None:
                return
            self._began = time.monotonic()
            job()
            self._began = None


def run_aside(work: Callable[[], Any], name: str) -> Future[Any]:
    """Do ``work`` in a thread of its own that does not keep the process alive."""
    done: Future[Any] = Future()
    threading.Thread(target=_fulfil, args=(done, work), name=name, daemon=True).start()
    return done


def _fulfil(done: Future[Any], work: Callable[[], Any]) -> None:
    try:
        done.set_result(work())
    except BaseException as error:  # the caller's to judge: it is handed over, not swallowed
        done.set_exception(error)
