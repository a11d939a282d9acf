# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Networks are opened in a thread of their own, one at a time, while the node answers and, where it can, serves."""

from __future__ import annotations

import threading
import time
from concurrent import futures
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Callable, Iterator, Optional

from rtseg_models.errors import RtsegError

from .model import Model
from .worker import run_aside

if TYPE_CHECKING:
    from .serving import Serving

Stopping = Callable[[], bool]
Open = Callable[[Stopping], Model]
"""Opens a network, which may take minutes; ends early with an RtsegError once its argument says so."""

PROGRESS_PERIOD_S = 10.0


class Loader:
    """Opens networks. ``error`` says why the last replacement failed, and is empty once a network is opened."""

    def __init__(self, logger: Any, stopping: Stopping) -> None:
        self.error = ''
        self._logger = logger
        self._stopping = stopping
        self._one_at_a_time = threading.Lock()
        self._began_s: Optional[float] = None
        self._told_s = 0.0

    @property
    def busy(self) -> bool:
        """Whether a network is being opened."""
        return self._one_at_a_time.locked()

    def progress(self) -> str:
        """For how long a network has been loading, empty where none is; called each second, it tells the log too."""
        began_s = self._began_s
        if began_s is None:
            return ''
        now_s = time.monotonic()
        if now_s - max(began_s, self._told_s) >= PROGRESS_PERIOD_S:
            self._told_s = now_s
            self._logger.info(f'still loading after {now_s - began_s:.0f} s')
        return f'loading for {now_s - began_s:.0f} s'

    def load(self, open_: Open, each_second: Callable[[], None]) -> Model:
        """Open a network and wait for it; ``each_second`` is called meanwhile. RtsegError where the node shall stop."""
        loading = run_aside(lambda: self._open(open_), 'load')
        next_s = time.monotonic() + 1
        while not self._stopping():
            futures.wait([loading], timeout=0.05)
            if loading.done():
                model: Model = loading.result()
                self.error = ''
                return model
            if time.monotonic() >= next_s:
                next_s += 1
                each_second()
        raise RtsegError('asked to stop while the network was loading')

    def replace(self, serving: Serving, open_: Open) -> futures.Future[Any]:
        """Open a network beside the one that serves, then swap; where that fails the old one stays.

        RtsegError where another network is being loaded.
        """
        if not self._one_at_a_time.acquire(blocking=False):
            raise RtsegError('another network is being loaded; try again once it serves')
        return run_aside(lambda: self._replace(serving, open_), 'reload')

    def _open(self, open_: Open) -> Model:
        self._one_at_a_time.acquire()
        with self._noted():
            return open_(self._stopping)

    def _replace(self, serving: Serving, open_: Open) -> Model:
        try:
            with self._noted():
                model = open_(lambda: serving.closed or self._stopping())
                self._swap(serving, model)
        except Exception as error:  # whatever a runtime raises over the new network, the old one goes on serving
            if not serving.closed:
                self.error = str(error)
                self._logger.error(f'reload: {error}; the old network stays')
            raise
        self.error = ''
        self._logger.info(f'serving {model.describe()}')
        return model

    def _swap(self, serving: Serving, model: Model) -> None:
        try:
            serving.swap(model).result()
        except Exception:  # passed on; a network that did not get its place is closed first
            if serving.model is not model:
                model.pipeline.close()
            raise

    @contextmanager
    def _noted(self) -> Iterator[None]:
        """Keep the time while a network is opened, and let the next one be opened afterwards."""
        self._began_s = time.monotonic()
        try:
            yield
        finally:
            self._began_s = None
            self._one_at_a_time.release()
