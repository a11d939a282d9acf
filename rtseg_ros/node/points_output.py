# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera's ``~/points``: pairs masks with depth images or lidar sweeps by their stamps."""

from __future__ import annotations

import threading
from collections import deque
from typing import Any, Deque, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from ..cloud import cloud_from_depth, cloud_from_lidar
from ..cloud_codec import depth_from_message, message_from_points, points_from_message
from ..image_codec import BadFrame
from ..pairing import Pairing
from ..parameters import Settings
from .calibration import CalibrationInput, image_matrix, rectified_matrix
from .guard import Guard
from .subscription import SuitedSubscription
from .transforms import Transforms

SWEEPS = 5  # to keep until they are taken
MOST_DUE, MOST_DUE_BYTES = 4, 128 << 20
"""Frames that wait for their clouds to be made when more fall due; a sweep brings those of its own time at once."""
PLUMB_BOB_LIKE = ('', 'plumb_bob', 'rational_polynomial')


class LabelledFrame(NamedTuple):
    """What a cloud takes from the camera: labels (H,W), rgb (H,W,3), the frame's header and calibration."""

    labels: np.ndarray
    rgb: np.ndarray
    header: Any
    info: Optional[CameraInfo]


class PointsOutput:
    """``follow`` belongs to the executor's thread, ``publish`` to the worker's; a thread of its own makes the clouds,
    one after another in the frames' order, for they take longer than a mask may wait.

    ``sources`` are the topics that a cloud needs beside the camera's: depth and its calibration, or sweeps.
    ``failed_in_a_row`` counts frames without a cloud since the last cloud; ``last_error`` is the newest one's reason.
    """

    def __init__(self, node: Node, camera: str, settings: Settings, guard: Guard) -> None:
        """Unavailable where the lidar's transform cannot be had for want of tf2_ros."""
        self._node = node
        self._guard = guard
        self._prefix = f'{camera}/' if camera else ''
        self._lidar = settings.cloud == 'lidar'
        self._pairing: Pairing[LabelledFrame, Any] = Pairing(int(settings.cloud_sync_s * 1e9))
        self._due: Deque[Tuple[LabelledFrame, Any]] = deque()
        self._epoch = 0  # goes up whenever what is under way is not wanted any more
        self._lock = threading.Condition()  # guards all of these and the counts; held for moments
        self._sending = threading.Lock()  # held while a cloud goes out, by whoever raises the epoch first
        self._paused = self._closed = False
        self._builder: Optional[threading.Thread] = None
        self.published = self.failed = self.failed_in_a_row = 0
        self.last_error = ''
        topic, kind = ('points', PointCloud2) if self._lidar else ('depth/image', Image)
        self.sources = [SuitedSubscription(node, self._prefix + topic, kind, self._keep, depth=SWEEPS)]
        self._calibration: Optional[CalibrationInput] = None
        if not self._lidar:
            self._calibration = CalibrationInput(node, f'{self._prefix}depth/camera_info', depth=SWEEPS)
            self.sources.append(self._calibration)
        self._transforms = Transforms.of(node) if self._lidar else None
        self._publisher = node.create_publisher(PointCloud2, f'~/{self._prefix}points', qos_profile_sensor_data)

    def wanted(self) -> bool:
        """Whether somebody subscribes to the cloud."""
        return bool(self._publisher.get_subscription_count())

    def follow(self, active: bool) -> None:
        """Have depth or lidar subscribed while the cloud is wanted; else nothing is published after this."""
        wanted = active and self.wanted()
        for source in self.sources:
            source.follow(wanted)
        if not active and self._calibration is not None:
            self._calibration.forget()
        if not wanted:
            self._forget()
            with self._lock:
                self.failed_in_a_row = 0

    def pause(self, paused: bool) -> None:
        """Publish nothing after this and keep nothing, or begin anew."""
        with self._lock:
            self._paused = paused
        self._forget()

    def restart(self) -> None:
        """Forget sweeps and transforms: time has jumped back, and tf2 would take what comes for old."""
        self._forget()
        if self._transforms is not None:
            self._transforms.forget()

    def close(self) -> None:
        """Unsubscribe and destroy the publisher; harmless when done before."""
        if self._closed:
            return
        self.follow(False)
        with self._lock:
            self._closed = True
            self._lock.notify()
        if self._transforms is not None:
            self._transforms.close()
        self._node.destroy_publisher(self._publisher)

    def publish(self, labels: np.ndarray, rgb: np.ndarray, header: Any, info: Optional[CameraInfo]) -> None:
        """Have the cloud of one frame published under its header, once its sweep is there.

        Where none comes in time, or the calibration is missing, say so.
        """
        frame = LabelledFrame(labels, rgb, header, info)
        with self._lock:
            if not self._paused:
                self._hand_over(self._pairing.add_frame(_stamp_ns(header), frame, _bytes(frame)))

    def _keep(self, message: Any) -> None:
        with self._lock:
            if not self._paused:
                self._hand_over(self._pairing.add_sweep(_stamp_ns(message.header), message, len(message.data)))

    def _forget(self) -> None:
        with self._sending, self._lock:
            self._epoch += 1
            self._pairing.clear()
            self._due.clear()

    def _hand_over(self, pairs: List[Tuple[LabelledFrame, Any]]) -> None:
        """Give pairs to the thread that makes the clouds; the lock is held."""
        left = len(self._due)
        self._due.extend(pairs)
        while left and (len(self._due) > MOST_DUE or sum(_bytes(frame) for frame, _ in self._due) > MOST_DUE_BYTES):
            self._due.popleft()
            left -= 1
            self._count('clouds take longer to make than frames to come')
        if self._due and self._builder is None:
            builder = threading.Thread(target=self._build, name=f'clouds {self._prefix}', daemon=True)
            builder.start()
            self._builder = builder
        self._lock.notify()

    def _build(self) -> None:
        while True:
            with self._lock:
                self._lock.wait_for(lambda: self._due or self._closed)
                if self._closed:
                    return
                epoch, (frame, sweep) = self._epoch, self._due.popleft()
            cloud, trouble = self._made(frame, sweep)
            with self._sending:
                if epoch == self._epoch:  # which nobody raises meanwhile
                    trouble = trouble or self._sent(cloud)
                    with self._lock:
                        self._count(trouble)
            del frame, sweep, cloud  # the next may be long in coming

    def _made(self, frame: LabelledFrame, sweep: Any) -> Tuple[Any, str]:
        """The cloud of a frame, or why there is none."""
        try:
            if sweep is None:
                raise BadFrame('unpaired', f'nothing on {self.sources[0].topic} within cloud_sync_s of the frame')
            points = self._from_lidar(sweep, frame) if self._lidar else self._from_depth(sweep, frame)
            return message_from_points(points, frame.header, PointCloud2, PointField), ''
        except (BadFrame, ValueError, LookupError, cv2.error) as error:
            return None, str(error)
        except Exception as error:  # the thread must outlive it
            self._guard.report(error, f'{self._prefix}points')
            return None, str(error)

    def _sent(self, cloud: Any) -> str:
        try:
            self._publisher.publish(cloud)
        except Exception as error:  # rclpy's, of a context that ends
            return str(error)
        return ''

    def _count(self, trouble: str) -> None:
        if not trouble:
            self.published += 1
            self.failed_in_a_row = 0
            return
        self.failed += 1
        self.failed_in_a_row += 1
        self.last_error = trouble
        self._guard.warn(f'{self._prefix}points', f'no cloud for this frame: {trouble}')

    def _from_depth(self, sweep: Any, frame: LabelledFrame) -> np.ndarray:
        assert self._calibration is not None
        info = self._calibration.info
        if info is None:
            raise LookupError(f'no calibration on {self._calibration.topic}')
        depth = depth_from_message(sweep)
        return cloud_from_depth(depth, frame.labels, frame.rgb, rectified_matrix(info, depth.shape))

    def _from_lidar(self, sweep: Any, frame: LabelledFrame) -> np.ndarray:
        info = frame.info
        if info is None:
            raise LookupError('no calibration on camera_info')
        if info.distortion_model not in PLUMB_BOB_LIKE:
            raise ValueError(f'distortion model {info.distortion_model!r} is not one of {PLUMB_BOB_LIKE[1:]}')
        assert self._transforms is not None
        pose = self._transforms.matrix(frame.header.frame_id, sweep.header)
        distortion = list(info.d) if any(info.d) else ()
        points, matrix = points_from_message(sweep).ravel(), image_matrix(info, frame.rgb.shape[:2])
        return cloud_from_lidar(points, pose, frame.labels, frame.rgb, matrix, distortion)


def _bytes(frame: LabelledFrame) -> int:
    return int(frame.labels.nbytes + frame.rgb.nbytes)


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)
