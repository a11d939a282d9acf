# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription that comes and goes, in the quality of service that suits the topic's publishers."""

from __future__ import annotations

import time
from typing import Any, Callable, List, Optional, Set, Tuple

from rclpy.impl.implementation_singleton import rclpy_implementation
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo

SILENCE_S = 2.0
"""Seconds without a message after which a subscription that is ready all the same is stuck."""
LOOK_S, LOOKS = 0.005, 3
"""How long to look whether it is ready, and how often in a row: in between, the executor takes what there is."""


def keep_last(
    depth: int, reliability: ReliabilityPolicy, durability: DurabilityPolicy = DurabilityPolicy.VOLATILE
) -> QoSProfile:
    """The newest ``depth`` messages, with the given policies."""
    return QoSProfile(history=HistoryPolicy.KEEP_LAST, depth=depth, reliability=reliability, durability=durability)


class SuitedSubscription:
    """Reliable while every publisher offers it, else best effort, which large messages often do not survive.

    A calibration is asked for from before the subscription, too, while every publisher keeps it: it may come once.
    ``follow`` is called ten times a second by the executor's thread; everything else reads what it found.
    """

    def __init__(
        self, node: Node, name: str, kind: Any, on_message: Callable[[Any], None], *, depth: int, wished: str = 'auto'
    ) -> None:
        """``name`` of the topic before remapping; ``kind`` of sensor_msgs; ``wished`` is ``auto``, ``reliable`` or
        ``best_effort``.
        """
        self.topic = str(node.resolve_topic_name(name))  # remapped once; rclpy would remap it once more
        self.kind = kind
        self.type_name = f'sensor_msgs/msg/{kind.__name__}'
        self.reliability = ReliabilityPolicy.RELIABLE
        self.durability = DurabilityPolicy.VOLATILE
        self.incompatible_events = 0
        self.received = 0
        self.last_received_s: Optional[float] = None
        self.subscribed_s: Optional[float] = None
        self._node = node
        self._name = name
        self._on_message = on_message
        self._depth = depth
        self._wished = wished
        self._subscription: Any = None
        self._found_ready = 0
        self._seen_incompatible: Set[Tuple[int, ...]] = set()

    @property
    def subscribed(self) -> bool:
        """Whether messages can arrive."""
        return self._subscription is not None

    @property
    def qos(self) -> str:
        """The policies in use, for people."""
        if not self.subscribed:
            return 'not subscribed'
        return f'{self.reliability.name.lower()}, {self.durability.name.lower()}, keep last {self._depth}'

    def follow(self, wanted: bool) -> None:
        """Subscribe or unsubscribe, and re-subscribe where the publishers ask for other policies."""
        if not wanted:
            self.close()
            return
        suitable = self._suitable()
        if self._subscription is not None and suitable != (self.reliability, self.durability):
            self._destroy()
        if self._subscription is None:
            self.reliability, self.durability = suitable
            if self.subscribed_s is None:  # to be made anew does not end a silence
                self.subscribed_s = time.monotonic()
            self._subscription = self._node.create_subscription(
                self.kind, self._name, self._receive, keep_last(self._depth, *suitable)
            )
        found = {tuple(p.endpoint_gid) for p in self.incompatible()}
        self.incompatible_events += len(found - self._seen_incompatible)
        self._seen_incompatible = found

    def close(self) -> None:
        """Unsubscribe; harmless when not subscribed."""
        self._destroy()
        self.subscribed_s = None

    def renew(self) -> None:
        """Have the next ``follow`` subscribe anew."""
        self._destroy()

    @property
    def hears(self) -> bool:
        """Whether a message has come since the topic is subscribed."""
        last_s, since_s = self.last_received_s, self.subscribed_s
        return last_s is not None and since_s is not None and since_s < last_s

    def silent_s(self) -> float:
        """Seconds since the last message or, where none came since then, the subscription; 0 without one."""
        since_s = self.subscribed_s
        return 0.0 if since_s is None else time.monotonic() - max(since_s, self.last_received_s or 0.0)

    def stuck(self) -> bool:
        """Whether DDS calls it ready and has nothing to give, so that the executor spins on it.

        Call it, like ``follow``, ten times a second in the executor's thread while there is suspicion.
        """
        silent = self.subscribed and self.silent_s() > SILENCE_S
        self._found_ready = self._found_ready + 1 if silent and _ready(self._node, self._subscription) else 0
        return self._found_ready >= LOOKS

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
        endpoints: List[Any] = self._node.get_publishers_info_by_topic(self._name)
        return endpoints

    def _suitable(self) -> Tuple[ReliabilityPolicy, DurabilityPolicy]:
        offers = [p.qos_profile for p in self.publishers()]
        reliability, durability = ReliabilityPolicy.RELIABLE, DurabilityPolicy.VOLATILE
        if self._wished == 'best_effort' or (
            self._wished == 'auto' and any(offer.reliability == ReliabilityPolicy.BEST_EFFORT for offer in offers)
        ):
            reliability = ReliabilityPolicy.BEST_EFFORT
        if self.kind is CameraInfo and {offer.durability for offer in offers} == {DurabilityPolicy.TRANSIENT_LOCAL}:
            durability = DurabilityPolicy.TRANSIENT_LOCAL
        return reliability, durability

    def _receive(self, message: Any) -> None:
        self.received += 1
        self.last_received_s = time.monotonic()
        self._on_message(message)

    def _destroy(self) -> None:
        if self._subscription is not None:
            self._node.destroy_subscription(self._subscription)
            self._subscription = None
            self._found_ready = 0


def _ready(node: Node, subscription: Any) -> bool:
    """Whether the executor would not sleep if it waited for this subscription alone.

    Fast DDS may end the wait at once, and say in the end that nothing is ready.
    """
    wait_set = rclpy_implementation.WaitSet(1, 0, 0, 0, 0, 0, node.context.handle)
    wait_set.clear_entities()
    wait_set.add_subscription(subscription.handle)
    began_s = time.monotonic()
    wait_set.wait(int(LOOK_S * 1e9))
    slept = time.monotonic() - began_s > LOOK_S / 2
    return not slept or subscription.handle.pointer in wait_set.get_ready_entities('subscription')
