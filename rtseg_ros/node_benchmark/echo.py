# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A node that answers every image with an empty mask: the bare round trip that no node can beat."""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import Image

from ..image_codec import encode_image
from ..node.subscription import keep_last
from ..shell import run
from ..startup import StopRequest


class Echo(Node):
    """``echo/image`` in, ``echo/mask`` out."""

    def __init__(self) -> None:
        super().__init__('echo')
        qos = keep_last(1, ReliabilityPolicy.RELIABLE)
        self._masks = self.create_publisher(Image, 'echo/mask', qos)
        self.create_subscription(Image, 'echo/image', self._answer, qos)

    def _answer(self, message: Any) -> None:
        empty = np.zeros((message.height, message.width), np.uint8)
        self._masks.publish(encode_image(empty, 'mono8', message.header, Image))


def _serve(stop: StopRequest) -> None:
    node = Echo()
    while not stop.is_set():
        rclpy.spin_once(node, timeout_sec=0.2)
    node.destroy_node()


if __name__ == '__main__':
    sys.exit(run('echo', None, _serve))
