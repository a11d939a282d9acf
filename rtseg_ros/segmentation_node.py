# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The managed node: images in, masks out. It only wires: every job has a module of its own beside this one.

The executor's thread takes messages, answers services and drives transitions; the worker's thread is the only one that
uses the network. A frame goes from ``_receive`` through the worker's newest-wins box to ``Camera.serve``.
"""

from __future__ import annotations

import functools
import time
from typing import Any, Callable, List, Optional

from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from std_srvs.srv import SetBool

from rtseg_models.engine import NonFiniteLogits
from rtseg_models.errors import ConfigurationError, DeviceLost, RtsegError

from .camera import Camera, Session
from .guard import Guard
from .legends import Legends
from .live_settings import LiveSettings
from .model import Model, open_model
from .parameters import Settings
from .worker import Worker, run_aside

Transition = Callable[[Any, LifecycleState], None]
PROGRESS_PERIOD_S = 10.0


def _transition(steps: Transition) -> Callable[[Any, LifecycleState], TransitionCallbackReturn]:
    """A transition that says why it failed: rclpy swallows what its callbacks raise."""

    @functools.wraps(steps)
    def guarded(node: SegmentationNode, state: LifecycleState) -> TransitionCallbackReturn:
        try:
            steps(node, state)
        except RtsegError as error:
            node.error = error
            node.get_logger().error(f'{steps.__name__}: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # see above; a node that stays as it was can be asked again
            node.error = error
            node.guard.report(error, steps.__name__)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    return guarded


class SegmentationNode(LifecycleNode):
    """See the interface in the README. ``stop`` ends the process; ``error`` then tells why, None if it was asked to."""

    def __init__(self, stop: Callable[[], None], stopping: Callable[[], bool]) -> None:
        super().__init__('segmentation', automatically_declare_parameters_from_overrides=True)
        self.guard = Guard(self.get_logger())
        self.error: Optional[Exception] = None
        self.model: Optional[Model] = None
        self.cameras: List[Camera] = []
        self._stop, self._stopping = stop, stopping
        self._session: Optional[Session] = None
        self._worker: Optional[Worker] = None
        self._legends: Optional[Legends] = None
        self._enabled = True
        self._last_frame_s = 0.0
        self._live = LiveSettings(self, lambda: self._session is not None, self._settings_changed)
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # ROS time stands still while simulated time is paused
        self.create_timer(0.1, self._follow, clock=steady)
        self.create_service(SetBool, '~/enable', self._enable)

    @property
    def settings(self) -> Settings:
        """The parameters as they are now."""
        return self._live.value

    def autostart(self) -> None:
        """Configure and activate, where the parameter says so; the process ends if that fails."""
        if not self.settings.autostart:
            return
        done = TransitionCallbackReturn.SUCCESS
        if self.trigger_configure() != done or self.trigger_activate() != done:
            self._stop()

    # Transitions, in the executor's thread

    @_transition
    def on_configure(self, state: LifecycleState) -> None:
        names = self.settings.cameras
        if len(set(names)) != len(names):
            raise ConfigurationError(f'cameras is {list(names)}; every name once')
        self.model = self._loaded(self.settings)
        self.cameras = [Camera(self, name, self.settings, self.guard, self._receive) for name in names]
        self._legends = Legends(self)
        self._legends.publish(self.model.bundle, self.settings.confidence_threshold)
        self._worker = Worker(self._pace)
        self.get_logger().info(f'serving {self.model.describe()}')

    @_transition
    def on_activate(self, state: LifecycleState) -> None:
        self._session = Session()
        self._follow()

    @_transition
    def on_deactivate(self, state: LifecycleState) -> None:
        self._end_session()

    @_transition
    def on_cleanup(self, state: LifecycleState) -> None:
        self.release()

    @_transition
    def on_shutdown(self, state: LifecycleState) -> None:
        self.release()

    @_transition
    def on_error(self, state: LifecycleState) -> None:
        self.release()

    def release(self) -> None:
        """Let go of everything that configure made; harmless when there is nothing."""
        self._end_session()
        if self._worker is not None and not self._worker.stop(1.0):
            self.get_logger().error('an inference does not end; its thread and memory are left behind')
        elif self.model is not None:
            self.model.pipeline.close()
        for part in filter(None, [*self.cameras, self._legends]):
            part.close()
        self.cameras, self._legends, self._worker, self.model = [], None, None, None

    def _end_session(self) -> None:
        session, self._session = self._session, None
        if session is not None:
            session.close()
        for camera in self.cameras:
            camera.follow(active=False, lazy=True)

    def _loaded(self, settings: Settings) -> Model:
        """The model, loaded aside so that progress can be told; an engine may take minutes to build."""
        logger = self.get_logger()
        loading = run_aside(lambda: open_model(settings, logger.info, logger.warning), 'load')
        began_s = time.monotonic()
        told_s = began_s
        while not loading.done() and not self._stopping():
            time.sleep(0.02)
            if time.monotonic() - told_s >= PROGRESS_PERIOD_S:
                told_s = time.monotonic()
                logger.info(f'still loading {settings.model!r} after {told_s - began_s:.0f} s')
        if not loading.done():
            raise RtsegError('stopped while the network was loading')
        model: Model = loading.result()
        return model

    # Frames

    def _receive(self, camera: Camera, message: Any, received_s: float) -> None:
        session, worker = self._session, self._worker
        if session is None or worker is None or not self._enabled:
            camera.drop('disabled')
        elif worker.put_frame(lambda: self._serve(camera, message, received_s, session), camera.name):
            camera.drop('busy')

    def _serve(self, camera: Camera, message: Any, received_s: float, session: Session) -> None:
        model = self.model
        if model is None:
            camera.drop('disabled')
            return
        self._last_frame_s = time.monotonic()
        try:
            camera.serve(message, received_s, session, model, self.settings)
        except NonFiniteLogits as error:
            self.guard.warn('logits', f'nothing published: {error}')
        except DeviceLost as error:
            self.error = error
            self._stop()

    def _pace(self) -> float:
        rate_hz = self.settings.max_rate_hz
        return self._last_frame_s + 1 / rate_hz - time.monotonic() if rate_hz > 0 else 0.0

    def _follow(self) -> None:
        for camera in self.cameras:
            camera.follow(self._session is not None, self.settings.lazy)

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if self._legends and self.model and before.confidence_threshold != after.confidence_threshold:
            self._legends.publish(self.model.bundle, after.confidence_threshold)

    # Services

    def _enable(self, request: SetBool.Request, response: SetBool.Response) -> SetBool.Response:
        self._enabled = bool(request.data)
        response.success, response.message = True, 'enabled' if self._enabled else 'disabled: frames are dropped'
        return response


def main() -> None:
    """The command ``segmentation_node``."""
    from .process import main as run

    run()


if __name__ == '__main__':
    main()
