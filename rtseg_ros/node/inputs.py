# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One camera's input: its image subscription, which comes and goes, and the reliability that suits its publishers."""

from __future__ import annotations

from typing import Any, Callable, List, Optional, Set, Tuple

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from ..parameters import Settings


def newest_only(reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE) -> QoSProfile:
    """Keep last 1 with the given policies."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=1, reliability=reliability, durability=durability)


class ImageInput:
    """The image topic of one camera and the camera_info beside it.

    ``follow`` is called ten times a second by the executor's thread; everything else reads what it found.
    """

    def __init__(self, node: Node, camera: str, settings: Settings, on_image: Callable[[Any], None]) -> None:
        compressed = settings.image_transport == 'compressed'
        prefix = f'{camera}/' if camera else ''
        image = str(node.resolve_topic_name(f'{prefix}image'))
        self.topic = str(node.resolve_topic_name(f'{image}/compressed')) if compressed else image
        self.info_topic = _sibling(node, prefix, self.topic)
        self.camera_info: Optional[CameraInfo] = None
        self.reliability = ReliabilityPolicy.RELIABLE
        self.incompatible_events = 0
        self._node = node
        self._wished = settings.image_reliability
        self._type = CompressedImage if compressed else Image
        self.type_name = 'sensor_msgs/msg/' + self._type.__name__
        self._on_image = on_image
        self._image: Any = None
        self._info: Any = None
        self._seen_incompatible: Set[Tuple[int, ...]] = set()

    @property
    def subscribed(self) -> bool:
        """Whether frames can arrive."""
        return self._image is not None

    def follow(self, wanted: bool) -> None:
        """Subscribe or unsubscribe, and re-subscribe where the publishers ask for another reliability."""
        if not wanted:
            self.close()
            return
        reliability = self._suitable()
        if self._image is not None and reliability != self.reliability:
            self._destroy_image()
        if self._image is None:
            self.reliability = reliability
            self._image = self._node.create_subscription(
                self._type, self.topic, self._on_image, newest_only(reliability)
            )
        if self._info is None and self._node.count_publishers(self.info_topic):
            best_effort = newest_only(ReliabilityPolicy.BEST_EFFORT)
            self._info = self._node.create_subscription(CameraInfo, self.info_topic, self._keep_info, best_effort)
        self._count_incompatible()

    def close(self) -> None:
        """Unsubscribe; harmless when not subscribed."""
        self._destroy_image()
        if self._info is not None:
            self._node.destroy_subscription(self._info)
            self._info = None

    def publishers(self) -> List[Any]:
        """What DDS tells of the topic's publishers of the right type."""
        return [p for p in self._endpoints() if p.topic_type == self.type_name]

    def wrong_types(self) -> List[str]:
        """Types other than ours that are published on the topic."""
        return sorted({p.topic_type for p in self._endpoints()} - {self.type_name})

    def incompatible(self) -> List[Any]:
        """Publishers that cannot reach us: they offer best effort where the subscription demands reliable."""
        if not self.subscribed or self.reliability != ReliabilityPolicy.RELIABLE:
            return []
        return [p for p in self.publishers() if p.qos_profile.reliability == ReliabilityPolicy.BEST_EFFORT]

    def _endpoints(self) -> List[Any]:
        endpoints: List[Any] = self._node.get_publishers_info_by_topic(self.topic)
        return endpoints

    def _suitable(self) -> ReliabilityPolicy:
        if self._wished != 'auto':
            return ReliabilityPolicy.RELIABLE if self._wished == 'reliable' else ReliabilityPolicy.BEST_EFFORT
        offers = {p.qos_profile.reliability for p in self.publishers()}
        return ReliabilityPolicy.BEST_EFFORT if ReliabilityPolicy.BEST_EFFORT in offers else ReliabilityPolicy.RELIABLE

    def _count_incompatible(self) -> None:
        found = {tuple(p.endpoint_gid) for p in self.incompatible()}
        self.incompatible_events += len(found - self._seen_incompatible)
        self._seen_incompatible |= found

    def _keep_info(self, message: CameraInfo) -> None:
        self.camera_info = message

    def _destroy_image(self) -> None:
        if self._image is not None:
            self._node.destroy_subscription(self._image)
            self._image = None


def _sibling(node: Node, prefix: str, image: str) -> str:
    """The camera_info topic: as remapped, else beside the raw image topic that ``image`` is or comes from."""
    asked = node.resolve_topic_name(f'{prefix}camera_info')
    if asked != node.resolve_topic_name(f'{prefix}camera_info', only_expand=True):
        return str(asked)
    raw = image[: -len('/compressed')] if image.endswith('/compressed') else image
    return raw.rpartition('/')[0] + '/camera_info'
