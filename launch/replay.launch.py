# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bag through the live node, by the bag's clock; ends with the bag. For every frame in order use ``replay_bag``."""

from __future__ import annotations

from pathlib import Path
from typing import Any, List

from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    IncludeLaunchDescription,
    OpaqueFunction,
    SetLaunchConfiguration,
    Shutdown,
)
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchContext, LaunchDescription
from rtseg_ros.playback import clock_hz

SEGMENT = Path(__file__).resolve().with_name('segment.launch.py')


def generate_launch_description() -> LaunchDescription:
    """``segment.launch.py`` with its arguments, beside ``ros2 bag play`` and, where asked for, ``ros2 bag record``."""
    return LaunchDescription(
        [
            DeclareLaunchArgument('bag', description='Bag to play with its clock.'),
            DeclareLaunchArgument('bag_rate', default_value='1.0', description='Speed of the bag, as a factor.'),
            DeclareLaunchArgument('delay', default_value='5.0', description='Seconds for the node to load.'),
            DeclareLaunchArgument('use_sim_time', default_value='true', description="Follow the bag's clock."),
            DeclareLaunchArgument('record', default_value='', description='Folder for a bag of the masks.'),
            SetLaunchConfiguration('played', LaunchConfiguration('bag')),  # since the include's arguments stay set
            IncludeLaunchDescription(
                PythonLaunchDescriptionSource(str(SEGMENT)),
                launch_arguments={'bag': ''}.items(),
            ),
            # Last: segment.launch.py declares what is read here, and refuses what it cannot do before anything starts.
            OpaqueFunction(function=record),
            OpaqueFunction(function=play),
        ]
    )


def play(context: LaunchContext) -> List[Any]:
    """The bag, by its clock; when it ends, everything does."""
    bag, rate, delay = (LaunchConfiguration(name).perform(context) for name in ('played', 'bag_rate', 'delay'))
    command = ['ros2', 'bag', 'play', bag, '--clock', clock_hz(rate), '--rate', rate, '--delay', delay]
    return [ExecuteProcess(cmd=command, output='screen', on_exit=Shutdown())]


def record(context: LaunchContext) -> List[Any]:
    """The recorder of masks and classes, where a folder is given."""
    folder, namespace, node, cameras = (
        LaunchConfiguration(name).perform(context) for name in ('record', 'namespace', 'node_name', 'cameras')
    )
    if not folder:
        return []
    outputs = [f'{name.strip()}/mask'.lstrip('/') for name in cameras.split(',')]
    topics = [f'/{namespace}/{node}/{output}'.replace('//', '/') for output in (*outputs, 'class_map')]
    return [ExecuteProcess(cmd=['ros2', 'bag', 'record', '-o', folder, *topics], output='screen')]
