# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag through the live node, by the bag's clock; ends with the bag. For every frame in order use ``replay_bag``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

from launch.actions import DeclareLaunchArgument, ExecuteProcess, IncludeLaunchDescription, OpaqueFunction, Shutdown
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription

SEGMENT = Path(__file__).resolve().with_name('segment.launch.py')
PASSED_ON = ('model', 'device', 'backend', 'image', 'image_transport', 'node_name', 'params_file', 'rviz')


def generate_launch_description() -> LaunchDescription:
    """``segment.launch.py`` beside ``ros2 bag play`` and, where asked for, ``ros2 bag record``."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='Bag to play with its clock.'),
            DeclareLaunchArgument('bag_rate', default_value='1.0', description='Speed of the bag, as a factor.'),
            DeclareLaunchArgument('delay', default_value='5.0', description='Seconds for the node to load.'),
            DeclareLaunchArgument('record', default_value='', description='Folder for a bag of the masks.'),
            DeclareLaunchArgument('model', default_value='', description='Name of a shipped bundle, or path to one.'),
            DeclareLaunchArgument('device', default_value='', description='auto, cpu, cuda or cuda:N.'),
            DeclareLaunchArgument('backend', default_value='', description='Runtime of the network.'),
            DeclareLaunchArgument('image', default_value='image', description='Image topic in the bag.'),
            DeclareLaunchArgument('image_transport', default_value='', description='Its type: raw or compressed.'),
            DeclareLaunchArgument('node_name', default_value='segmentation', description='Name of the node.'),
            DeclareLaunchArgument(
                'params_file',
                default_value=str(SEGMENT.parents[1] / 'config' / 'segment.yaml'),
                description='Parameter file.',
            ),
            DeclareLaunchArgument('rviz', default_value='false', description='Start rviz2: true or false.'),
            OpaqueFunction(function=play),  # first, since the include's arguments stay set after it
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SEGMENT)),
                launch_arguments={
                    **{name: LaunchConfiguration(name) for name in PASSED_ON},
                    'use_sim_time': 'true',
                    'bag': '',
                }.items(),
            ),
        ]
    )


def play(context: LaunchContext) -> List[Any]:
    """The bag and its recorder."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    bag, rate, delay = value('bag'), value('bag_rate'), value('delay')
    command = ['ros2', 'bag', 'play', bag, '--clock', '--rate', rate, '--delay', delay]
    actions = [ExecuteProcess(cmd=command, output='screen', on_exit=Shutdown())]
    if value('record'):
        topics = [f'/{value("node_name")}/{topic}' for topic in ('mask', 'class_map')]
        actions.append(ExecuteProcess(cmd=['ros2', 'bag', 'record', '-o', value('record'), *topics], output='screen'))
    return actions
