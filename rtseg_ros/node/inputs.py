# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera's input: its image topic and the camera_info beside it."""

from __future__ import annotations

from typing import Any, Callable

from rclpy.node import Node
from sensor_msgs.msg import CompressedImage, Image

from ..parameters import Settings
from .calibration import CalibrationInput
from .subscription import SuitedSubscription


class ImageInput(SuitedSubscription):
    """The newest image of one camera, and its calibration where somebody publishes that."""

    def __init__(self, node: Node, camera: str, settings: Settings, on_image: Callable[[Any], None]) -> None:
        compressed = settings.image_transport == 'compressed'
        prefix = f'{camera}/' if camera else ''
        image = str(node.resolve_topic_name(f'{prefix}image'))
        topic = str(node.resolve_topic_name(f'{image}/compressed')) if compressed else image
        kind = CompressedImage if compressed else Image
        super().__init__(node, topic, kind, on_image, depth=1, wished=settings.image_reliability)
        self.calibration = CalibrationInput(node, _sibling(node, prefix, topic), depth=1)

    def follow(self, wanted: bool) -> None:
        super().follow(wanted)
        self.calibration.follow(wanted and self._node.count_publishers(self.calibration.topic) > 0)

    def close(self) -> None:
        super().close()
        self.calibration.close()


def _sibling(node: Node, prefix: str, image: str) -> str:
    """The camera_info topic: as remapped, else beside the raw image topic that ``image`` is or comes from."""
    asked = node.resolve_topic_name(f'{prefix}camera_info')
    if asked != node.resolve_topic_name(f'{prefix}camera_info', only_expand=True):
        return str(asked)
    raw = image[: -len('/compressed')] if image.endswith('/compressed') else image
    return raw.rpartition('/')[0] + '/camera_info'
