# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests under ``launch_testing`` share: the camera and ``segment.launch.py`` on the tests' own DDS domain."""

from __future__ import annotations

import unittest
from typing import Any, List

from ament_index_python.packages import PackageNotFoundError, get_package_share_directory
from launch.actions import IncludeLaunchDescription, RegisterEventHandler, SetEnvironmentVariable
from launch.event_handlers import OnProcessStart
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import Node
from launch_testing.actions import ReadyToTest
from node_process import DOMAIN, LATCHED, NODE, Probe, until
from sensor_msgs.msg import Image
from std_msgs.msg import String

from launch import LaunchDescription

MASK, CLASS_MAP, LEGEND = f'{NODE}/mask', f'{NODE}/class_map', f'{NODE}/legend'
CAMERA = {'height': 180, 'width': 240, 'frames': 20, 'publish_depth': False, 'frame_id': 'front_optical'}


class Starts:
    """The process ids of the segmentation node, in the order of its starts."""

    def __init__(self) -> None:
        self.pids: List[int] = []

    def note(self, event: Any, context: Any) -> None:
        if 'segmentation_node' in event.process_name:
            self.pids.append(event.pid)


def description(starts: Starts, **arguments: str) -> LaunchDescription:
    """A rendered camera and ``segment.launch.py``; without the installed package there is nothing to launch."""
    try:
        share = get_package_share_directory('rtseg_ros')
    except PackageNotFoundError as error:
        raise unittest.SkipTest(f'rtseg_ros is not installed for ROS: {error}') from error
    segment = PythonLaunchDescriptionSource(f'{share}/launch/segment.launch.py')
    return LaunchDescription(
        [
            SetEnvironmentVariable('ROS_DOMAIN_ID', str(DOMAIN)),
            SetEnvironmentVariable('ROS_AUTOMATIC_DISCOVERY_RANGE', 'LOCALHOST'),
            RegisterEventHandler(OnProcessStart(on_start=starts.note)),
            Node(package='rtseg_ros', executable='synthetic_camera', parameters=[CAMERA]),
            IncludeLaunchDescription(segment, launch_arguments=arguments.items()),
            ReadyToTest(),
        ]
    )


class Viewer(Probe):
    """Subscribes to the masks and to what is latched."""

    def __init__(self) -> None:
        super().__init__()
        self.subscribe(MASK, Image)
        self.subscribe(CLASS_MAP, String, LATCHED)
        self.subscribe(LEGEND, Image, LATCHED)

    def forget(self) -> None:
        """Drop what came so far."""
        for topic in (MASK, CLASS_MAP, LEGEND):
            self.received[topic].clear()

    def wait(self, timeout_s: float) -> None:
        """Until a mask is there and all that is latched."""
        for topic in (MASK, CLASS_MAP, LEGEND):
            until(lambda topic=topic: self.received[topic], topic, timeout_s)
