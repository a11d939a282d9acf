# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The clouds of one camera, where a whole node would show a fault only now and then."""

import sys
import weakref
from collections import deque
from threading import Condition, Event, Lock
from types import ModuleType, SimpleNamespace

import numpy as np
import pytest
from builtin_interfaces.msg import Time
from node_process import until
from parts import bare
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from rtseg_ros.node import points_output
from rtseg_ros.node import transforms as transforms_module
from rtseg_ros.node.camera import Session
from rtseg_ros.node.points_output import MOST_DUE, LabelledFrame, PointsOutput
from rtseg_ros.node.serving import Serving
from rtseg_ros.node.transforms import Transforms
from rtseg_ros.pairing import Pairing
from rtseg_ros.parameters import Settings

CALIBRATION = [100.0, 0.0, 1.0, 0.0, 100.0, 1.0, 0.0, 0.0, 1.0]


def cloud_of(**fields):
    transforms = SimpleNamespace(matrix=lambda frame, header: np.eye(4))
    fields = {'_lock': Condition(), '_sending': Lock(), '_epoch': 0, '_due': deque(), '_closed': False, **fields}
    return bare(PointsOutput, _transforms=transforms, _prefix='', _builder=None, **fields)


def frame_with(info):
    return LabelledFrame(np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), Header(frame_id='camera'), info)


def test_the_clouds_tolerance_is_in_seconds():
    node = SimpleNamespace(create_publisher=lambda *_: None, resolve_topic_name=lambda name: f'/{name}')
    made = PointsOutput(node, '', Settings(cloud='depth', cloud_sync_s=0.05), None)
    assert made._pairing._tolerance_ns == 50_000_000


def test_a_fisheye_lens_is_refused_for_lidar():
    info = CameraInfo(distortion_model='equidistant', k=CALIBRATION, d=[0.1, 0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match='equidistant'):
        cloud_of()._from_lidar(None, frame_with(info))


def test_lidar_points_go_through_the_lens(monkeypatch):
    seen = []
    monkeypatch.setattr(points_output, 'points_from_message', lambda sweep: np.zeros(0))
    monkeypatch.setattr(points_output, 'cloud_from_lidar', lambda *arguments: seen.append(arguments))
    info = CameraInfo(distortion_model='plumb_bob', k=CALIBRATION, d=[-0.3, 0.1, 0.0, 0.0, 0.0], height=2, width=2)
    info.p = [50.0, 0.0, 1.0, 0.0, 0.0, 50.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0]  # of the rectified image, which this is not
    cloud_of()._from_lidar(SimpleNamespace(header=None), frame_with(info))
    assert list(seen[0][5]) == [-0.3, 0.1, 0.0, 0.0, 0.0]
    assert seen[0][4][0, 0] == 100


def test_depth_is_spread_by_the_rectified_camera(monkeypatch):
    seen = []
    monkeypatch.setattr(points_output, 'depth_from_message', lambda sweep: np.zeros((2, 2)))
    monkeypatch.setattr(points_output, 'cloud_from_depth', lambda *arguments: seen.append(arguments))
    info = CameraInfo(k=CALIBRATION, p=[50.0, 0.0, 1.0, 0.0, 0.0, 50.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    cloud_of(_calibration=SimpleNamespace(info=info))._from_depth(None, frame_with(None))
    assert seen[0][3][0, 0] == 50


def test_sweeps_are_kept_by_the_bytes_that_they_take():
    cloud = cloud_of(_pairing=Pairing(0), _paused=False)
    sweep = SimpleNamespace(header=Header(), data=bytes(7))
    cloud._keep(sweep)
    assert cloud._pairing._sweeps == [(0, sweep, 7)]


def builder_of(sent, made):
    """A cloud output that pairs at once, whose clouds are made by ``made``."""
    cloud = cloud_of(_pairing=Pairing(10**9), _paused=False, _publisher=SimpleNamespace(publish=sent.append))
    cloud._made, cloud.published, cloud.failed, cloud.failed_in_a_row, cloud.last_error = made, 0, 0, 0, ''
    cloud._guard = SimpleNamespace(warn=lambda *_: None)
    return cloud


def slow_builder():
    """A cloud output, what it sends, and what tells that a cloud is begun and lets it be made."""
    sent, begun, go = [], Event(), Event()

    def made(frame, sweep):
        begun.set()
        assert go.wait(10)
        return frame.header.stamp.sec, ''

    return builder_of(sent, made), sent, begun, go


def frame_and_sweep(cloud, second):
    frame = frame_with(None)
    cloud.publish(frame.labels, frame.rgb, Header(stamp=Time(sec=second)), None)
    cloud._keep(SimpleNamespace(header=Header(stamp=Time(sec=second)), data=b''))


def test_sweeps_are_taken_while_a_cloud_is_made_and_clouds_keep_the_frames_order():
    cloud, sent, begun, go = slow_builder()
    frame_and_sweep(cloud, 0)
    assert begun.wait(10)
    for second in range(1, MOST_DUE + 3):  # two more than wait
        frame_and_sweep(cloud, second)
    go.set()
    until(lambda: cloud.published == MOST_DUE + 1, 'clouds')
    assert sent == [0, *range(3, MOST_DUE + 3)]
    assert (cloud.published, cloud.failed, cloud.failed_in_a_row) == (MOST_DUE + 1, 2, 0)
    assert 'clouds take longer' in cloud.last_error


def test_a_burst_of_one_sweep_drops_none_and_an_idle_builder_keeps_nothing():
    sent = []
    cloud = builder_of(sent, lambda frame, sweep: (frame.header.stamp.nanosec, ''))
    kept = []
    for i in range(3 * MOST_DUE):
        frame = frame_with(None)
        kept.append(weakref.ref(frame.labels))
        cloud.publish(frame.labels, frame.rgb, Header(stamp=Time(nanosec=i)), None)
    del frame
    cloud._keep(SimpleNamespace(header=Header(stamp=Time(nanosec=100)), data=b''))
    until(lambda: cloud.published == 3 * MOST_DUE, 'clouds')
    assert sent == [*range(3 * MOST_DUE)] and cloud.failed == 0
    until(lambda: not any(reference() for reference in kept), 'end of the frames')


@pytest.mark.parametrize('ending', ['pause', 'restart'])
def test_a_cloud_that_is_being_made_is_not_published_after_the_end(ending):
    cloud, sent, begun, go = slow_builder()
    cloud._transforms = None
    frame_and_sweep(cloud, 0)
    frame_and_sweep(cloud, 1)
    assert begun.wait(10)
    cloud.pause(True) if ending == 'pause' else cloud.restart()
    cloud._paused = False  # pause(False) would forget by itself
    go.set()
    frame_and_sweep(cloud, 2)
    until(lambda: sent, 'a cloud')
    assert sent == [2]


def test_the_builders_thread_ends_with_its_output():
    sent = []
    cloud = builder_of(sent, lambda frame, sweep: (frame.header.stamp.sec, ''))
    cloud._transforms, cloud._calibration, cloud.sources = None, None, []
    cloud._publisher.get_subscription_count = lambda: 1
    cloud._node = SimpleNamespace(destroy_publisher=lambda publisher: None)
    frame_and_sweep(cloud, 0)
    until(lambda: sent, 'a cloud')
    assert cloud._builder.is_alive()
    cloud.close()
    cloud._builder.join(5)
    assert not cloud._builder.is_alive()


def test_large_frames_that_wait_are_left_out_by_their_bytes(monkeypatch):
    cloud, sent, begun, go = slow_builder()
    frame_and_sweep(cloud, 0)
    assert begun.wait(10)
    monkeypatch.setattr(points_output, 'MOST_DUE_BYTES', 20)  # a frame has 16
    for second in (1, 2, 3):
        frame_and_sweep(cloud, second)
    go.set()
    until(lambda: cloud.published == 2, 'clouds')
    assert sent == [0, 3] and cloud.failed == 2


def test_a_strange_error_in_making_a_cloud_is_reported_and_the_next_is_made(monkeypatch):
    sent, reported = [], []
    cloud = builder_of(sent, None)
    del cloud._made
    cloud._lidar = False
    cloud._guard.report = lambda error, where: reported.append(str(error))

    def points(sweep, frame):
        if not frame.header.stamp.sec:
            raise RuntimeError('a bug')
        return np.zeros(1, np.dtype([(axis, np.float32) for axis in 'xyz']))

    cloud._from_depth = points
    frame_and_sweep(cloud, 0)
    frame_and_sweep(cloud, 1)
    until(lambda: cloud.published, 'the second cloud')
    assert reported == ['a bug'] and [cloud.header.stamp.sec for cloud in sent] == [1]
    assert (cloud.published, cloud.failed) == (1, 1)


@pytest.fixture
def tf2(monkeypatch):
    """What was done with a stand-in for tf2_ros."""
    done = SimpleNamespace(made=[], gone=[], asked=[], cleared=[])

    class Buffer:
        def clear(self):
            done.cleared.append(1)

        def lookup_transform(self, target, source, time):
            done.asked.append((target, source, time.nanoseconds))
            still = SimpleNamespace(x=0.0, y=0.0, z=0.0, w=1.0)
            return SimpleNamespace(transform=SimpleNamespace(translation=still, rotation=still))

    fake = ModuleType('tf2_ros')
    fake.Buffer, fake.TransformException = Buffer, LookupError
    listener = SimpleNamespace(unregister=lambda: done.gone.append(1))
    fake.TransformListener = lambda buffer, node: done.made.append(node) or listener
    monkeypatch.setitem(sys.modules, 'tf2_ros', fake)
    return done


def test_a_sweep_is_where_the_lidar_was_at_its_stamp(tf2):
    transforms = Transforms.of('node')
    header = Header(frame_id='lidar', stamp=Time(sec=7, nanosec=5))
    np.testing.assert_array_equal(transforms.matrix('camera', header), np.eye(4))
    assert tf2.asked == [('camera', 'lidar', 7_000_000_005)]
    transforms.close()


def test_time_that_jumps_back_forgets_the_transforms_once_for_all_cameras(tf2, monkeypatch):
    now_s = [100.0]
    monkeypatch.setattr(transforms_module.time, 'monotonic', lambda: now_s[0])
    clouds = [cloud_of(_pairing=Pairing(0)) for _ in range(2)]
    for cloud in clouds:
        cloud._transforms = Transforms.of('node')
    for now_s[0] in (100.0, 106.0):
        for cloud in clouds:
            cloud.restart()
    assert len(tf2.cleared) == 2
    for cloud in clouds:
        cloud._transforms.close()


def test_cameras_share_a_listener_of_transforms(tf2):
    made, gone = tf2.made, tf2.gone
    first, second = (Transforms.of('node') for _ in range(2))
    assert first is second and made == ['node']
    first.close()
    assert not gone
    second.close()
    assert gone == [1]
    Transforms.of('node').close()
    assert len(made) == 2


def test_a_disabled_node_publishes_no_cloud_and_keeps_no_sweep(monkeypatch):
    sent = []
    monkeypatch.setattr(PointsOutput, '_hand_over', lambda self, pairs: sent.extend(pairs))
    cloud = cloud_of(_pairing=Pairing(10**9), _paused=False)
    camera = SimpleNamespace(cloud=cloud)
    serving = bare(Serving, cameras=[camera, SimpleNamespace(cloud=None)], _session=Session(), enabled=True)
    frame, sweep = frame_with(None), SimpleNamespace(header=Header(stamp=Time(sec=5)), data=bytes(7))
    arguments = frame.labels, frame.rgb, Header(stamp=Time(sec=5)), None
    cloud.publish(*arguments)  # waits for its sweep
    serving.enable(False)
    cloud._keep(sweep)
    cloud.publish(*arguments)
    assert not sent and not cloud._pairing._sweeps and not cloud._pairing._frames
    serving.enable(True)
    cloud.publish(*arguments)
    cloud._keep(sweep)
    assert [found for _, found in sent] == [sweep]
