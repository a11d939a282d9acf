# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Where a lidar is, seen from a camera: tf2, which only clouds from sweeps need. A node's cameras share a listener."""

from __future__ import annotations

import time
from typing import Any, ClassVar, Dict

import numpy as np
from rclpy.node import Node

from rtseg_models.errors import Unavailable

FORGET_PERIOD_S = 5.0


class Transforms:
    """A tf2 buffer and what fills it; thread-safe. Made by ``of`` alone, for the executor's thread."""

    _shared: ClassVar[Dict[Node, Transforms]] = {}

    @classmethod
    def of(cls, node: Node) -> Transforms:
        """The node's, which ``close`` gives back; Unavailable where tf2_ros is missing."""
        if node not in cls._shared:
            cls._shared[node] = cls(node)
        found = cls._shared[node]
        found._users += 1
        return found

    def __init__(self, node: Node) -> None:
        try:
            from tf2_ros import Buffer, TransformException, TransformListener
        except ImportError as error:
            raise Unavailable(
                f"parameter 'cloud' is 'lidar', which needs the ROS package tf2_ros_py: {error}"
            ) from error
        self._node, self._users, self._forgot_s = node, 0, -FORGET_PERIOD_S
        self._error = TransformException
        self._buffer = Buffer()
        self._listener = TransformListener(self._buffer, node)

    def close(self) -> None:
        """Listen no more once the last camera is closed; the node's subscriptions would keep the listener for ever."""
        self._users -= 1
        if not self._users:
            del self._shared[self._node]
            self._listener.unregister()

    def forget(self) -> None:
        """Drop all but the static transforms; once where several cameras ask for it one after another."""
        now_s = time.monotonic()
        if now_s - self._forgot_s > FORGET_PERIOD_S:
            self._forgot_s = now_s
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
