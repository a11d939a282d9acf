# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription that DDS calls ready for ever while it has nothing to give: seen after a publisher was killed."""

import time

import pytest
import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from node_process import NODE, QUICK, Probe, bundle, picture, until
from rclpy.duration import Duration
from rclpy.qos import QoSProfile, qos_profile_sensor_data
from sensor_msgs.msg import Image, PointCloud2

from rtseg_ros.node import subscription
from rtseg_ros.node.executor_load import WINDOW_S, ExecutorLoad
from rtseg_ros.node.subscription import LOOKS, SILENCE_S, SuitedSubscription

STUCK = """
import rclpy.executors
from rtseg_ros.node.subscription import SuitedSubscription

healthy_wait_set, healthy_receive = rclpy.executors._rclpy.WaitSet, SuitedSubscription._receive
stuck = []

class WaitSet(healthy_wait_set):
    pointer = None

    def add_subscription(self, handle):
        super().add_subscription(handle)
        if handle in stuck:
            self.pointer = handle.pointer

    def wait(self, timeout_ns):
        super().wait(timeout_ns if self.pointer is None else 0)

    def get_ready_entities(self, kind):
        found = super().get_ready_entities(kind)
        return found if self.pointer is None or kind != 'subscription' else [*found, self.pointer]

def receive(self, message):
    if message.header.frame_id == 'last words':
        stuck.append(self._subscription.handle)
    healthy_receive(self, message)

rclpy.executors._rclpy.WaitSet, SuitedSubscription._receive = WaitSet, receive
"""

BUSY = """
from rtseg_ros.node.executor_load import ExecutorLoad

ExecutorLoad.share = lambda self: 1.0
"""


INPUTS = ('/image', '/depth/image')

EXPIRING = QoSProfile(depth=1, lifespan=Duration(seconds=0.1))


@pytest.fixture
def opened(started, tmp_path):
    """Starts a node that makes clouds from depth, with what is to run in it first, and a probe."""
    probes = []

    def start(patch):
        bundle()
        (tmp_path / 'sitecustomize.py').write_text(patch)
        node = started(parameters={'lazy': False, 'cloud': 'depth', **QUICK}, PYTHONPATH=str(tmp_path))
        node.wait_for_log('serving ')
        probe = Probe()
        probes.append(probe)
        probe.subscribe('/diagnostics', DiagnosticArray)
        probe.subscribe(f'{NODE}/points', PointCloud2, qos_profile_sensor_data)
        for topic in INPUTS:
            until(probe.publisher(topic).get_subscription_count, f'subscription of {topic}')
        return node, probe

    yield start
    for probe in probes:
        probe.close()


def received(probe):
    """How many images and depth images the node has received."""
    return int(probe.counts('input')['received']), int(probe.counts('cloud')['/depth/image received'])


@pytest.mark.parametrize('topic', INPUTS)
def test_a_subscription_that_is_ready_for_ever_is_made_anew(opened, topic):
    node, probe = opened(STUCK)
    message = probe.frame(picture())
    message.header.frame_id = 'last words'
    probe.publisher(topic).publish(message)
    node.wait_for_log(f'{topic}: ready without a message for 2 s; subscribing anew')

    def heard():
        probe.publisher(topic).publish(probe.frame(picture()))
        return received(probe)[INPUTS.index(topic)] > 1

    until(heard, 'frame through the new subscription', 20.0)
    assert node.log.count('subscribing anew') == 1
    assert 'unexpected error' not in node.log


def test_publishers_that_are_slow_are_left_alone_however_busy_the_executor_is(opened):
    node, probe = opened(BUSY)
    for count in (1, 2):
        for topic in INPUTS:
            probe.publisher(topic).publish(probe.frame(picture()))
        until(lambda count=count: received(probe) == (count, count), f'frame {count} of both')
        time.sleep(SILENCE_S + 1)
    assert 'subscribing anew' not in node.log


def test_a_wait_that_ends_at_once_with_nothing_to_take_is_a_stuck_subscription(monkeypatch):
    """Fast DDS leaves a reader marked, too, where a message expires in it; no wait says then that it is ready."""
    monkeypatch.setattr(subscription, 'SILENCE_S', 0.2)
    monkeypatch.setattr(subscription, 'keep_last', lambda depth, *_: EXPIRING)
    probe = Probe()
    probe.stop_spinning()
    source = SuitedSubscription(probe.node, '/expiring', Image, print, depth=1)
    publisher = probe.node.create_publisher(Image, '/expiring', EXPIRING)
    try:
        source.follow(True)
        until(publisher.get_subscription_count, 'subscription')
        time.sleep(0.3)
        assert [source.stuck() for _ in range(2 * LOOKS)] == [False] * 2 * LOOKS
        until(lambda: publisher.publish(Image()) or source.stuck(), 'message that waits')
        time.sleep(0.5)  # it has expired
        if rclpy.get_rmw_implementation_identifier().startswith('rmw_fastrtps'):
            assert source.stuck()
        source.close()
        source.follow(True)
        time.sleep(0.3)
        assert [source.stuck() for _ in range(2 * LOOKS)] == [False] * 2 * LOOKS
    finally:
        source.close()
        probe.close()


def test_load_is_the_share_of_the_last_two_seconds():
    now_s, used_s = 0.0, 0.0
    load = ExecutorLoad(lambda: now_s, lambda: used_s)
    shares = []
    for step in range(81):  # three seconds idle, three busy, two idle again
        shares.append(load.share())
        now_s += 0.1
        used_s += 0.1 * (30 <= step < 60)
    assert shares[: int(10 * WINDOW_S)] == [0.0] * int(10 * WINDOW_S)
    assert shares[30] == 0.0
    assert shares[40] == pytest.approx(0.5, abs=0.06)
    assert shares[55] == pytest.approx(1.0)
    assert shares[-1] == pytest.approx(0.0, abs=0.06)
