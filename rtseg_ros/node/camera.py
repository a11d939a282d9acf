# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera: its input, its outputs, and the way of a frame from one to the other."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Any, Callable, Deque, Dict, Optional

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from rtseg_models.engine import NonFiniteLogits, Segmentation
from rtseg_models.errors import DeviceLost

from ..compressed_codec import decode_compressed
from ..gate import FrameGate
from ..image_codec import BadFrame, decode_image
from ..parameters import Settings
from ..statistics import Statistics
from .calibration import misfit
from .guard import WARN_PERIOD_S, Guard
from .inputs import ImageInput
from .model import Model
from .outputs import Outputs
from .points_output import PointsOutput
from .subscription import SILENCE_S

MOST_CHANGES = 10  # of size or encoding, told within WARN_PERIOD_S


class Session:
    """The time between one activation and the next deactivation; nothing is published once it is closed."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.open = True

    def close(self) -> None:
        """Let no further result out; waits for one that is being published."""
        with self.lock:
            self.open = False


@dataclass(frozen=True)
class Arrival:
    """A message as it came in, and the session that it came in."""

    camera: Camera
    message: Any
    received_s: float
    session: Session


@dataclass(frozen=True)
class Frame:
    """A decoded arrival, rgb (H,W,3) uint8; ``confidence`` says whether somebody wants that too."""

    arrival: Arrival
    rgb: np.ndarray
    confidence: bool
    began_s: float
    decoded_s: float


class Camera:
    """The executor's thread calls ``follow``; ``decoded``, ``published`` and ``lose`` belong to the worker's."""

    def __init__(self, node: Node, name: str, settings: Settings, guard: Guard, receive: Callable[..., None]) -> None:
        self.name = name
        self.statistics = Statistics()
        self.cloud = PointsOutput(node, name, settings, guard) if settings.cloud != 'off' else None  # may refuse
        self.outputs = Outputs(node, name)
        self.input = ImageInput(node, name, settings, self._arrived)
        self.last_frame = ''
        self._told_s: Deque[float] = deque(maxlen=MOST_CHANGES)
        self.last_age_s: Optional[float] = None
        self.follow_error = ''
        self._node = node
        self._guard = guard
        self._receive = receive
        self._gate = FrameGate()
        self._compressed = settings.image_transport == 'compressed'
        self._max_pixels = settings.max_image_pixels

    def follow(self, active: bool, settings: Settings, spinning: bool = False) -> None:
        """Have the inputs subscribed while they are needed, and anew where the executor spins on one, as it may.

        What rclpy raises over it is in ``follow_error`` until it goes well, and does not keep others from their frames.
        """
        try:
            if spinning:
                self._leave_stuck()
            self.input.follow(active and (not settings.lazy or self._wanted(settings)))
            if self.cloud is not None:
                self.cloud.follow(active)
            self.follow_error = ''
        except Exception as error:  # as where a topic has two types within the node
            self.follow_error = f'{type(error).__name__}: {error}'
            self._guard.report(error, f'subscriptions of {self.input.topic}')
        if not active:
            self.input.calibration.forget()

    def close(self) -> None:
        """Unsubscribe and destroy the publishers."""
        for part in (self.input, self.outputs, self.cloud):
            if part is not None:
                part.close()

    def drop(self, reason: str, message: str = '') -> None:
        """Count a frame without output; faults are also logged, at most every 5 s."""
        self.statistics.dropped(reason)
        if message:
            self._guard.warn(f'{self.name}:{reason}', f'{self.input.topic}: dropped a frame ({reason}): {message}')

    def decoded(self, arrival: Arrival, settings: Settings) -> Optional[Frame]:
        """The arrival ready for the network; None, with the loss counted, where it is no good or comes too late."""
        try:
            began_s = time.monotonic()
            if not arrival.session.open:
                self.drop('disabled')
            elif self._fresh(arrival.message, settings):
                rgb = self._rgb(arrival.message, settings)
                confidence = not self.outputs.wanted().isdisjoint(('confidence', 'confidence/compressed'))
                return Frame(arrival, rgb, confidence, began_s, time.monotonic())
        except BadFrame as error:
            self.drop(error.reason, str(error))
        except Exception as error:  # the worker must outlive whatever one frame does; nothing is lost: it is reported
            self.lose(error)
        return None

    def published(self, frame: Frame, result: Segmentation, model: Model, settings: Settings) -> bool:
        """Publish a frame's result, unless its session has ended; False, with the loss counted, where that failed."""
        message, received_s = frame.arrival.message, frame.arrival.received_s
        try:
            began_s = time.monotonic()
            if not self._sent(frame, result, model, settings):
                return False
            now_s = time.monotonic()
            stages_ms = {
                'wait': (frame.began_s - received_s) * 1e3,
                'decode': (frame.decoded_s - frame.began_s) * 1e3,
                **result.stage_ms,
                'publish': (now_s - began_s) * 1e3,
                'total': (now_s - received_s) * 1e3,
            }
            self._finish(stages_ms, message)
            session = frame.arrival.session
            with session.lock:
                if settings.publish_debug and session.open:
                    self.outputs.publish_debug(stages_ms['total'] - stages_ms['wait'], stages_ms['total'])
        except Exception as error:  # as above
            self.lose(error)
            return False
        return True

    def lose(self, error: Exception) -> None:
        """Count a frame that an error of ours has cost; what the round does not pass on is told."""
        self.statistics.failed()
        if isinstance(error, MemoryError):  # foreseen, and worth a word each time
            self._guard.warn(f'{self.name}:memory', f'{self.input.topic}: lost a frame, as memory is short. {error}')
        elif not isinstance(error, (NonFiniteLogits, DeviceLost)):
            self._guard.report(error, f'frame of {self.input.topic}')

    def tell_batch(self, error: Exception) -> None:
        """Tell of a batch that failed, and whose frames are tried alone."""
        if isinstance(error, MemoryError):
            self._guard.warn('batch', f'memory is short for a batch; its frames are tried alone. {error}')
        elif not isinstance(error, NonFiniteLogits):
            self._guard.report(error, 'batch')

    def _leave_stuck(self) -> None:
        """Unsubscribe from what is stuck, so that it is subscribed anew.

        Where a publisher dies within a large message, Fast DDS may leave the reader marked ready with nothing to take,
        and rclpy's executor spins from then on. A new reader is not marked.
        """
        for source in (self.input, *(self.cloud.sources if self.cloud is not None else ())):
            if source.kind is not CameraInfo and source.stuck():  # calibrations are small, and silent once they came
                told = f'{source.topic}: ready without a message for {SILENCE_S:g} s; subscribing anew'
                self._guard.warn(f'{source.topic}:spinning', told)
                source.renew()

    def _wanted(self, settings: Settings) -> bool:
        return bool(self.outputs.wanted(settings.publish_debug)) or (self.cloud is not None and self.cloud.wanted())

    def _arrived(self, message: Any) -> None:
        self.statistics.received()
        self._receive(self, message, time.monotonic())

    def _fresh(self, message: Any, settings: Settings) -> bool:
        gate = self._gate
        gate.max_age_s, gate.max_future_s = settings.max_image_age_s, settings.max_future_s
        gate.drop_zero_stamp = settings.drop_zero_stamp
        age_s, verdict = self._age_s(message), gate.check(_stamp_ns(message), self._now_ns())
        if verdict.jumped:
            self.statistics.restart_window()
            if self.cloud is not None:
                self.cloud.restart()
        if verdict.reason:
            self.drop(verdict.reason, _complaint(verdict.reason, age_s, settings))
        self.last_age_s = age_s
        return not verdict.reason

    def _rgb(self, message: Any, settings: Settings) -> np.ndarray:
        if self._compressed:
            rgb = decode_compressed(message, max_pixels=self._max_pixels)
        else:
            rgb = decode_image(message, encoding_override=settings.encoding_override, max_pixels=self._max_pixels)
        kind = message.format if self._compressed else message.encoding
        frame = f'{rgb.shape[0]}x{rgb.shape[1]} {kind}'
        if frame != self.last_frame:
            before = f' (before: {self.last_frame})' if self.last_frame else ''
            told = self._told_s  # two cameras on a topic would fill the disk
            if len(told) < MOST_CHANGES or time.monotonic() - told[0] >= WARN_PERIOD_S:
                told.append(time.monotonic())
                self._node.get_logger().info(f'{self.input.topic}: frames are {frame}{before}')
            self.last_frame = frame
        return rgb

    def _sent(self, frame: Frame, result: Segmentation, model: Model, settings: Settings) -> bool:
        session, header = frame.arrival.session, frame.arrival.message.header
        with session.lock:
            if not session.open:
                self.drop('disabled')
                return False
            self.outputs.publish(result, frame.rgb, header, model.paints, settings, self._fitting_info(frame.rgb))
            if self.cloud is not None and self.cloud.wanted():
                self.cloud.publish(result.labels, frame.rgb, header, self.input.calibration.info)
        return True

    def _fitting_info(self, rgb: np.ndarray) -> Optional[CameraInfo]:
        """The calibration, unless it is of images of another aspect ratio."""
        info = self.input.calibration.info
        wrong = '' if info is None else misfit(info, rgb.shape[:2])
        if wrong and 'camera_info' in self.outputs.wanted():
            self._guard.warn(
                f'{self.name}:camera_info', f'{self.input.topic}: no ~/camera_info for this frame: {wrong}'
            )
        return None if wrong else info

    def _finish(self, stages_ms: Dict[str, float], message: Any) -> None:
        age_s = self._age_s(message)
        if age_s is not None:
            stages_ms['age'] = age_s * 1e3
        self.statistics.published(stages_ms)

    def _now_ns(self) -> int:
        return int(self._node.get_clock().now().nanoseconds)

    def _age_s(self, message: Any) -> Optional[float]:
        """Age by the ROS clock; None for a frame without stamp and while the clock is 0."""
        stamp_ns, now_ns = _stamp_ns(message), self._now_ns()
        return (now_ns - stamp_ns) / 1e9 if stamp_ns and now_ns else None


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 1_000_000_000 + int(message.header.stamp.nanosec)


def _complaint(reason: str, age_s: Optional[float], settings: Settings) -> str:
    if reason == 'zero_stamp':
        return 'it has no stamp (drop_zero_stamp is true)'
    limits = {'stale': 'max_image_age_s', 'future': 'max_future_s'}
    limit = limits[reason]
    return f'its age is {age_s:.3f} s by the ROS clock; {limit} is {getattr(settings, limit):g}. Check the clocks.'
