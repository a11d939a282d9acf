# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Starts the segmentation node and, where asked for, rviz and a bag.

The parameter file comes first; an argument overrides it only when it is given.
"""

from __future__ import annotations

from pathlib import Path, PurePosixPath
from typing import Any, Dict, List

from launch.actions import DeclareLaunchArgument, ExecuteProcess, LogInfo, OpaqueFunction
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node
from launch_ros.substitutions import FindPackagePrefix

from launch import LaunchContext, LaunchDescription
from rtseg_ros.playback import clock_hz
from rtseg_ros.transport import make_room_for_images

CONFIG = Path(__file__).resolve().parents[1] / 'config'
NOT_GIVEN = ''
SWITCH = [NOT_GIVEN, 'true', 'false']


def argument(name: str, description: str, default: str = NOT_GIVEN, **more: Any) -> DeclareLaunchArgument:
    """A launch argument; without a default the parameter file decides."""
    return DeclareLaunchArgument(name, default_value=default, description=description, **more)


def generate_launch_description() -> LaunchDescription:
    """All arguments, then the processes that they describe."""
    return LaunchDescription(
        [
            argument('model', 'Name of a shipped bundle, or path to a bundle.'),
            argument('device', 'auto, cpu, cuda or cuda:N.'),
            argument(
                'backend',
                'Runtime of the network.',
                choices=[NOT_GIVEN, 'auto', 'torch', 'onnxruntime', 'openvino', 'tensorrt'],
            ),
            argument(
                'precision', 'Arithmetic of the network.', choices=[NOT_GIVEN, 'auto', 'fp32', 'fp16', 'bf16', 'int8']
            ),
            argument(
                'image',
                'Image topic; with cameras, its name below each camera, without a leading slash.',
                default='image',
            ),
            argument('camera_info', 'CameraInfo topic; by default camera_info beside the image topic.'),
            argument('image_transport', 'Type of the image topic.', choices=[NOT_GIVEN, 'raw', 'compressed']),
            argument(
                'image_reliability',
                'Reliability of the image subscription.',
                choices=[NOT_GIVEN, 'auto', 'best_effort', 'reliable'],
            ),
            argument('namespace', 'Namespace of the node.'),
            argument('node_name', 'Name of the node; its outputs are below it.', default='segmentation'),
            argument('params_file', 'Parameter file.', default=str(CONFIG / 'segment.yaml')),
            argument('confidence_threshold', 'Pixels less confident than this are unlabelled, 0 to 1.'),
            argument('output_size', 'Size of the outputs.', choices=[NOT_GIVEN, 'input', 'network']),
            argument('use_sim_time', 'Follow /clock; true by default with a bag.', choices=SWITCH),
            argument('autostart', 'Configure and activate without a lifecycle manager.', choices=SWITCH),
            argument(
                'log_level', 'Least severity to log.', 'info', choices=['debug', 'info', 'warn', 'error', 'fatal']
            ),
            argument('respawn', 'Start the node again when it dies.', 'false', choices=['true', 'false']),
            argument('rviz', 'Start rviz2.', 'false', choices=['true', 'false']),
            argument('rviz_config', 'Configuration of rviz2.', default=str(CONFIG / 'segment.rviz')),
            argument('bag', 'Bag to play with its clock.'),
            argument('bag_rate', 'Speed of the bag, as a factor.', default='1.0'),
            argument('cameras', 'Camera names, separated by commas; empty: a single camera. Here, not in params_file.'),
            argument('cloud', 'Source of the labelled cloud.', choices=[NOT_GIVEN, 'off', 'depth', 'lidar']),
            argument('depth', 'Depth image topic, camera_info beside it; with cameras, its name below each camera.'),
            argument('points', 'Lidar topic; with cameras, its name below each camera.'),
            OpaqueFunction(function=start),
        ]
    )


def start(context: LaunchContext) -> List[Any]:
    """The processes, once the arguments are known."""

    def value(name: str) -> str:
        return LaunchConfiguration(name).perform(context)

    if value('rviz') == 'true':  # looked for first: launch would fail after the node's start and leave it behind
        FindPackagePrefix('rviz2').perform(context)
    if not Path(value('params_file')).is_file():  # launch_ros would leave it out, and the node start with defaults
        raise ValueError(f"argument 'params_file' is {value('params_file')!r}: no such file")
    rate = value('bag_rate')
    clock = clock_hz(rate)  # as early, also for replay.launch.py
    actions: List[Any] = [
        LogInfo(msg=make_room_for_images(context.environment)),
        Node(
            package='rtseg_ros',
            executable='segmentation_node',
            name=value('node_name'),
            namespace=value('namespace'),
            parameters=[value('params_file'), overrides(value)],
            remappings=remappings(value),
            arguments=['--ros-args', '--log-level', value('log_level')],
            respawn=value('respawn') == 'true',
            respawn_delay=0.5,
            output='screen',
        ),
    ]
    if value('bag'):
        command = ['ros2', 'bag', 'play', value('bag'), '--clock', clock, '--rate', rate]
        actions.append(ExecuteProcess(cmd=command, output='screen'))
    if value('rviz') == 'true':
        actions.append(
            Node(
                package='rviz2',
                executable='rviz2',
                remappings=shown_in_rviz(value),
                arguments=['-d', value('rviz_config')],
            )
        )
    return actions


def overrides(value: Any) -> Dict[str, Any]:
    """Parameters for the arguments that were given."""
    texts = ('model', 'device', 'backend', 'precision', 'image_transport', 'image_reliability', 'output_size', 'cloud')
    found: Dict[str, Any] = {name: value(name) for name in texts if value(name)}
    if value('confidence_threshold'):
        found['confidence_threshold'] = number(value, 'confidence_threshold')
    if value('autostart'):
        found['autostart'] = value('autostart') == 'true'
    if value('use_sim_time') or value('bag'):
        found['use_sim_time'] = value('use_sim_time') != 'false'
    if camera_names(value):
        found['cameras'] = camera_names(value)
    return found


def number(value: Any, name: str) -> float:
    """The number that an argument gives."""
    try:
        return float(value(name))
    except ValueError as error:
        raise ValueError(f'argument {name!r} is {value(name)!r}; expected a number') from error


def remappings(value: Any) -> List[Any]:
    """From the node's input names to the topics that were given."""
    image, depth = value('image'), value('depth')
    topics = {
        'image': image,
        'image/compressed': f'{image}/compressed',
        'camera_info': value('camera_info'),
        'depth/image': depth,
        'depth/camera_info': depth and str(PurePosixPath(depth).with_name('camera_info')),
        'points': value('points'),
    }
    given = [(before, after) for before, after in topics.items() if after and before != after]
    names = camera_names(value)
    for name in ('image', 'camera_info', 'depth', 'points') if names else ():
        if value(name).startswith('/'):
            raise ValueError(f'argument {name!r} is {value(name)!r}; with cameras, expected a name below each camera')
    return [(f'{name}/{before}', f'{name}/{after}') for name in names for before, after in given] if names else given


def shown_in_rviz(value: Any) -> List[Any]:
    """From the topics that config/segment.rviz shows to the node's, wherever it is; of several cameras, the first's."""
    camera = (*camera_names(value), '')[0]
    image = joined(value('namespace'), camera, value('image'))
    found = [('/image', image), ('/image/compressed', f'{image}/compressed')]
    for output in ('color_mask', 'overlay', 'camera_info', 'points'):
        found.append((f'/segmentation/{output}', joined(value('namespace'), value('node_name'), camera, output)))
    found.append(('/segmentation/legend', joined(value('namespace'), value('node_name'), 'legend')))
    return [pair for pair in found if pair[0] != pair[1]]


def joined(*names: str) -> str:
    """The absolute topic of names below each other; one that begins with a slash stands alone."""
    return str(PurePosixPath('/', *names))


def camera_names(value: Any) -> List[str]:
    """The names in the argument ``cameras``."""
    return [name.strip() for name in value('cameras').split(',') if name.strip()]
