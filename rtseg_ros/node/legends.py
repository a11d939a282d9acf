# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a late joiner needs to read the masks: latched class map, legend and, where vision_msgs is there, LabelInfo."""

from __future__ import annotations

import json
from typing import Any, Dict

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header, String

from rtseg_models import __version__
from rtseg_models.bundle import Bundle
from rtseg_models.card import Card
from rtseg_models.engine.paint import legend
from rtseg_models.labels import UNLABELLED

from ..image_codec import encode_image
from .subscription import keep_last


class Legends:
    """The latched publishers ``~/class_map``, ``~/legend`` and ``~/label_info``."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._publishers: Dict[str, Any] = {}
        self._add('class_map', String)
        self._add('legend', Image)
        try:
            from vision_msgs.msg import LabelInfo
        except ImportError:
            node.get_logger().info('~/label_info is not published: it needs vision_msgs 4.1 or newer')
        else:
            self._add('label_info', LabelInfo)

    def publish(self, bundle: Bundle, threshold: float) -> None:
        """Publish what belongs to this network, for everybody who joins from now on."""
        header = Header(stamp=self._node.get_clock().now().to_msg())
        card = bundle.card
        self._publishers['class_map'].publish(String(data=class_map(bundle)))
        self._publishers['legend'].publish(encode_image(legend(card.class_names, card.colours), 'rgb8', header, Image))
        if 'label_info' in self._publishers:
            self._publishers['label_info'].publish(_label_info(card, threshold, header))

    def close(self) -> None:
        """Destroy the publishers."""
        while self._publishers:
            self._node.destroy_publisher(self._publishers.popitem()[1])

    def _add(self, topic: str, message_type: Any) -> None:
        qos = keep_last(1, ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
        self._publishers[topic] = self._node.create_publisher(message_type, f'~/{topic}', qos)


def class_map(bundle: Bundle) -> str:
    """JSON of the classes, the network and this package's version."""
    card = bundle.card
    facts = {
        'classes': card.class_rows(),
        'unlabelled': UNLABELLED,
        'model': bundle.name,
        'weights_sha256': card.weights_sha256,
    }
    return json.dumps({**facts, 'version': __version__})


def _label_info(card: Card, threshold: float, header: Header) -> Any:
    from vision_msgs.msg import LabelInfo, VisionClass

    classes = [VisionClass(class_id=i, class_name=name) for i, name in enumerate(card.class_names)]
    return LabelInfo(header=header, class_map=classes, threshold=threshold)
