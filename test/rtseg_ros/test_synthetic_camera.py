# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The synthetic camera: frames rendered ahead and kept, and the real node over real DDS."""

from __future__ import annotations

import errno
import os
import shutil
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

pytest.importorskip('rclpy')
from node_process import Probe, environment, until
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image

from rtseg_models.street import Street
from rtseg_ros import shell
from rtseg_ros.sources.rendered_street import ABANDONED_S, Interrupted, StreetSpec, render_ahead

SPEC = StreetSpec(seed=5, height=96, width=128, rate_hz=10.0, frames=4, depth=True)


@pytest.fixture(scope='module')
def cache(tmp_path_factory):
    """A cache folder that holds ``SPEC``."""
    folder = tmp_path_factory.mktemp('cache')
    render_ahead(SPEC, folder)
    return folder


def test_frames_rendered_ahead_are_the_street_s(cache):
    rendered, street = render_ahead(SPEC, cache), Street(5, height=96, width=128, rate_hz=10.0)
    assert len(rendered) == 4
    for i in range(4):
        frame = street.frame(i)
        np.testing.assert_array_equal(rendered.rgb[i], frame.rgb)
        np.testing.assert_array_equal(rendered.label[i], frame.label)
        np.testing.assert_array_equal(rendered.depth_m[i], frame.depth_m)
    np.testing.assert_array_equal(rendered.camera_matrix, street.camera_matrix)


def test_the_cache_is_its_owners_alone(cache, monkeypatch, tmp_path):
    def copied(spec, staging, *_):
        shutil.copytree(cache / 'street' / spec.key(), staging, dirs_exist_ok=True)

    monkeypatch.setattr('rtseg_ros.sources.rendered_street._render', copied)
    render_ahead(SPEC, tmp_path / 'new' / 'cache')
    assert [(tmp_path / 'new' / name).stat().st_mode & 0o777 for name in ('cache', 'cache/street')] == [0o700] * 2


def test_a_second_run_renders_nothing(cache, monkeypatch):
    monkeypatch.setattr('rtseg_ros.sources.rendered_street._render', lambda *_: pytest.fail('rendered again'))
    told = []
    render_ahead(SPEC, cache, progress=told.append)
    assert told == [4]


def test_every_field_and_the_renderer_decide_about_the_cache(monkeypatch, tmp_path):
    others = [StreetSpec(6, 96, 128, 10.0, 4, True), StreetSpec(5, 96, 128, 10.0, 4, False)]
    others += [StreetSpec(5, 96, 128, 5.0, 4, True), StreetSpec(5, 128, 96, 10.0, 4, True)]
    keys = {spec.key() for spec in [SPEC, *others]}
    assert len(keys) == 5
    (tmp_path / '__init__.py').write_text('# another renderer\n')
    monkeypatch.setattr('rtseg_models.street.__file__', str(tmp_path / '__init__.py'))
    assert SPEC.key() not in keys


def test_interrupted_rendering_leaves_nothing(tmp_path):
    with pytest.raises(Interrupted):
        render_ahead(StreetSpec(5, 96, 128, 10.0, 10_000, False), tmp_path, stopped=lambda: True)
    assert list((tmp_path / 'street').iterdir()) == []


def test_a_folder_that_cannot_be_written_is_an_os_error(tmp_path):
    (tmp_path / 'street').write_text('a file where the folder should be')
    with pytest.raises(OSError):
        render_ahead(SPEC, tmp_path)


def test_old_streets_make_room(cache, monkeypatch, tmp_path):
    first = StreetSpec(1, 64, 64, 10.0, 1, False)
    render_ahead(first, tmp_path)
    monkeypatch.setattr('rtseg_ros.sources.rendered_street.CACHE_BYTES', 1000)
    second = StreetSpec(2, 64, 64, 10.0, 1, False)
    render_ahead(second, tmp_path)
    assert [p.name for p in (tmp_path / 'street').iterdir()] == [second.key()]


def test_what_a_killed_process_left_half_rendered_is_removed(cache, tmp_path):
    for name, age_s in (('.rendering-old', ABANDONED_S + 60), ('.rendering-new', 60)):
        (tmp_path / 'street' / name).mkdir(parents=True)
        os.utime(tmp_path / 'street' / name, (time.time() - age_s,) * 2)
    spec = StreetSpec(1, 64, 64, 10.0, 1, False)
    render_ahead(spec, tmp_path)
    assert sorted(p.name for p in (tmp_path / 'street').iterdir()) == ['.rendering-new', spec.key()]


def test_a_disk_that_is_full_is_one_sentence(monkeypatch, capsys):
    def serve(stop):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(shell, 'initialise', lambda arguments: [])
    monkeypatch.setattr(shell, 'answer_signals', lambda answer: None)
    monkeypatch.setattr(shell.signal, 'signal', lambda *_: None)
    monkeypatch.setattr(shell.rclpy, 'try_shutdown', lambda: None)
    assert shell.run('synthetic_camera', [], serve) == 70
    assert capsys.readouterr().err == 'synthetic_camera: [Errno 28] No space left on device\n'


def start(*assignments: str, **more: str) -> subprocess.Popen:
    command = [sys.executable, '-m', 'rtseg_ros.synthetic_camera', '--ros-args']
    for assignment in assignments:
        command += ['-p', assignment]
    return subprocess.Popen(
        command,
        env=environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def spec_arguments(cache) -> list:
    return [f'seed:={SPEC.seed}', 'height:=96', 'width:=128', 'frames:=4', f'cache_dir:={cache}']


@pytest.fixture
def probe():
    probe = Probe()
    yield probe
    probe.close()


def test_what_it_publishes_is_the_street(probe, cache):
    topics = {'image': Image, 'label': Image, 'depth/image': Image, 'camera_info': CameraInfo}
    topics['depth/camera_info'] = CameraInfo
    for topic, kind in topics.items():
        probe.subscribe(topic, kind)
    camera = start(*spec_arguments(cache), 'loop:=false', 'wait_for_subscribers:=1', 'frame_id:=front')
    _, errors = camera.communicate(timeout=30)
    assert camera.returncode == 0, errors
    until(lambda: all(len(probe.received[t]) == 4 for t in topics), 'four frames on every topic')
    street = Street(SPEC.seed, height=96, width=128, rate_hz=10.0)
    for i in range(4):
        frame = street.frame(i)
        messages = {topic: probe.received[topic][i] for topic in topics}
        image, label, depth = messages['image'], messages['label'], messages['depth/image']
        assert {m.header.frame_id for m in messages.values()} == {'front'}
        assert len({(m.header.stamp.sec, m.header.stamp.nanosec) for m in messages.values()}) == 1
        assert [m.encoding for m in (image, label, depth)] == ['rgb8', 'mono8', '32FC1']
        assert [m.step for m in (image, label, depth)] == [3 * 128, 128, 4 * 128]
        assert image.data.tobytes() == frame.rgb.tobytes()
        assert label.data.tobytes() == frame.label.tobytes()
        assert depth.data.tobytes() == frame.depth_m.tobytes()
        for info in (messages['camera_info'], messages['depth/camera_info']):
            assert (info.height, info.width) == (96, 128)
            np.testing.assert_array_equal(np.array(info.k).reshape(3, 3), street.camera_matrix)
            np.testing.assert_array_equal(np.array(info.p).reshape(3, 4)[:, :3], street.camera_matrix)


def test_it_loops_at_its_rate_and_offers_best_effort(probe, cache):
    camera = start(*spec_arguments(cache), 'reliability:=best_effort')
    probe.subscribe('label', Image, QoSProfile(depth=50, reliability=ReliabilityPolicy.BEST_EFFORT))
    try:
        until(lambda: len(probe.received['label']) > 8, 'more frames than were rendered', 30)
        offers = probe.node.get_publishers_info_by_topic('/label')
        assert [o.qos_profile.reliability for o in offers] == [ReliabilityPolicy.BEST_EFFORT]
    finally:
        camera.send_signal(signal.SIGINT)
        _, errors = camera.communicate(timeout=10)
    assert camera.returncode == 0 and 'Traceback' not in errors, errors
    labels = [m.data.tobytes() for m in probe.received['label']]
    assert labels[4:8] == labels[:4] and len(set(labels[:4])) == 4
    stamps = [m.header.stamp.sec + 1e-9 * m.header.stamp.nanosec for m in probe.received['label']]
    assert np.median(np.diff(stamps)) == pytest.approx(0.1, abs=0.05)


@pytest.mark.parametrize('number, delay_s', [(signal.SIGINT, 0.3), (signal.SIGINT, 1.5), (signal.SIGTERM, 1.5)])
def test_a_signal_ends_it_while_it_renders(number, delay_s, tmp_path):
    camera = start('frames:=5000', 'height:=96', 'width:=128', f'cache_dir:={tmp_path}')
    until(lambda: any(tmp_path.glob('street/.rendering-*/rgb.npy')), 'rendering', 30)
    time.sleep(delay_s)  # the shorter one finds the workers at their imports
    if number == signal.SIGINT:
        os.killpg(camera.pid, number)  # as Ctrl-C in a terminal
    else:
        camera.send_signal(number)
    _, errors = camera.communicate(timeout=10)
    assert camera.returncode == 0 and 'Traceback' not in errors, errors
    assert list((tmp_path / 'street').iterdir()) == []


@pytest.mark.parametrize(
    'assignment, expected',
    [
        ('height:=24', "'height' needs a whole number from 64 to 2160"),
        ('height:=tall', "'height' needs a whole number"),
        ('rate_hz:=0.0', "'rate_hz' needs a number from 0.1 to 100"),
        ('reliability:=maybe', "'reliability' cannot be 'maybe'; expected reliable or best_effort"),
    ],
)
def test_a_parameter_that_cannot_be_had_is_refused(assignment, expected):
    camera = start(assignment)
    _, errors = camera.communicate(timeout=30)
    assert camera.returncode == 64
    assert expected in errors and len(errors.strip().splitlines()) == 1, errors


def test_a_log_folder_that_cannot_be_had_is_no_usage_error():
    camera = start(ROS_LOG_DIR='/proc/none')
    _, errors = camera.communicate(timeout=30)
    assert camera.returncode == 70 and 'cannot start logging' in errors, errors


def test_an_unwritable_cache_is_told_and_done_without(probe, tmp_path):
    (tmp_path / 'street').write_text('a file where the folder should be')
    temporary = tmp_path / 'temporary'
    temporary.mkdir()
    probe.subscribe('label', Image)
    arguments = spec_arguments(tmp_path)
    camera = start(*arguments, 'loop:=false', 'wait_for_subscribers:=0', 'publish_depth:=false', TMPDIR=str(temporary))
    _, errors = camera.communicate(timeout=90)
    assert camera.returncode == 0 and 'cannot be kept' in errors, errors
    assert not list(temporary.glob('rtseg_street_*'))
