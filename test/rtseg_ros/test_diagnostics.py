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
