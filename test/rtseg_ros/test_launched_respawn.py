# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``segment.launch.py respawn:=true`` under launch_testing: the node comes back after SIGKILL."""

import os
import signal
import time
import unittest

import pytest

pytest.importorskip('launch_testing', reason='the ROS launch stack is not installed')
pytest.importorskip('launch_ros', reason='the ROS launch stack is not installed')
import launch_testing
import launch_testing.asserts
from launched import Starts, Viewer, description
from node_process import until


@pytest.mark.launch_test
def generate_test_description():
    starts = Starts()
    return description(starts, respawn='true'), {'starts': starts}


class TestRespawn(unittest.TestCase):
    def test_masks_and_legends_again_after_a_kill(self, starts):
        viewer = Viewer()
        self.addCleanup(viewer.close)
        viewer.wait(60.0)
        os.kill(starts.pids[-1], signal.SIGKILL)
        killed_s = time.monotonic()
        until(lambda: len(starts.pids) == 2, 'second start of the node')
        viewer.forget()  # a mask that was under way when the first one died
        viewer.wait(15.0)
        print(f'masks and legends again {time.monotonic() - killed_s:.1f} s after SIGKILL')


@launch_testing.post_shutdown_test()
class TestAfterShutdown(unittest.TestCase):
    def test_every_process_ends_cleanly_and_none_starts_again(self, proc_info, starts):
        launch_testing.asserts.assertExitCodes(proc_info)  # of each process's last run
        self.assertEqual(len(starts.pids), 2)
