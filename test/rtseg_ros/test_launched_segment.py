# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``segment.launch.py`` under launch_testing: masks, latched legends, parameters and a clean end."""

import json
import unittest

import pytest

pytest.importorskip('launch_testing', reason='the ROS launch stack is not installed')
pytest.importorskip('launch_ros', reason='the ROS launch stack is not installed')
import launch_testing
import launch_testing.asserts
from launched import CAMERA, CLASS_MAP, LEGEND, MASK, Starts, Viewer, description
from node_process import LATCHED, NODE, until
from rcl_interfaces.srv import GetParameters
from std_msgs.msg import String


@pytest.mark.launch_test
def generate_test_description():
    return description(Starts(), confidence_threshold='0.25')


class TestWhileRunning(unittest.TestCase):
    def setUp(self):
        self.viewer = Viewer()
        self.addCleanup(self.viewer.close)

    def test_masks_and_legends_come(self):
        self.viewer.wait(60.0)
        mask = self.viewer.received[MASK][-1]
        self.assertEqual((mask.height, mask.width, mask.encoding), (CAMERA['height'], CAMERA['width'], 'mono8'))
        self.assertEqual(mask.header.frame_id, CAMERA['frame_id'])
        classes = json.loads(self.viewer.received[CLASS_MAP][-1].data)['classes']
        self.assertLessEqual(set(mask.data), {entry['id'] for entry in classes} | {255})
        self.assertEqual(self.viewer.received[LEGEND][-1].encoding, 'rgb8')

    def test_a_late_joiner_gets_the_classes(self):
        self.viewer.wait(60.0)
        self.viewer.unsubscribe(CLASS_MAP)
        self.viewer.subscribe(CLASS_MAP, String, LATCHED)
        until(lambda: self.viewer.received[CLASS_MAP], 'latched class map')

    def test_an_argument_overrides_the_parameter_file_and_leaves_the_rest(self):
        request = GetParameters.Request(names=['confidence_threshold', 'max_image_age_s'])
        given, from_file = self.viewer.answer(f'{NODE}/get_parameters', GetParameters, request, 60.0).values
        self.assertEqual((given.double_value, from_file.double_value), (0.25, 0.5))


@launch_testing.post_shutdown_test()
class TestAfterShutdown(unittest.TestCase):
    def test_every_process_ends_cleanly(self, proc_info, proc_output):
        launch_testing.asserts.assertExitCodes(proc_info)
        self.assertFalse([line for line in proc_output if b'Traceback' in line.text])
