# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera's outputs: a message is made only while somebody subscribes to it."""

from __future__ import annotations

from typing import Any, Callable, Dict, FrozenSet, Optional

import numpy as np
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float64

from rtseg_models.engine import Segmentation
from rtseg_models.engine.paint import colourise

from ..compressed_codec import encode_compressed
from ..image_codec import encode_image
from ..paints import Paints
from ..parameters import Settings
from .calibration import rescaled
from .subscription import keep_last

Make = Callable[[], Any]


class Outputs:
    """The publishers of one camera, ``~/`` or ``~/<camera>/``."""

    def __init__(self, node: Node, camera: str) -> None:
        self._node = node
        self._prefix = f'~/{camera}/' if camera else '~/'
        self._publishers: Dict[str, Any] = {}
        for topic in ('mask', 'color_mask', 'overlay', 'confidence'):
            self._add(topic, Image)
            self._add(f'{topic}/compressed', CompressedImage)
        self._add('camera_info', CameraInfo)
        self._add('debug/processing_time_ms', Float64)
        self._add('debug/pipeline_latency_ms', Float64)

    def wanted(self, debug: bool = True) -> FrozenSet[str]:
        """The topics that have a subscriber, without their prefix; those below ``debug/`` only with ``debug``."""
        topics = (topic for topic in self._publishers if debug or not topic.startswith('debug/'))
        return frozenset(topic for topic in topics if self._publishers[topic].get_subscription_count())

    def close(self) -> None:
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_publisher(self._publishers.popitem()[1])

    def publish(
        self,
        result: Segmentation,
        rgb: np.ndarray,
        header: Any,
        paints: Paints,
        settings: Settings,
        camera_info: Optional[CameraInfo],
    ) -> None:
        """Publish what is wanted, all under ``header``; the mask goes first."""
        labels, confidence = result.labels, result.confidence
        wanted = self.wanted()

        def send(topic: str, make: Make) -> None:
            if topic in wanted:
                self._publishers[topic].publish(make())

        def png(image: np.ndarray) -> Any:
            return encode_compressed(image, 'png', header, CompressedImage)

        def jpeg(image: np.ndarray) -> Any:
            return encode_compressed(image, 'jpeg', header, CompressedImage, jpeg_quality=settings.jpeg_quality)

        send('mask', lambda: encode_image(labels, 'mono8', header, Image))
        if confidence is not None:
            send('confidence', lambda: encode_image(confidence, 'mono8', header, Image))
            send('confidence/compressed', lambda: png(confidence))
        if camera_info is not None:
            send('camera_info', lambda: rescaled(camera_info, labels.shape, header))
        coding = settings.color_encoding
        send('color_mask', lambda: encode_image(colourise(labels, paints.tables[coding]), coding, header, Image))
        if not wanted.isdisjoint(('overlay', 'overlay/compressed')):
            overlay = paints.overlay(rgb, labels, settings.overlay_alpha, settings.overlay_legend)
            send('overlay', lambda: encode_image(overlay, 'rgb8', header, Image))
            send('overlay/compressed', lambda: jpeg(overlay))
        send('color_mask/compressed', lambda: jpeg(colourise(labels, paints.tables['rgb8'])))
        send('mask/compressed', lambda: png(labels))

    def publish_debug(self, processing_ms: float, latency_ms: float) -> None:
        """Publish the two durations of one frame."""
        self._publishers['debug/processing_time_ms'].publish(Float64(data=processing_ms))
        self._publishers['debug/pipeline_latency_ms'].publish(Float64(data=latency_ms))

    def _add(self, topic: str, message_type: Any) -> None:
        qos = keep_last(1, ReliabilityPolicy.RELIABLE)
        self._publishers[topic] = self._node.create_publisher(message_type, self._prefix + topic, qos)
