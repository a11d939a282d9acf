# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What diagnostics say of facts that a node on a CPU does not come by."""

from dataclasses import replace
from types import SimpleNamespace

import pytest

pytest.importorskip('rclpy')
from diagnostic_msgs.msg import DiagnosticStatus

from rtseg_ros.node.diagnostics import device_status, processing_status
from rtseg_ros.parameters import Settings
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
    camera = SimpleNamespace(statistics=Statistics(), input=SimpleNamespace(subscribed=False))
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
def test_the_device_on_a_gpu_is_the_gpu(backend, name):
    model = SimpleNamespace(pipeline=SimpleNamespace(backend=backend))
    values = {entry.key: entry.value for entry in device_status(facts(model=model)).values}
    assert (values['actual'], values['name']) == (backend.device, name)


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


def test_a_disabled_node_says_so():
    known = facts(busy_s=0.0)
    known.enabled = False
    assert 'disabled' in processing(10.0, known).message


def processing(total_ms, known=None, **changes):
    statistics = Statistics()
    statistics.published({'total': total_ms})
    known = known or facts(busy_s=0.0)
    known.settings = replace(known.settings, **changes)
    return processing_status(known, SimpleNamespace(statistics=statistics, input=SimpleNamespace(subscribed=True)), '')
