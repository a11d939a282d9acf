# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The managed node: parameters, transitions, services and diagnostics round a ``Serving``, which does the work.

The executor's thread runs all of this; the worker's thread is the only one that uses the network.
"""

from __future__ import annotations

import functools
from concurrent import futures
from typing import Any, Callable, Optional

from diagnostic_msgs.msg import DiagnosticArray
from rclpy.clock import Clock, ClockType
from rclpy.lifecycle import LifecycleNode, LifecycleState, TransitionCallbackReturn
from rclpy.qos import ReliabilityPolicy

from rtseg_models.errors import ConfigurationError, RtsegError

from .node.diagnostics import CLOCK_MISSING, NodeFacts, statuses
from .node.guard import Guard
from .node.live_settings import LiveSettings
from .node.loader import Loader
from .node.model import open_model
from .node.services import Services
from .node.serving import Serving
from .node.subscription import keep_last
from .parameters import Settings

Steps = Callable[[Any, LifecycleState], None]


def _transition(steps: Steps) -> Callable[[Any, LifecycleState], TransitionCallbackReturn]:
    """A transition that says why it failed: rclpy swallows what its callbacks raise."""

    @functools.wraps(steps)
    def guarded(node: SegmentationNode, state: LifecycleState) -> TransitionCallbackReturn:
        node.error = None
        try:
            steps(node, state)
        except RtsegError as error:
            node.error = error
            if node.stopping():  # nobody's fault
                node.get_logger().info(f'{steps.__name__}: {error}')
            else:
                node.get_logger().error(f'{steps.__name__}: {error}')
            return TransitionCallbackReturn.FAILURE
        except Exception as error:  # see above; a node that stays as it was can be asked again
            node.error = error
            node.guard.report(error, steps.__name__)
            return TransitionCallbackReturn.FAILURE
        return TransitionCallbackReturn.SUCCESS

    return guarded


class SegmentationNode(LifecycleNode):
    """The interface is in the README. ``stop`` ends the process; ``fatal`` tells why, None where it was asked to."""

    def __init__(self, stop: Callable[[], None], stopping: Callable[[], bool]) -> None:
        """UsageError where parameters are given that cannot be had."""
        super().__init__('segmentation', automatically_declare_parameters_from_overrides=True)
        self.guard = Guard(self.get_logger())
        self.error: Optional[Exception] = None
        self.fatal: Optional[Exception] = None
        self._stop, self.stopping = stop, stopping
        self.serving: Optional[Serving] = None
        self._loader = Loader(self.get_logger(), stopping)
        self.enabled = True
        self._blind = 0  # diagnoses in a row that found no clock
        self._live = LiveSettings(self, lambda: bool(self.serving and self.serving.active), self._settings_changed)
        self._diagnostics = self.create_publisher(
            DiagnosticArray, '/diagnostics', keep_last(1, ReliabilityPolicy.RELIABLE)
        )
        steady = Clock(clock_type=ClockType.STEADY_TIME)  # ROS time stands still while simulated time is paused
        self.create_timer(0.1, self._follow, clock=steady)
        self.create_timer(1.0, self._diagnose, clock=steady)
        Services(self)

    @property
    def settings(self) -> Settings:
        """The parameters as they are now."""
        return self._live.value

    def autostart(self) -> None:
        """Configure and activate, where the parameter says so; the process ends if that fails."""
        done = TransitionCallbackReturn.SUCCESS
        if self.settings.autostart and (self.trigger_configure() != done or self.trigger_activate() != done):
            self.give_up(self.error or RtsegError('the node could not be activated'))

    # Transitions

    @_transition
    def on_configure(self, state: LifecycleState) -> None:
        names = self.settings.cameras
        if len(set(names)) != len(names):
            raise ConfigurationError(f"parameter 'cameras' is {list(names)}; expected every name once")
        settings, logger = self.settings, self.get_logger()
        model = self._loader.load(
            lambda stopping: open_model(settings, logger.info, logger.warning, stopping), self._diagnose
        )
        self.serving = Serving(self, model, lambda: self.settings, self.guard, self.give_up, self._loader)
        self.serving.enable(self.enabled)
        logger.info(f'serving {model.describe()}')

    @_transition
    def on_activate(self, state: LifecycleState) -> None:
        self.configured().start()

    @_transition
    def on_deactivate(self, state: LifecycleState) -> None:
        self.configured().stop()

    @_transition
    def on_cleanup(self, state: LifecycleState) -> None:
        self.release()

    @_transition
    def on_shutdown(self, state: LifecycleState) -> None:
        self.release()

    @_transition
    def on_error(self, state: LifecycleState) -> None:
        self.release()

    def destroy_node(self) -> None:
        """Let go of DDS at once: threads that are inside a runtime may refer to the node until the process ends."""
        super().destroy_node()
        self._state_machine.destroy_when_not_in_use()  # rclpy leaves it, and it holds the participant

    def release(self) -> None:
        """Let go of everything that configure made; harmless when there is nothing."""
        serving, self.serving = self.serving, None
        if serving is not None:
            serving.close(self.stopping)

    def configured(self) -> Serving:
        """What configure made; ConfigurationError where there is nothing."""
        if self.serving is None:
            raise ConfigurationError('the node is not configured')
        return self.serving

    def reload(self) -> futures.Future[Any]:
        """Load the network anew beside the one that serves; the future holds the new Model once that serves."""
        serving, settings, logger = self.configured(), self.settings, self.get_logger()
        size = serving.model.pipeline.input_size
        return self._loader.replace(
            serving, lambda stopping: open_model(settings, logger.info, logger.warning, stopping, size)
        )

    def give_up(self, error: Exception) -> None:
        """End the process with the error's exit code."""
        if not self.stopping():
            self.fatal = error
            self.get_logger().fatal(f'giving up: {error}')
            self._stop()

    # Timers and parameters

    def _follow(self) -> None:
        if self.serving is not None:
            self.serving.follow()

    def _diagnose(self) -> None:
        serving, progress = self.serving, self._loader.progress()
        blind = self.get_parameter('use_sim_time').value and self.get_clock().now().nanoseconds == 0
        self._blind = self._blind + 1 if blind and serving is not None else 0  # while it loads nothing is received
        facts = NodeFacts(
            node=self.get_fully_qualified_name(),
            state=self._state(progress),
            enabled=self.enabled,
            clock_missing=self._blind > 1,
            busy_s=serving.busy_s if serving else 0.0,
            loading=progress,
            model=serving.model if serving else None,
            size_control=serving.rate.report() if serving else {},
            rate_warning=serving.rate.warning if serving else '',
            settings=self.settings,
            configured=serving.configured if serving else None,
            error=str(self.error or ''),
            self_test_error=serving.self_test_error if serving else '',
            reload_error=self._loader.error,
            unexpected_errors=self.guard.errors,
        )
        if facts.clock_missing:
            self.guard.warn('clock', CLOCK_MISSING)
        message = DiagnosticArray(status=statuses(facts, serving.cameras if serving else []))
        message.header.stamp = self.get_clock().now().to_msg()
        self._diagnostics.publish(message)

    def _state(self, progress: str) -> str:
        if self.serving is None:
            return progress or str(self._state_machine.current_state[1])
        return 'active' if self.serving.active else 'inactive'

    def _settings_changed(self, before: Settings, after: Settings) -> None:
        if self.serving is not None and before.confidence_threshold != after.confidence_threshold:
            self.serving.announce()


if __name__ == '__main__':
    from rtseg_ros.node.process import main

    main()
