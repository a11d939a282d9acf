# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's cloud from lidar sweeps: real DDS, with tf2 where it is installed, else with a stand-in that knows one
transform."""

import importlib.util

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from geometry_msgs.msg import Quaternion, Transform, TransformStamped, Vector3
from node_process import NODE, SMALL, NodeProcess, Probe, bundle, picture, until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2, PointField
from std_msgs.msg import Header

from rtseg_ros.cloud_codec import message_from_points, points_from_message

FOCAL, CENTRE = 100.0, (59.5, 79.5)  # row, column
SHIFT = np.array([0.25, 0.5, -1.0])  # of the lidar, seen from the camera
TURN = Quaternion(x=0.5, y=-0.5, z=0.5, w=0.5)  # from x forward, y left, z up to x right, y down, z forward
XYZ = np.dtype([(axis, np.float32) for axis in 'xyz'])

STAND_IN = f"""
from types import SimpleNamespace as Space
class TransformException(Exception): pass
class TransformListener:
    def __init__(self, buffer, node): pass
    def unregister(self): print('the transform listener is gone', flush=True)
class Buffer:
    def clear(self):
        pass

    def lookup_transform(self, target, source, time):
        if (target, source) != ('front_optical', 'lidar'):
            raise TransformException(f'{{source}} is unknown')
        return Space(transform=Space(
            translation=Space(x={SHIFT[0]}, y={SHIFT[1]}, z={SHIFT[2]}),
            rotation=Space(x={TURN.x}, y={TURN.y}, z={TURN.z}, w={TURN.w})))
"""


def with_tf2(probe):
    """Have tf2 know the transform for as long as what is returned lives."""
    from tf2_ros import StaticTransformBroadcaster

    shift = Vector3(x=SHIFT[0], y=SHIFT[1], z=SHIFT[2])
    broadcaster = StaticTransformBroadcaster(probe.node)
    broadcaster.sendTransform(
        TransformStamped(
            header=Header(frame_id='front_optical'),
            child_frame_id='lidar',
            transform=Transform(translation=shift, rotation=TURN),
        )
    )
    return broadcaster


@pytest.fixture(params=['tf2', 'stand-in'])
def opened(request, tmp_path, started):
    """A probe beside a node that makes clouds from lidar sweeps."""
    bundle()
    quick = {'warmup_iterations': 0, 'self_test': False, 'max_image_age_s': 0.0}
    if request.param == 'tf2' and importlib.util.find_spec('tf2_ros') is None:
        pytest.skip('tf2_ros is not installed here')
    if request.param == 'stand-in':
        (tmp_path / 'tf2_ros.py').write_text(STAND_IN)
    paths = {'PYTHONPATH': str(tmp_path)} if request.param == 'stand-in' else {}
    node: NodeProcess = started(parameters={**quick, 'cloud': 'lidar'}, **paths)
    node.wait_for_log('serving ')
    probe = Probe()
    broadcaster = with_tf2(probe) if request.param == 'tf2' else None
    yield node, probe
    del broadcaster
    probe.close()


@pytest.mark.parametrize('opened', ['stand-in'], indirect=True)
def test_cleanup_ends_listening_to_transforms(opened):
    node, probe = opened
    assert probe.change_state('deactivate') and probe.change_state('cleanup')
    node.wait_for_log('the transform listener is gone')


def test_a_refused_configuration_leaves_no_publisher_behind(started):
    if importlib.util.find_spec('tf2_ros') is not None:
        pytest.skip('tf2_ros is installed here')
    bundle()
    node, probe = started(parameters={'cloud': 'lidar', 'autostart': False}), Probe()
    try:
        until(lambda: probe.node.count_publishers('/diagnostics'), 'node')
        assert not probe.change_state('configure')
        assert 'tf2_ros' in node.log
        assert probe.node.count_publishers('/diagnostics')
        assert not probe.node.count_publishers(f'{NODE}/mask')
    finally:
        probe.close()


def seen_at(row, column, depth):
    """The points, in the lidar's frame, that the camera sees at pixels (n,) and depths (n,)."""
    rays = [(column - CENTRE[1]) / FOCAL, (row - CENTRE[0]) / FOCAL, np.ones(len(row))]
    right, down, forward = np.stack(rays) * depth - SHIFT[:, None]
    points = np.zeros(len(row), XYZ)
    points['x'], points['y'], points['z'] = forward, -right, -down
    return points


def sweep(points, stamp, frame_id='lidar'):
    return message_from_points(points, Header(stamp=stamp, frame_id=frame_id), PointCloud2, PointField)


def test_lidar_points_carry_the_labels_under_them(opened):
    node, probe = opened
    probe.subscribe(f'{NODE}/mask', Image)
    probe.subscribe(f'{NODE}/points', PointCloud2, qos_profile_sensor_data)
    lidar, info = probe.publisher('/points', PointCloud2), probe.publisher('/camera_info', CameraInfo)
    camera = probe.publisher('/image')
    for publisher in (lidar, info, camera):
        until(publisher.get_subscription_count, 'subscription of the node')
    rng = np.random.default_rng(0)
    row, column = rng.integers(0, SMALL[0], 200), rng.integers(0, SMALL[1], 200)
    depth = rng.uniform(2, 50, 200)
    points = np.concatenate([seen_at(row, column, depth), seen_at(row[:50], column[:50], -depth[:50])])
    message = probe.frame(picture())
    calibration = CameraInfo(header=message.header, height=SMALL[0], width=SMALL[1])
    calibration.k = [FOCAL, 0.0, CENTRE[1], 0.0, FOCAL, CENTRE[0], 0.0, 0.0, 1.0]

    def answer(found, frame_id='lidar'):
        info.publish(calibration)
        lidar.publish(sweep(points, message.header.stamp, frame_id))
        camera.publish(message)
        return found()

    answers = probe.received[f'{NODE}/points']
    until(lambda: answer(lambda: node.warning('no cloud for this frame'), 'nowhere'), 'warning of an unknown frame')
    assert 'nowhere' in node.warning('no cloud for this frame') and not answers
    cloud = until(lambda: answer(lambda: next(iter(list(answers)), None)), 'cloud')

    assert cloud.header == message.header
    fields = points_from_message(cloud, ('x', 'y', 'z', 'label')).ravel()
    assert len(fields) == 200  # none from behind the camera
    mask = next(m for m in probe.received[f'{NODE}/mask'] if m.header == message.header)
    labels = np.frombuffer(bytes(mask.data), np.uint8).reshape(SMALL)
    np.testing.assert_array_equal(fields['label'], labels[row, column])
    assert len(np.unique(fields['label'])) > 1
    np.testing.assert_allclose(fields['z'], depth, rtol=1e-5)
    np.testing.assert_allclose(fields['x'], (column - CENTRE[1]) / FOCAL * depth, atol=1e-4)
    np.testing.assert_allclose(fields['y'], (row - CENTRE[0]) / FOCAL * depth, atol=1e-4)


def test_a_sweep_of_another_time_makes_no_cloud(opened):
    node, probe = opened
    probe.subscribe(f'{NODE}/points', PointCloud2, qos_profile_sensor_data)
    lidar, camera = probe.publisher('/points', PointCloud2), probe.publisher('/image')
    for publisher in (lidar, camera):
        until(publisher.get_subscription_count, 'subscription of the node')
    points = seen_at(np.array([60]), np.array([80]), np.array([5.0]))

    def warned():
        message = probe.frame(picture())
        early = message.header.stamp.sec - 3600
        lidar.publish(sweep(points, Time(sec=early, nanosec=message.header.stamp.nanosec)))
        camera.publish(message)
        return node.warning('within cloud_sync_s')

    until(warned, 'warning')
    assert not probe.received[f'{NODE}/points']
