# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What exists between configure and cleanup: the network, the worker, the cameras and the latched legends."""

from __future__ import annotations

import threading
import time
from concurrent.futures import Future
from typing import Any, Callable, List, Optional

from rclpy.node import Node

from rtseg_models.engine import NonFiniteLogits
from rtseg_models.errors import DeviceLost, RtsegError

from ..parameters import Settings
from .camera import Arrival, Camera, Session
from .executor_load import ExecutorLoad
from .guard import WARN_PERIOD_S, Guard
from .legends import Legends
from .loader import Loader
from .model import Model
from .rate_control import RateControl
from .rounds import serve_round
from .worker import Worker

PATIENCE_S = 10.0
"""Seconds that a running inference may take to end."""
SPINNING = 0.15
"""Share of a core above which the executor's thread may be spinning; idle it uses 0.02."""


class Serving:
    """Frames go from a camera through ``_receive`` and the worker's newest-wins box to ``serve_round``."""

    def __init__(
        self,
        node: Node,
        model: Model,
        settings: Callable[[], Settings],
        guard: Guard,
        give_up: Callable[[RtsegError], None],
        loader: Loader,
    ) -> None:
        self.model = model
        self.configured = settings()
        self.enabled = True
        self.self_test_error = ''
        self.closed = False
        self._node = node
        self._settings = settings
        self._guard = guard
        self._give_up = give_up
        self._session: Optional[Session] = None
        self._last_round = (0.0, 0)  # when it began, and its frames
        self._tested_s = -WARN_PERIOD_S
        names = settings().cameras
        self.cameras: List[Camera] = []
        self._legends = Legends(node)
        self._announcing = threading.Lock()
        self._loader = loader
        self._load = ExecutorLoad()
        self.rate = RateControl(node.get_logger())
        self._worker: Worker[Arrival] = Worker(self._serve, self._pace, lambda: self.model.pipeline.takes_batches)
        try:
            for name in names:
                self.cameras.append(Camera(node, name, settings(), guard, self._receive))
            self.announce()
        except Exception:  # passed on; nobody else could close what is half made
            self.close()
            raise

    @property
    def active(self) -> bool:
        """Whether frames are served."""
        return self._session is not None

    @property
    def busy_s(self) -> float:
        """Seconds that the running inference has taken so far; 0 between two."""
        return self._worker.busy_s

    def start(self) -> None:
        """Begin to serve."""
        self._session = Session()
        self.follow()

    def enable(self, enabled: bool) -> None:
        """Serve frames, or drop them: then nothing is published after this."""
        self.enabled = enabled
        session = self._session
        if session is not None and not enabled:
            self._session = Session()
            session.close()
        for camera in self.cameras:
            if camera.cloud is not None:
                camera.cloud.pause(not enabled)

    def stop(self) -> None:
        """Serve no more: nothing is published after this. Harmless when not serving."""
        session, self._session = self._session, None
        if session is not None:
            session.close()
        self.follow()

    def follow(self) -> None:
        """Adapt every subscription to who listens and who publishes, and the network's size to the target rate."""
        spinning = self._load.share() > SPINNING
        for camera in self.cameras:
            camera.follow(self.active, self._settings(), spinning)
        try:
            if not self.closed:
                self.rate.follow(self, self._loader, self._settings().target_rate_hz)
        except Exception as error:  # as where the bundle is gone from the disk; the network in memory serves on
            self._guard.report(error, 'input size')

    def announce(self) -> None:
        """Publish the latched legends. The executor's thread and the worker's call it; the newest facts come last."""
        with self._announcing:
            if not self.closed:
                self._legends.publish(self.model.bundle, self._settings().confidence_threshold)

    def swap(self, model: Model) -> Future[Any]:
        """Put another network in place between two frames; from there on it serves, whatever is left to be done."""
        return self._worker.submit(lambda: self._put_in_place(model))

    def self_test(self) -> Future[Any]:
        """Run the golden sample between two frames; the future holds its share of equal pixels or the error."""
        return self._worker.submit(self._self_test)

    def close(self, hurried: Callable[[], bool] = lambda: False) -> None:
        """Let go of everything; an inference that does not end in time, less once ``hurried``, is left behind."""
        self.closed = True
        self.stop()
        if self._worker.stop(PATIENCE_S, hurried):
            self._close(self.model)
        else:
            self._node.get_logger().error('an inference has not ended in time; its thread and memory are left behind')
        for camera in self.cameras:
            camera.close()
        with self._announcing:
            self._legends.close()

    def _put_in_place(self, model: Model) -> None:
        before, self.model, self.self_test_error = self.model, model, ''
        self._close(before)
        if model.bundle is before.bundle:
            return
        try:
            self.announce()
        except Exception as error:  # the new network serves
            self._node.get_logger().warning(f'the legends could not be published: {_text(error)}')

    def _close(self, model: Model) -> None:
        try:
            model.pipeline.close()
        except Exception as error:  # whatever a runtime raises over a network that is done with, the rest goes on
            self._node.get_logger().warning(f'a network could not be closed: {_text(error)}')

    def _receive(self, camera: Camera, message: Any, received_s: float) -> None:
        session = self._session
        if session is None or not self.enabled:
            camera.drop('disabled')
        elif self._worker.put_frame(Arrival(camera, message, received_s, session), camera.name):
            camera.drop('busy')

    def _serve(self, arrivals: List[Arrival]) -> None:
        before, began_s = self._last_round, time.monotonic()
        self._last_round = (began_s, len(arrivals))
        try:
            published = serve_round(arrivals, self.model, self._settings())
        except NonFiniteLogits as error:
            self._guard.warn('logits', f'nothing published: {error}')
            self._test_again()
        except DeviceLost as error:
            self._give_up(error)
        else:
            # a stale frame of one camera must not use up another's turn
            self._last_round = (began_s, published) if published else before
            if published and not self._loader.busy:  # loading takes the machine's time from the frames
                turns = max(1.0, sum(camera.input.subscribed for camera in self.cameras) / published)
                self.rate.add(self.model.pipeline.input_size, (time.monotonic() - began_s) * 1e3 * turns)

    def _test_again(self) -> None:
        if time.monotonic() - self._tested_s < WARN_PERIOD_S:
            return
        self._tested_s = time.monotonic()
        try:
            self._self_test()
        except RtsegError as error:
            self._node.get_logger().error(f'self-test: {error}')
        except Exception as error:  # a runtime's own; the worker must outlive it
            self._guard.report(error, 'self-test')

    def _self_test(self) -> Optional[float]:
        try:
            agreement = self.model.self_test()
        except Exception as error:  # told in the diagnostics, and passed on
            self.self_test_error = str(error)
            if isinstance(error, DeviceLost):
                self._give_up(error)
            raise
        self.self_test_error = ''
        return agreement

    def _pace(self) -> float:
        rate_hz, (began_s, frames) = self._settings().max_rate_hz, self._last_round
        return began_s + frames / rate_hz - time.monotonic() if rate_hz > 0 else 0.0


def _text(error: Exception) -> str:
    return f'{type(error).__name__}: {error}'
