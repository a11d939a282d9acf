# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras through one network in one process: ``<camera>/<image>`` in, ``~/<camera>/mask`` and so on out."""

from __future__ import annotations

from pathlib import Path

from launch.actions import DeclareLaunchArgument, IncludeLaunchDescription
from launch.launch_description_sources import PythonLaunchDescriptionSource

from launch import LaunchDescription

SEGMENT = Path(__file__).resolve().with_name('segment.launch.py')


def generate_launch_description() -> LaunchDescription:
    """``segment.launch.py`` with all its arguments; two of them have other defaults here."""
    return LaunchDescription(
        [
            DeclareLaunchArgument(
                'cameras', default_value='left,right', description='Camera names, separated by commas.'
            ),
            DeclareLaunchArgument(
                'image', default_value='image_raw', description='Name of the image topic below each camera.'
            ),
            IncludeLaunchDescription(PythonLaunchDescriptionSource(str(SEGMENT))),
        ]
    )
