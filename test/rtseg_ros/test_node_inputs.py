# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras that do not reach the node and what diagnostics say; several cameras; compressed input."""

import signal
import subprocess
import sys

import cv2
import pytest
from diagnostic_msgs.msg import DiagnosticStatus
from node_process import NODE, SMALL, Probe, diagnosed, environment, picture, until
from rclpy.qos import qos_profile_sensor_data
from sensor_msgs.msg import CameraInfo, CompressedImage, Image, PointCloud2

from rtseg_ros.transport import PROFILE, PROFILE_VARIABLES, config_file

CAMERA = """
import sys, time, rclpy
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import Image
rclpy.init()
node = rclpy.create_node('camera')
topic, qos = sys.argv[1], QoSProfile(depth=1, reliability=ReliabilityPolicy[sys.argv[2]])
image, depth = (node.create_publisher(Image, f'{topic}/{name}', qos) for name in ('image', 'depth/image'))
messages = {
    image: Image(height=720, width=1280, encoding='rgb8', step=3840),
    depth: Image(height=720, width=1280, encoding='32FC1', step=5120),
}
for message in messages.values():
    message.data.frombytes(bytes(720 * message.step))
while True:
    stamp = node.get_clock().now().to_msg()
    for publisher, message in messages.items():
        message.header.stamp = stamp
        publisher.publish(message)
    time.sleep(0.2)
"""


def test_diagnostics_name_why_no_frame_arrives_and_the_node_recovers(setting):
    _, probe = setting(image_reliability='reliable', input_timeout_s=0.5, lazy=False)
    assert diagnosed(probe, 'nobody publishes').level == DiagnosticStatus.ERROR
    unreliable = probe.publisher('/image', reliable=False)
    status = diagnosed(probe, 'image_reliability')
    assert status.level == DiagnosticStatus.ERROR
    assert {entry.key: entry.value for entry in status.values}['incompatible_qos_events'] == '1'
    probe.forget_publisher(unreliable)
    other = Probe()  # one participant cannot have two types on one topic
    try:
        other.publisher('/image', CompressedImage)
        assert 'sensor_msgs/msg/CompressedImage' in diagnosed(probe, 'image_transport').message
    finally:
        other.close()
    camera = probe.publisher('/image')
    until(camera.get_subscription_count, 'subscription of the node')

    def recovered():
        camera.publish(probe.frame(picture()))
        status = probe.diagnosis('input')
        return status.level == DiagnosticStatus.OK and status.message == 'frames arrive'

    until(recovered, 'recovery')


def test_reliability_follows_the_publishers(setting):
    _, probe = setting(lazy=False)
    reliable = probe.publisher('/image')
    until(lambda: probe.counts('input')['qos'].startswith('reliable'), 'reliable subscription')
    unreliable = probe.publisher('/image', reliable=False)
    until(lambda: probe.counts('input')['qos'].startswith('best_effort'), 'best-effort subscription')
    probe.forget_publisher(unreliable)
    until(lambda: probe.counts('input')['qos'].startswith('reliable'), 'reliable subscription')
    assert reliable.get_subscription_count() == 1


@pytest.mark.parametrize('wished', ['auto', 'best_effort', 'reliable'])
def test_publishers_of_every_quality_of_service_get_through_or_are_named_incompatible(setting, wished):
    offers = {
        f'{r}_{d}': (r == 'reliable', d == 'durable') for r in ('reliable', 'lossy') for d in ('volatile', 'durable')
    }
    names = ', '.join(offers)
    _, probe = setting(cameras=f'[{names}]', image_reliability=wished, lazy=False, input_timeout_s=1.0)
    cameras = {name: probe.publisher(f'/{name}/image', Image, *offer) for name, offer in offers.items()}
    incompatible = {name for name in offers if wished == 'reliable' and name.startswith('lossy')}

    def arrived():
        for camera in cameras.values():
            camera.publish(probe.frame(picture()))
        return all(int(probe.counts(f'{name} input')['received']) for name in cameras.keys() - incompatible)

    until(arrived, 'frame of every compatible publisher', 20.0)
    for name in incompatible:
        status = diagnosed(probe, 'offer best effort where the subscription demands reliable', f'{name} input')
        facts = {entry.key: entry.value for entry in status.values}
        assert status.level == DiagnosticStatus.ERROR
        assert 'set image_reliability to auto or best_effort' in status.message
        assert (facts['incompatible_qos_events'], facts['received']) == ('1', '0')


def test_a_camera_that_dies_is_told_and_its_successor_is_heard(setting):
    _, probe = setting(lazy=False, input_timeout_s=3.0)
    diagnosed(probe, 'waiting for the first frame')
    command = [sys.executable, '-c', CAMERA, '', 'RELIABLE']
    for _ in range(2):
        camera = subprocess.Popen(command, env=environment())
        try:
            diagnosed(probe, 'frames arrive', timeout_s=20.0)
        finally:
            camera.kill()
            camera.wait()
        status = diagnosed(probe, 'no frame on /image', timeout_s=20.0)
        assert status.level == DiagnosticStatus.ERROR
        assert 'has stopped sending' in status.message


def test_cameras_share_one_network_and_keep_their_names(setting):
    _, probe = setting(cameras='[left, right]', input_timeout_s=0.5, lazy=False)
    assert '-r left/image:=TOPIC' in diagnosed(probe, 'nobody publishes', name='left input').message
    rgb = {'left': picture(seed=1), 'right': picture((100, 140), seed=2)}
    sent = {}
    for name in rgb:
        probe.subscribe(f'{NODE}/{name}/mask', Image)
        until(probe.publisher(f'/{name}/image').get_subscription_count, f'subscription of {name}')
    for name, image in rgb.items():
        sent[name] = probe.frame(image)
        probe.publisher(f'/{name}/image').publish(sent[name])
    for name, image in rgb.items():
        mask = until(lambda name=name: probe.received[f'{NODE}/{name}/mask'], f'mask of {name}')[0]
        assert mask.header == sent[name].header
        assert (mask.height, mask.width) == image.shape[:2]
    assert probe.counts('left processing')['published'] == '1'


def test_cameras_whose_cables_were_swapped_are_swapped_back(setting):
    swap = ['-r', 'left/image:=/right/image', '-r', 'right/image:=/left/image']
    _, probe = setting('--ros-args', *swap, cameras='[left, right]', lazy=False)
    assert probe.counts('left input')['topic'] == '/right/image'
    sizes = {'left': (80, 120), 'right': (100, 140)}
    for name, size in sizes.items():
        probe.subscribe(f'{NODE}/{name}/mask', Image)
        camera = probe.publisher(f'/{name}/image')
        until(camera.get_subscription_count, f'subscription of {name}')
        camera.publish(probe.frame(picture(size)))
    for name, other in (('left', 'right'), ('right', 'left')):
        mask = until(lambda name=name: probe.received[f'{NODE}/{name}/mask'], f'mask of {name}')[0]
        assert (mask.height, mask.width) == sizes[other]


def test_a_remapped_compressed_topic_brings_its_camera_info(setting):
    remapping = 'image/compressed:=/cam/image_raw/compressed'
    _, probe = setting('--ros-args', '-r', remapping, image_transport='compressed', lazy=False)
    assert probe.counts('input')['topic'] == '/cam/image_raw/compressed'
    info = probe.publisher('/cam/camera_info', CameraInfo)
    until(info.get_subscription_count, 'subscription of camera_info')
    until(probe.publisher('/cam/image_raw/compressed', CompressedImage).get_subscription_count, 'subscription')


def test_compressed_input_is_read_and_spoilt_files_are_counted(setting):
    limited = {'image_transport': 'compressed', 'max_image_pixels': SMALL[0] * SMALL[1]}
    node, probe = setting('--ros-args', '-r', 'image:=/front/image', **limited)
    probe.subscribe(f'{NODE}/mask', Image)
    camera = probe.publisher('/front/image/compressed', CompressedImage)
    until(camera.get_subscription_count, 'subscription of the node')
    _, file = cv2.imencode('.jpg', picture())
    camera.publish(CompressedImage(header=probe.header(), format='jpeg', data=file.tobytes()[:200]))
    node.wait_for_log('dropped a frame (decode)')
    message = CompressedImage(header=probe.header(), format='jpeg', data=file.tobytes())
    camera.publish(message)
    mask = until(lambda: probe.received[f'{NODE}/mask'], 'mask')[0]
    assert mask.header == message.header
    assert (mask.height, mask.width) == SMALL
    _, larger = cv2.imencode('.jpg', picture((SMALL[0] + 1, SMALL[1])))
    camera.publish(CompressedImage(header=probe.header(), format='jpeg', data=larger.tobytes()))
    node.wait_for_log('dropped a frame (too_large)')
    found = probe.counts()
    assert (found['dropped_decode'], found['dropped_too_large'], found['published']) == ('1', '1', '1')


def received_depth(probe, camera):
    return int(probe.counts(f'{camera} cloud').get(f'/{camera}/depth/image received', 0))


@pytest.mark.parametrize('order', ['camera first', 'node first'])
def test_large_images_arrive_or_the_transport_is_named(setting, order):
    """720x1280 from another process: reliably with Fast DDS's defaults, in any case with the shipped profile."""
    profile = {PROFILE_VARIABLES[0]: str(config_file(PROFILE))}
    cameras = {
        'plain': ('RELIABLE', {}),
        'profiled': ('BEST_EFFORT', profile),
        'lossy': ('BEST_EFFORT', {}),
    }
    processes = []

    def start_cameras():
        for name, (reliability, variables) in cameras.items():
            command = [sys.executable, '-c', CAMERA, name, reliability]
            processes.append(subprocess.Popen(command, env=environment(**variables)))

    try:
        if order == 'camera first':
            start_cameras()
        _, probe = setting(cameras='[plain, profiled, lossy]', lazy=False, input_timeout_s=1.5, cloud='depth')
        for name in cameras:
            probe.subscribe(f'{NODE}/{name}/points', PointCloud2, qos_profile_sensor_data)
        if order == 'node first':
            start_cameras()
        for name in ('plain', 'profiled'):
            until(lambda name=name: int(probe.counts(f'{name} input')['received']) >= 3, f'frames of {name}', 15.0)
            until(lambda name=name: received_depth(probe, name) >= 3, f'depth of {name}', 15.0)
        assert 'nobody publishes' in diagnosed(probe, '/plain/depth/camera_info', 'plain cloud').message
        if not received_depth(probe, 'lossy'):
            assert PROFILE in diagnosed(probe, 'matched but nothing arrives', 'lossy cloud').message
        if probe.counts('lossy input')['received'] == '0':
            assert PROFILE in diagnosed(probe, 'matched but nothing arrives', 'lossy input').message
    finally:
        for process in processes:
            process.send_signal(signal.SIGKILL)
            process.wait()
