# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera's input: its image topic and the camera_info beside it."""

from __future__ import annotations

from typing import Any, Callable, Optional

from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..parameters import Settings
from .subscription import SuitedSubscription, keep_last


class ImageInput(SuitedSubscription):
    """The newest image of one camera, and its calibration where somebody publishes that."""

    def __init__(self, node: Node, camera: str, settings: Settings, on_image: Callable[[Any], None]) -> None:
        compressed = settings.image_transport == 'compressed'
        prefix = f'{camera}/' if camera else ''
        image = str(node.resolve_topic_name(f'{prefix}image'))
        topic = str(node.resolve_topic_name(f'{image}/compressed')) if compressed else image
        kind = CompressedImage if compressed else Image
        super().__init__(node, topic, kind, on_image, depth=1, wished=settings.image_reliability)
        self.info_topic = _sibling(node, prefix, topic)
        self.camera_info: Optional[CameraInfo] = None
        self._info: Any = None

    def follow(self, wanted: bool) -> None:
        super().follow(wanted)
        if wanted and self._info is None and self._node.count_publishers(self.info_topic):
            # Best effort hears every publisher, and so small a message is not lost.
            best_effort = keep_last(1, ReliabilityPolicy.BEST_EFFORT)
            self._info = self._node.create_subscription(CameraInfo, self.info_topic, self._keep_info, best_effort)

    def close(self) -> None:
        super().close()
        if self._info is not None:
            self._node.destroy_subscription(self._info)
            self._info = None

    def _keep_info(self, message: CameraInfo) -> None:
        self.camera_info = message


def _sibling(node: Node, prefix: str, image: str) -> str:
    """The camera_info topic: as remapped, else beside the raw image topic that ``image`` is or comes from."""
    asked = node.resolve_topic_name(f'{prefix}camera_info')
    if asked != node.resolve_topic_name(f'{prefix}camera_info', only_expand=True):
        return str(asked)
    raw = image[: -len('/compressed')] if image.endswith('/compressed') else image
    return raw.rpartition('/')[0] + '/camera_info'
