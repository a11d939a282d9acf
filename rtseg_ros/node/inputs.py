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
        name, kind = f'{prefix}image', Image
        if compressed:  # whoever remaps the image means this, too
            name, kind = f'{node.resolve_topic_name(name)}/compressed', CompressedImage
        super().__init__(node, name, kind, on_image, depth=1, wished=settings.image_reliability)
        self.calibration = CalibrationInput(node, _sibling(node, prefix, self.topic), depth=1)

    def follow(self, wanted: bool) -> None:
        super().follow(wanted)
        self.calibration.follow(wanted and self._node.count_publishers(self.calibration.topic) > 0)

    def close(self) -> None:
        super().close()
        self.calibration.close()


def _sibling(node: Node, prefix: str, image: str) -> str:
    """Name of the camera_info topic: where it is remapped its own, else one beside the raw image topic, which ``image``
    is or comes from.
    """
    name = f'{prefix}camera_info'
    if node.resolve_topic_name(name) != node.resolve_topic_name(name, only_expand=True):
        return name
    raw = image[: -len('/compressed')] if image.endswith('/compressed') else image
    return raw.rpartition('/')[0] + '/camera_info'
