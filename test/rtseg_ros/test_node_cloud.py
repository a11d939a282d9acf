# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's clouds from depth images, over real DDS."""

import subprocess
import sys
import time

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NODE, QUICK, SMALL, NodeProcess, bundle, diagnosed, picture, until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, Image, PointCloud2

from rtseg_ros.cloud_codec import points_from_message
from rtseg_ros.transport import PROFILE

CALIBRATION = CameraInfo(height=SMALL[0], width=SMALL[1], k=[100.0, 0.0, 79.5, 0.0, 100.0, 59.5, 0.0, 0.0, 1.0])


def depth_camera(probe, info=None):
    """Publishers of image, depth and its calibration (``info``), which a node that makes clouds has subscribed to."""
    probe.subscribe(f'{NODE}/mask', Image)
    probe.subscribe(f'{NODE}/points', PointCloud2, qos_profile_sensor_data)
    publishers = [probe.publisher('/image'), probe.publisher('/depth/image')]
    publishers.append(info or probe.publisher('/depth/camera_info', CameraInfo))
    for publisher in publishers:
        until(publisher.get_subscription_count, 'subscription of the node')
    return publishers


def wall(header, metres):
    """Depth of a wall across the camera's way."""
    message = Image(header=header, height=SMALL[0], width=SMALL[1], encoding='32FC1', step=4 * SMALL[1])
    message.data.frombytes(np.full(SMALL, metres, np.float32).tobytes())
    return message


def test_points_carry_the_labels_of_the_mask(setting):
    _, probe = setting(cloud='depth')
    camera, depth, info = depth_camera(probe)
    message = probe.frame(picture())

    def cloud():
        info.publish(CALIBRATION)
        depth.publish(wall(message.header, 5.0))
        camera.publish(message)
        return next((m for m in list(probe.received[f'{NODE}/points']) if m.header == message.header), None)

    points = until(cloud, 'cloud')
    mask = next(m for m in probe.received[f'{NODE}/mask'] if m.header == message.header)
    assert (points.height, points.width) == SMALL
    fields = points_from_message(points, ('x', 'z', 'label'))
    assert fields['label'].tobytes() == bytes(mask.data)
    assert fields['z'] == pytest.approx(5.0)
    assert fields['x'][0] == pytest.approx(5 * (np.arange(SMALL[1]) - 79.5) / 100, abs=1e-4)


def test_a_calibration_of_another_size_is_rescaled_where_its_aspect_ratio_fits(setting):
    _, probe = setting(cloud='depth', max_consecutive_failures=4)
    camera, depth, info = depth_camera(probe)

    def found(calibration, answer):
        info.publish(calibration)
        message = probe.frame(picture())
        depth.publish(wall(message.header, 5.0))
        camera.publish(message)
        time.sleep(0.05)
        return answer()

    square = CameraInfo(height=240, width=240, k=[200.0, 0.0, 119.5, 0.0, 200.0, 119.5, 0.0, 0.0, 1.0])
    reason = 'camera_info is of 240x240 images and this one is 120x160'
    until(lambda: found(square, lambda: reason in getattr(probe.diagnosis('cloud'), 'message', '')), 'reason', 20.0)
    assert not probe.received[f'{NODE}/points']
    twice = CameraInfo(height=240, width=320, k=[200.0, 0.0, 159.5, 0.0, 200.0, 119.5, 0.0, 0.0, 1.0])
    points = until(lambda: found(twice, lambda: probe.received[f'{NODE}/points']), 'cloud')[0]
    fields = points_from_message(points, ('x', 'y'))
    assert fields['x'][0] == pytest.approx(5 * (np.arange(SMALL[1]) - 79.5) / 100, abs=1e-4)
    assert fields['y'][:, 0] == pytest.approx(5 * (np.arange(SMALL[0]) - 59.5) / 100, abs=1e-4)


def test_a_calibration_that_was_published_once_is_heard(setting):
    _, probe = setting(cloud='depth')
    latched = [probe.publisher(f'/{prefix}camera_info', CameraInfo, durable=True) for prefix in ('', 'depth/')]
    for publisher in latched:
        publisher.publish(CALIBRATION)
    probe.subscribe(f'{NODE}/camera_info', CameraInfo)
    camera, depth, _ = depth_camera(probe, latched[1])

    def both():
        message = probe.frame(picture())
        depth.publish(wall(message.header, 5.0))
        camera.publish(message)
        time.sleep(0.1)
        return probe.received[f'{NODE}/points'] and probe.received[f'{NODE}/camera_info']

    until(both, 'cloud and calibration')
    assert probe.counts('cloud')['/depth/camera_info qos'].startswith('reliable, transient_local')


def test_a_calibration_that_came_once_stays_until_its_publisher_goes_or_the_node_is_deactivated(setting):
    _, probe = setting(cloud='depth')
    infos = [probe.publisher(f'/{prefix}camera_info', CameraInfo) for prefix in ('', 'depth/')]

    def watched():
        probe.subscribe(f'{NODE}/camera_info', CameraInfo)
        camera, depth, _ = depth_camera(probe, infos[1])
        until(infos[0].get_subscription_count, 'subscription of camera_info')
        return camera, depth

    def came(camera, depth):
        """Which of the outputs that need a calibration came for a frame."""
        message = probe.frame(picture())
        depth.publish(wall(message.header, 5.0))
        camera.publish(message)
        time.sleep(0.1)
        found = {name: list(probe.received[f'{NODE}/{name}']) for name in ('mask', 'points', 'camera_info')}
        return [name for name, messages in found.items() if any(m.header == message.header for m in messages)]

    def all_came():
        return came(*publishers) == ['mask', 'points', 'camera_info']

    def all_came_with_calibrations():
        for info in infos:
            info.publish(CALIBRATION)
        return all_came()

    def only_masks_came():
        told = getattr(probe.diagnosis('cloud'), 'message', '')
        return came(*publishers) == ['mask'] and 'no calibration on /depth/camera_info' in told

    publishers = watched()
    until(all_came_with_calibrations, 'cloud and calibration')
    for name in ('mask', 'points', 'camera_info'):
        probe.unsubscribe(f'{NODE}/{name}')
    for publisher in (*infos, *publishers):
        until(lambda publisher=publisher: not publisher.get_subscription_count(), 'end of the subscription')
    publishers = watched()
    until(all_came, 'cloud and calibration')
    assert probe.change_state('deactivate') and probe.change_state('activate')
    until(only_masks_came, 'frames without calibration', 20.0)
    until(all_came_with_calibrations, 'cloud and calibration', 20.0)
    for info in infos:
        probe.forget_publisher(info)
    until(only_masks_came, 'frames without calibration', 20.0)


def test_calibrations_of_publishers_of_either_durability_are_heard(setting):
    _, probe = setting(cloud='depth')
    latched = probe.publisher('/depth/camera_info', CameraInfo, durable=True)
    latched.publish(CALIBRATION)
    _, _, volatile = depth_camera(probe)
    topic = '/depth/camera_info'
    until(lambda: probe.counts('cloud')[f'{topic} qos'].startswith('reliable, volatile'), 'a volatile subscription')
    until(volatile.get_subscription_count, 'subscription of the node')
    before = int(probe.counts('cloud')[f'{topic} received'])
    for publisher in (latched, volatile):
        publisher.publish(CALIBRATION)
    until(lambda: int(probe.counts('cloud')[f'{topic} received']) == before + 2, 'both calibrations')


def test_a_calibration_that_does_not_come_is_not_put_down_to_large_images(setting):
    _, probe = setting(cloud='depth', input_timeout_s=0.5)
    depth_camera(probe)
    status = diagnosed(probe, 'no message on /depth/camera_info', 'cloud')
    causes = {text.split(' for ')[0].split()[-1]: text for text in status.message.split('; ')}
    assert 'reliable and transient local' in causes['/depth/camera_info']
    assert PROFILE not in causes['/depth/camera_info']
    assert PROFILE in causes['/depth/image']


def test_clouds_that_fail_are_told_with_the_reason_until_one_is_made(setting):
    _, probe = setting(cloud='depth', max_consecutive_failures=4)
    camera, depth, info = depth_camera(probe)

    def told(level, text, behind_s=0.0):
        info.publish(CALIBRATION)
        depth.publish(wall(probe.header(behind_s), 5.0))
        camera.publish(probe.frame(picture()))
        time.sleep(0.05)
        status = probe.diagnosis('cloud')
        return status is not None and status.level == level and text in status.message

    for _ in range(2):
        until(lambda: told(DiagnosticStatus.ERROR, '/depth/image within cloud_sync_s', 3600), 'error', 20.0)
        until(lambda: told(DiagnosticStatus.OK, 'ok'), 'clouds', 20.0)
    until(lambda: told(DiagnosticStatus.ERROR, '/depth/image within cloud_sync_s', 3600), 'error', 20.0)
    probe.unsubscribe(f'{NODE}/points')
    assert diagnosed(probe, 'idle', 'cloud').level == DiagnosticStatus.OK


def test_lidar_without_tf2_names_the_missing_package():
    if_installed = subprocess.run([sys.executable, '-c', 'import tf2_ros'], capture_output=True)
    if not if_installed.returncode:
        pytest.skip('tf2_ros is installed here')
    bundle()
    node = NodeProcess(parameters={**QUICK, 'cloud': 'lidar'})
    assert node.end() == 69, node.log
    assert 'tf2_ros' in node.log


def test_points_wait_for_the_depth_of_their_own_frame(setting):
    _, probe = setting(cloud='depth', cloud_sync_s=1.0)
    camera, depth, info = depth_camera(probe)
    info.publish(CALIBRATION)
    depth.publish(wall(probe.header(), 3.0))
    message = probe.frame(picture())
    camera.publish(message)
    masks = probe.received[f'{NODE}/mask']
    until(lambda: any(m.header == message.header for m in list(masks)), 'mask')
    assert not probe.received[f'{NODE}/points']
    depth.publish(wall(message.header, 5.0))
    points = until(lambda: probe.received[f'{NODE}/points'], 'cloud')[0]
    assert points.header == message.header
    assert points_from_message(points, ('z',))['z'] == pytest.approx(5.0)
