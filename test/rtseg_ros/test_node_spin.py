# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A subscription that DDS calls ready for ever while it has nothing to give: seen after a publisher was killed."""

import time

import pytest
from node_process import NODE, NodeProcess, Probe, bundle, picture, until
from sensor_msgs.msg import Image

from rtseg_ros.node.executor_load import WINDOW_S, ExecutorLoad

STUCK = """
import rclpy.executors
from rtseg_ros.node.inputs import ImageInput

healthy_wait_set, healthy_create = rclpy.executors._rclpy.WaitSet, ImageInput.__init__
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

def create(self, node, camera, settings, on_image):
    def arrived(message):
        if message.header.frame_id == 'last words':
            stuck.append(self._subscription.handle)
        on_image(message)
    healthy_create(self, node, camera, settings, arrived)

rclpy.executors._rclpy.WaitSet, ImageInput.__init__ = WaitSet, create
"""


@pytest.fixture
def node(tmp_path):
    """A node whose image subscription stays ready after a frame of 'last words'."""
    bundle()
    (tmp_path / 'sitecustomize.py').write_text(STUCK)
    process = NodeProcess(parameters={'lazy': False, 'max_image_age_s': 0.0}, PYTHONPATH=str(tmp_path))
    process.wait_for_log('serving ')
    yield process
    process.close()


def test_a_subscription_that_is_ready_for_ever_is_made_anew(node):
    probe = Probe()
    try:
        probe.subscribe(f'{NODE}/mask', Image)
        camera = probe.publisher('/image')
        until(camera.get_subscription_count, 'subscription of the node')
        message = probe.frame(picture())
        message.header.frame_id = 'last words'
        camera.publish(message)
        until(lambda: probe.received[f'{NODE}/mask'], 'mask of the last words')
        node.wait_for_log('/image: ready without a frame for 2 s; subscribing anew')

        def served():
            camera.publish(probe.frame(picture()))
            time.sleep(0.1)
            return len(probe.received[f'{NODE}/mask']) > 1

        until(served, 'mask through the new subscription', 20.0)
        assert node.log.count('subscribing anew') == 1
        assert 'unexpected error' not in node.log
    finally:
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
