# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What diagnostics say of facts that a node on a CPU does not come by."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')
from diagnostic_msgs.msg import DiagnosticStatus
from sensor_msgs.msg import CompressedImage, Image

from rtseg_models.engine.backends.nvidia import GpuHealth
from rtseg_ros.node import diagnostics
from rtseg_ros.node.diagnostics import (
    OF_CAMERAS,
    OF_MODEL,
    cloud_status,
    device_status,
    input_status,
    model_status,
    processing_status,
)
from rtseg_ros.node.model import Model
from rtseg_ros.parameters import PARAMETERS, Settings
from rtseg_ros.statistics import Statistics


def facts(**known):
    return SimpleNamespace(settings=Settings(), unexpected_errors=0, enabled=True, node='segmentation', **known)


@pytest.mark.parametrize(
    'latency_error_ms, busy_s, level',
    [(500.0, 0.4, DiagnosticStatus.OK), (500.0, 0.6, DiagnosticStatus.ERROR), (0.0, 0.6, DiagnosticStatus.OK),
     (0.0, 2.5, DiagnosticStatus.ERROR)],
)  # fmt: skip
def test_an_inference_that_hangs_is_an_error_whether_or_not_latency_is_watched(latency_error_ms, busy_s, level):
    known = facts(busy_s=busy_s)
    known.settings = replace(known.settings, latency_error_ms=latency_error_ms)
    camera = camera_of(Statistics())
    status = processing_status(known, camera, '')
    assert status.level == level
    assert ('an inference has been running' in status.message) == (level == DiagnosticStatus.ERROR)


@pytest.mark.parametrize(
    'backend, name',
    [
        (SimpleNamespace(device='cuda', device_name='Orin', fallback=''), 'Orin'),
        (SimpleNamespace(device='cuda:1', device_name='', fallback=''), 'cuda:1'),
    ],
)
def test_the_device_on_a_gpu_is_the_gpu(backend, name, monkeypatch):
    monkeypatch.setattr(diagnostics, 'gpu_health', lambda index: GpuHealth(2048.4, None))
    model = SimpleNamespace(pipeline=SimpleNamespace(backend=backend))
    values = {entry.key: entry.value for entry in device_status(facts(model=model)).values}
    assert (values['actual'], values['name']) == (backend.device, name)
    assert values.get('gpu_memory_mb') == (None if backend.device == 'cpu' else '2048')
    assert 'gpu_temperature_c' not in values


@pytest.mark.parametrize('subscribed', [True, False])
def test_frames_that_failed_are_told_while_somebody_listens(subscribed):
    statistics = Statistics()
    for _ in range(Settings().max_consecutive_failures):
        statistics.failed()
    camera = camera_of(statistics)
    camera.input.subscribed = subscribed
    status = processing_status(facts(busy_s=0.0), camera, '')
    assert (status.level == DiagnosticStatus.ERROR) == ('frames failed in a row' in status.message) == subscribed


def test_every_parameter_that_waits_for_configure_is_looked_at():
    late = {name for name, parameter in PARAMETERS.items() if not parameter.dynamic}
    assert late == {*OF_CAMERAS, *OF_MODEL, 'autostart'}


@pytest.mark.parametrize(
    'changes, told',
    [
        ({}, ''),
        ({'max_rate_hz': 5.0}, ''),  # heeded at any time
        ({'cloud': 'depth', 'precision': 'fp32'}, 'takes effect only after cleanup and configure: cloud, precision'),
        ({'max_image_pixels': 1}, 'takes effect only after cleanup and configure: max_image_pixels'),
    ],
)
def test_parameters_that_wait_for_the_next_configure_are_told(changes, told, tiny_bundle):
    pipeline = SimpleNamespace(input_size=(64, 96), backend=SimpleNamespace(name='b', device='cpu', precision='fp32'))
    model = Model(pipeline, 1.0, None, Settings())
    pipeline.bundle = tiny_bundle
    known = facts(
        model=model, configured=Settings(), state='inactive', loading='', size_control={}, self_test_error='',
        rate_warning='', reload_error='', error='',
    )  # fmt: skip
    known.settings = replace(known.settings, **changes)
    status = model_status(known)
    assert status.level == (DiagnosticStatus.WARN if told else DiagnosticStatus.OK)
    assert told in status.message


@pytest.mark.parametrize(
    'total_ms, changes, level, told',
    [
        (10.0, {}, DiagnosticStatus.OK, ''),
        (200.0, {}, DiagnosticStatus.WARN, 'latency_warn_ms'),
        (600.0, {}, DiagnosticStatus.ERROR, 'latency_error_ms'),
        (600.0, {'latency_error_ms': 0.0}, DiagnosticStatus.WARN, 'latency_warn_ms'),
        (10.0, {'min_rate_hz': 5.0}, DiagnosticStatus.WARN, 'min_rate_hz'),
    ],
)
def test_slow_masks_are_told_by_their_limit(total_ms, changes, level, told):
    status = processing(total_ms, **changes)
    assert status.level == level and told in status.message


@pytest.mark.parametrize(
    'failed, most, level',
    [(0, 10, DiagnosticStatus.OK), (2, 10, DiagnosticStatus.OK), (3, 10, DiagnosticStatus.WARN),
     (9, 10, DiagnosticStatus.WARN), (10, 10, DiagnosticStatus.ERROR), (1, 1, DiagnosticStatus.ERROR)],
)  # fmt: skip
def test_clouds_that_fail_in_a_row_are_told_with_the_reason(failed, most, level):
    known = facts(state='active')
    known.settings = replace(known.settings, max_consecutive_failures=most)
    source = SimpleNamespace(topic='/depth', publishers=list, qos='', received=1, silent_s=lambda: 0.0)
    source.kind, source.subscribed = Image, True
    cloud = SimpleNamespace(published=5, failed=20, failed_in_a_row=failed, last_error='no transform', sources=[source])
    status = cloud_status(known, cloud, '')
    assert status.level == level
    assert ('no transform' in status.message) == (level != DiagnosticStatus.OK)


def test_a_disabled_node_says_so():
    known = facts(busy_s=0.0)
    known.enabled = False
    assert 'disabled' in processing(10.0, known).message


@pytest.mark.parametrize(
    'reason, masks, level',
    [
        ('stale', 0, DiagnosticStatus.ERROR),
        ('bad_encoding', 0, DiagnosticStatus.ERROR),
        ('stale', 1, DiagnosticStatus.OK),
        ('busy', 0, DiagnosticStatus.OK),
    ],
)
def test_frames_that_are_all_dropped_are_an_error_with_the_reason(reason, masks, level):
    clock = Clock(100.0)
    statistics = Statistics(clock)
    for _ in range(60):
        clock.now_s += 0.1
        for dropped in ('busy', 'busy', reason):  # as where cameras share a slow network
            statistics.received()
            statistics.dropped(dropped)
    for _ in range(masks):
        statistics.published({'total': 10.0})
    status = processing_status(facts(busy_s=0.0), camera_of(statistics, 100.0), '')
    assert status.level == level and ((f'60 frames were dropped ({reason})') in status.message) == (level != b'\0')
    statistics.restart_window()  # as often as a clip of a few seconds begins again
    clock.now_s += 10
    assert processing_status(facts(busy_s=0.0), camera_of(statistics, 100.0), '').level == level
    statistics.published({'total': 10.0})
    assert processing_status(facts(busy_s=0.0), camera_of(statistics, 100.0), '').level == DiagnosticStatus.OK


def test_drops_at_the_start_are_no_error_yet():
    clock = Clock(100.0)
    statistics = Statistics(clock)
    statistics.dropped('stale', 30)
    clock.now_s += 4
    assert processing_status(facts(busy_s=0.0), camera_of(statistics, 100.0), '').level == DiagnosticStatus.OK


def test_a_topic_that_cannot_be_subscribed_is_an_error():
    source = SimpleNamespace(topic='/image', qos='', incompatible_events=0, subscribed_s=None, publishers=list)
    source.received, source.subscribed = 0, False
    camera = SimpleNamespace(name='', input=source, statistics=Statistics(), last_frame='', last_age_s=None)
    camera.follow_error = 'RCLError: two types'
    status = input_status(facts(clock_missing=False, state='active'), camera, '')
    assert (status.level, status.message) == (DiagnosticStatus.ERROR, 'cannot subscribe: RCLError: two types')


def camera_of(statistics, subscribed_s=None):
    source = SimpleNamespace(subscribed=subscribed_s is not None, subscribed_s=subscribed_s)
    return SimpleNamespace(statistics=statistics, input=source)


def processing(total_ms, known=None, **changes):
    """The status of a camera whose only mask took so long, six seconds after the subscription."""
    clock = Clock(100.0)
    statistics = Statistics(clock)
    clock.now_s += 6
    statistics.published({'total': total_ms})
    known = known or facts(busy_s=0.0)
    known.settings = replace(known.settings, **changes)
    return processing_status(known, camera_of(statistics, 100.0), '')


class Clock:
    def __init__(self, now_s):
        self.now_s = now_s

    def __call__(self):
        return self.now_s


def test_a_viewer_who_comes_later_finds_the_rate_of_the_camera_and_no_warning():
    clock, known = Clock(100.0), facts(busy_s=0.0)
    known.settings = replace(known.settings, min_rate_hz=8.0)
    statistics = Statistics(clock)
    clock.now_s = 160.0
    camera = camera_of(statistics, 160.0)
    for tenth in range(1, 201):
        clock.now_s = 160.0 + tenth / 10
        if tenth > 5:  # the camera finds the new subscription
            statistics.received()
            statistics.published({'total': 10.0})
        status = processing_status(known, camera, '')
        assert status.level == DiagnosticStatus.OK, (clock.now_s, status.message)
    assert {entry.key: entry.value for entry in status.values}['rate_hz'] == '10.0'
    clock.now_s += 5
    assert 'min_rate_hz' in processing_status(known, camera, '').message


def test_an_idle_node_tells_no_latency_of_the_past():
    clock, known = Clock(100.0), facts(busy_s=0.0)
    statistics = Statistics(clock)
    statistics.published({'total': 600.0})
    assert processing_status(known, camera_of(statistics), '').level == DiagnosticStatus.ERROR
    clock.now_s += 10
    assert processing_status(known, camera_of(statistics), '').level == DiagnosticStatus.OK


@pytest.mark.parametrize(
    ('kind', 'hears', 'told', 'untold'),
    [
        (Image, True, 'has stopped sending, or its images have grown. Large images get lost', 'matched'),
        (Image, False, '1 publisher(s) matched but nothing arrives. Large images get lost', 'silent'),
        (CompressedImage, True, 'has stopped sending', 'Large'),
    ],
)
def test_an_input_that_was_heard_once_is_judged_by_its_present_subscription(kind, hears, told, untold):
    """As where a camera begins anew at a size that the transport loses."""
    source = SimpleNamespace(
        topic='/image',
        qos='',
        kind=kind,
        incompatible_events=0,
        received=9,
        hears=hears,
        subscribed=True,
        subscribed_s=1.0,
        silent_s=lambda: 60.0,
        publishers=lambda: ['camera'],
        incompatible=list,
        wrong_types=list,
    )
    camera = SimpleNamespace(name='', input=source, statistics=Statistics(), last_frame='', last_age_s=None)
    camera.follow_error = ''
    status = input_status(facts(clock_missing=False, state='active'), camera, '')
    assert status.level == DiagnosticStatus.ERROR
    assert told in status.message and untold not in status.message
