# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node under a supervisor that starts it again when it dies, as ``respawn:=true`` of the launch file does."""

import signal
import threading
import time

import pytest
from node_process import LATCHED, NODE, NodeProcess, Probe, bundle, picture, until
from sensor_msgs.msg import Image
from std_msgs.msg import String

MASK, CLASS_MAP, LEGEND = f'{NODE}/mask', f'{NODE}/class_map', f'{NODE}/legend'


class Supervisor:
    """Keeps one node running; ``nodes`` are all that it started."""

    def __init__(self):
        self.nodes = [NodeProcess()]
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def _watch(self):
        while not self._stop.wait(0.05):
            if self.nodes[-1].process.poll() is not None:
                self.nodes.append(NodeProcess())

    def close(self):
        self._stop.set()
        self._thread.join()
        for node in self.nodes:
            node.close()


@pytest.fixture
def supervisor():
    bundle()
    found = Supervisor()
    yield found
    found.close()


def test_camera_and_viewer_outlive_a_killed_node(supervisor):
    """Neither restarts: the camera's publisher and the viewer's subscriptions meet the second node by themselves."""
    viewer = Probe()
    try:
        for topic, kind, qos in ((MASK, Image, None), (CLASS_MAP, String, LATCHED), (LEGEND, Image, LATCHED)):
            viewer.subscribe(topic, kind, qos)
        camera = viewer.publisher('/image')
        until(lambda: filmed(viewer, camera) and all_came(viewer), 'mask and legends', 30.0)
        classes = viewer.received[CLASS_MAP][-1].data
        supervisor.nodes[0].process.send_signal(signal.SIGKILL)
        killed_s = time.monotonic()
        assert supervisor.nodes[0].end() == -signal.SIGKILL
        for topic in (MASK, CLASS_MAP, LEGEND):
            viewer.received[topic].clear()
        until(lambda: filmed(viewer, camera) and viewer.received[MASK], 'mask of the second node', 15.0)
        print(f'masks again {time.monotonic() - killed_s:.1f} s after SIGKILL')
        until(lambda: all_came(viewer), 'legends of the second node')
        assert [len(viewer.received[topic]) for topic in (CLASS_MAP, LEGEND)] == [1, 1]
        assert viewer.received[CLASS_MAP][-1].data == classes
        assert supervisor.nodes[1].process.poll() is None
    finally:
        viewer.close()


def filmed(viewer, camera):
    """Publish a fresh frame at about 20 Hz."""
    camera.publish(viewer.frame(picture()))
    time.sleep(0.05)
    return True


def all_came(viewer):
    return all(viewer.received[topic] for topic in (MASK, CLASS_MAP, LEGEND))
