# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras through one network in one process: ``<camera>/<image>`` in, ``~/<camera>/mask`` and so on out."""

from __future__ import annotations

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch.substitutions import LaunchConfiguration

from launch import LaunchDescription

SEGMENT = Path(__file__).resolve().with_name('segment.launch.py')
ARGUMENTS = {
    'cameras': ('left,right', 'Camera names, separated by commas.'),
    'image': ('image_raw', 'Name of the image topic below each camera.'),
    'model': ('', 'Name of a shipped bundle, or path to a bundle.'),
    'namespace': ('', 'Namespace of the node and, as the names are relative, of the cameras.'),
    'image_transport': ('', 'Type of the image topics: raw or compressed.'),
    'params_file': (str(SEGMENT.parents[1] / 'config' / 'segment.yaml'), 'Parameter file.'),
    'use_sim_time': ('', 'Follow /clock: true or false.'),
    'respawn': ('false', 'Start the node again when it dies: true or false.'),
    'rviz': ('false', 'Start rviz2: true or false.'),
}


def generate_launch_description() -> LaunchDescription:
    """``segment.launch.py`` with several cameras; its other arguments may be given too."""
    declared = [
        DeclareLaunchArgument(name, default_value=default, description=description)
        for name, (default, description) in ARGUMENTS.items()
    ]
    given = {name: LaunchConfiguration(name) for name in ARGUMENTS}
    source = PythonLaunchDescriptionSource(str(SEGMENT))
    return LaunchDescription([*declared, IncludeLaunchDescription(source, launch_arguments=given.items())])
