# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera's ``~/points``: pairs masks with depth images or lidar sweeps by their stamps."""

from __future__ import annotations

import threading
from typing import Any, List, NamedTuple, Optional, Tuple

import cv2
import numpy as np
from rclpy.node import Node
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField

from rtseg_models.errors import Unavailable

from ..cloud import cloud_from_depth, cloud_from_lidar
from ..cloud_codec import depth_from_message, message_from_points, points_from_message
from ..image_codec import BadFrame
from ..pairing import Pairing
from ..parameters import Settings
from .calibration import CalibrationInput, image_matrix, rectified_matrix
from .guard import Guard
from .subscription import SuitedSubscription

SWEEPS = 5  # to keep until they are taken
PLUMB_BOB_LIKE = ('', 'plumb_bob', 'rational_polynomial')


class LabelledFrame(NamedTuple):
    """What a cloud takes from the camera: labels (H,W), rgb (H,W,3), the frame's header and calibration."""

    labels: np.ndarray
    rgb: np.ndarray
    header: Any
    info: Optional[CameraInfo]


class PointsOutput:
    """``follow`` belongs to the executor's thread, ``publish`` to the worker's; clouds are published by either.

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
        self._publishing = threading.Lock()  # guards the pairing and keeps the clouds in the frames' order
        self._paused = False
        self.published = self.failed = self.failed_in_a_row = 0
        self.last_error = ''
        topic, kind = ('points', PointCloud2) if self._lidar else ('depth/image', Image)
        self.sources = [SuitedSubscription(node, self._prefix + topic, kind, self._keep, depth=SWEEPS)]
        self._calibration: Optional[CalibrationInput] = None
        if not self._lidar:
            self._calibration = CalibrationInput(node, f'{self._prefix}depth/camera_info', depth=SWEEPS)
            self.sources.append(self._calibration)
        self._transforms = _Transforms(node) if self._lidar else None
        self._publisher = node.create_publisher(PointCloud2, f'~/{self._prefix}points', qos_profile_sensor_data)

    def wanted(self) -> bool:
        """Whether somebody subscribes to the cloud."""
        return bool(self._publisher.get_subscription_count())

    def follow(self, active: bool) -> None:
        """Have depth or lidar subscribed while the cloud is wanted."""
        wanted = active and self.wanted()
        for source in self.sources:
            source.follow(wanted)
        if not active and self._calibration is not None:
            self._calibration.forget()
        if not wanted:
            with self._publishing:
                self._pairing.clear()
                self.failed_in_a_row = 0

    def pause(self, paused: bool) -> None:
        """Publish nothing after this and keep nothing, or begin anew."""
        with self._publishing:
            self._paused = paused
            self._pairing.clear()

    def close(self) -> None:
        """Unsubscribe and destroy the publisher; harmless when done before."""
        self.follow(False)
        if self._transforms is not None:
            self._transforms.close()
            self._transforms = None
        if self._publisher is not None:
            self._node.destroy_publisher(self._publisher)
            self._publisher = None

    def publish(self, labels: np.ndarray, rgb: np.ndarray, header: Any, info: Optional[CameraInfo]) -> None:
        """Publish the cloud of one frame under its header, now or when its sweep comes.

        Where none comes in time, or the calibration is missing, say so.
        """
        with self._publishing:
            frame = LabelledFrame(labels, rgb, header, info)
            if not self._paused:
                self._publish(self._pairing.add_frame(_stamp_ns(header), frame, labels.nbytes + rgb.nbytes))

    def restart(self) -> None:
        """Forget sweeps and transforms: time has jumped back, and tf2 would take what comes for old."""
        with self._publishing:
            self._pairing.clear()
            if self._transforms is not None:
                self._transforms.forget()

    def _publish(self, pairs: List[Tuple[LabelledFrame, Any]]) -> None:
        for frame, sweep in pairs:
            self._publish_cloud(frame, sweep)

    def _publish_cloud(self, frame: LabelledFrame, sweep: Any) -> None:
        try:
            if sweep is None:
                raise BadFrame('unpaired', f'nothing on {self.sources[0].topic} within cloud_sync_s of the frame')
            points = self._from_lidar(sweep, frame) if self._lidar else self._from_depth(sweep, frame)
            self._publisher.publish(message_from_points(points, frame.header, PointCloud2, PointField))
            self.published += 1
            self.failed_in_a_row = 0
        except (BadFrame, ValueError, LookupError, cv2.error) as error:  # the mask is out: a cloud must not fail it
            self.failed += 1
            self.failed_in_a_row += 1
            self.last_error = str(error)
            self._guard.warn(f'{self._prefix}points', f'no cloud for this frame: {error}')

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

    def _keep(self, message: Any) -> None:
        with self._publishing:
            if self._paused:
                return
            self._publish(self._pairing.add_sweep(_stamp_ns(message.header), message, len(message.data)))


class _Transforms:
    """Where the lidar is, seen from the camera: tf2, which only this class needs."""

    def __init__(self, node: Node) -> None:
        try:
            from tf2_ros import Buffer, TransformException, TransformListener
        except ImportError as error:
            raise Unavailable(
                f"parameter 'cloud' is 'lidar', which needs the ROS package tf2_ros_py: {error}"
            ) from error
        self._error = TransformException
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def close(self) -> None:
        """Listen no more; the node's subscriptions would keep the listener for ever."""
        self._listener.unregister()

    def forget(self) -> None:
        """Drop all but the static transforms."""
        self._buffer.clear()

    def matrix(self, camera_frame: str, header: Any) -> np.ndarray:
        """The (4,4) matrix from the sweep's frame to the camera's; LookupError where tf does not know it."""
        from rclpy.time import Time

        try:
            found = self._buffer.lookup_transform(camera_frame, header.frame_id, Time.from_msg(header.stamp))
        except self._error as error:
            raise LookupError(f'tf from {header.frame_id!r} to {camera_frame!r}: {error}') from error
        return pose_matrix(found.transform.translation, found.transform.rotation)


def pose_matrix(translation: Any, rotation: Any) -> np.ndarray:
    """The (4,4) matrix of a translation (x, y, z) and a unit quaternion (x, y, z, w)."""
    x, y, z, w = rotation.x, rotation.y, rotation.z, rotation.w
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w), translation.x],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w), translation.y],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y), translation.z],
            [0, 0, 0, 1],
        ]
    )


def _stamp_ns(header: Any) -> int:
    return int(header.stamp.sec) * 1_000_000_000 + int(header.stamp.nanosec)
