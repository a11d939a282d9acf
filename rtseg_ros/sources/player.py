# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Publishing prepared frames at a steady rate: what the synthetic camera and the image source have in common."""

from __future__ import annotations

from typing import Any, Dict, Iterator, Mapping

import rclpy
from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy

from ..startup import StopRequest

QUEUE_FRAMES = 5
"""Depth of the publishers: a reliable subscriber that stumbles for a moment still gets every frame."""

SETTLING_S = 0.5
"""Between the last subscriber's appearance and the first frame: discovery runs both ways, and ours is done first."""

Frame = Mapping[str, Any]
"""Messages of one moment by topic, published in this order."""


class Player:
    """Publishes a frame per period once ``image_topic`` has ``wait_for_subscribers`` subscribers.

    ``frames`` is asked for the next frame when that is due, so stamps can be taken from the clock.
    """

    def __init__(
        self,
        node: Node,
        topics: Dict[str, Any],
        frames: Iterator[Frame],
        *,
        rate_hz: float,
        image_topic: str,
        wait_for_subscribers: int = 0,
        reliable: bool = True,
    ) -> None:
        qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST,
            depth=QUEUE_FRAMES,
            durability=DurabilityPolicy.VOLATILE,
            reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
        )
        self._node = node
        self._frames = frames
        self._period_s = 1.0 / rate_hz
        self._publishers = {topic: node.create_publisher(kind, topic, qos) for topic, kind in topics.items()}
        self._image = self._publishers[image_topic]
        self._wait_for = wait_for_subscribers
        self._finished = False

    def play(self, stop: StopRequest) -> None:
        """Publish until the frames have ended and reliable subscribers have them all, or until ``stop`` is set."""
        while self._image.get_subscription_count() < self._wait_for and not stop.is_set():
            rclpy.spin_once(self._node, timeout_sec=0.05)
        if self._wait_for:
            stop.wait(SETTLING_S)
        timer = self._node.create_timer(self._period_s, self._publish_next)
        while not self._finished and not stop.is_set():
            rclpy.spin_once(self._node, timeout_sec=0.5)
        self._node.destroy_timer(timer)

    def _publish_next(self) -> None:
        frame = next(self._frames, None)
        if frame is None:
            for publisher in self._publishers.values():
                publisher.wait_for_all_acked(Duration(seconds=2))
            self._finished = True
            return
        for topic, message in frame.items():
            self._publishers[topic].publish(message)
