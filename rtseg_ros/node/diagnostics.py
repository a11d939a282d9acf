# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's diagnostics: what it found, judged, and what to change where something is wrong."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Any, Dict, List, Optional, Tuple

from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from sensor_msgs.msg import CameraInfo, CompressedImage, Image

from rtseg_models.engine.backends import MODULES, Backend, device_index
from rtseg_models.engine.backends.nvidia import gpu_health
from rtseg_models.machine import processor_name, resident_mb, temperature_c, versions

from ..parameters import Settings
from ..statistics import percentiles_text
from ..transport import PROFILE, config_file, profile_variable
from .camera import Camera
from .model import Model
from .points_output import PointsOutput
from .subscription import SuitedSubscription

Finding = Tuple[bytes, str]
HANGING_S = 2.0
"""How long an inference may run where ``latency_error_ms`` is off."""
JUDGED_S = 5.0
"""How long frames must have been asked for before their rate is judged: publishers take a while to be found."""
FEW_DROPS = 3
"""Frames dropped for one reason since the last mask, over ``JUDGED_S``, that are worth an ERROR."""
FEW_CLOUDS = 3
"""Frames in a row without a cloud that are worth a WARN."""
CLOCK_MISSING = 'use_sim_time is true and nothing arrives on /clock; the age check is off until it does'
OF_CAMERAS = ('cameras', 'image_transport', 'image_reliability', 'max_image_pixels', 'cloud', 'cloud_sync_s')
OF_MODEL = (
    *('model', 'weights_root', 'device', 'backend', 'precision', 'cache_dir', 'input_height', 'input_width'),
    *('warmup_iterations', 'self_test', 'deterministic'),
)
"""Parameters that are read at configure, but for ``autostart``."""
OK, WARN, ERROR = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR


@dataclass(frozen=True)
class NodeFacts:
    """What the statuses need to know of the node; texts about errors are empty where all is well."""

    node: str
    state: str
    enabled: bool
    clock_missing: bool
    busy_s: float
    loading: str
    model: Optional[Model]
    size_control: Dict[str, str]
    rate_warning: str
    settings: Settings
    configured: Optional[Settings]
    error: str
    self_test_error: str
    reload_error: str
    unexpected_errors: int


def statuses(facts: NodeFacts, cameras: List[Camera]) -> List[DiagnosticStatus]:
    """All statuses of the node: input, processing and cloud of each camera, model, device."""
    found = []
    for camera in cameras:
        prefix = f'{camera.name} ' if camera.name else ''
        found.append(input_status(facts, camera, prefix))
        found.append(processing_status(facts, camera, prefix))
        if camera.cloud is not None:
            found.append(cloud_status(facts, camera.cloud, prefix))
    return [*found, model_status(facts), device_status(facts)]


def input_status(facts: NodeFacts, camera: Camera, prefix: str) -> DiagnosticStatus:
    """Whether frames arrive and, where they do not, why."""
    source, snapshot = camera.input, camera.statistics.snapshot(camera.input.subscribed_s)
    size, _, encoding = camera.last_frame.partition(' ')
    values = {
        'topic': source.topic,
        'publishers': len(source.publishers()),
        'qos': source.qos,
        'incompatible_qos_events': source.incompatible_events,
        'received': snapshot.received,
        'rate_hz': f'{snapshot.received_hz:.1f}',
        'last_age_s': '' if camera.last_age_s is None else f'{camera.last_age_s:.3f}',
        'encoding': encoding,
        'size': size,
    }
    findings: List[Finding] = []
    if facts.clock_missing:
        findings.append((WARN, CLOCK_MISSING))
    if camera.follow_error:
        findings.append((ERROR, f'cannot subscribe: {camera.follow_error}'))
    elif source.subscribed:
        image = f'{camera.name}/image' if camera.name else 'image'
        findings += _silence(facts, source, f'remap the input with -r {image}:=TOPIC', ' or image_transport')
    elif facts.state == 'active':
        findings.append((OK, 'idle: nobody subscribes to an output'))
    well = facts.state
    if source.subscribed:
        well = 'frames arrive' if source.hears else 'waiting for the first frame'
    return _status(facts, f'{prefix}input', findings or [(OK, well)], values)


def _silence(facts: NodeFacts, source: SuitedSubscription, remap: str, or_change: str = '') -> List[Finding]:
    """An ERROR with the cause where nothing came for ``input_timeout_s``."""
    silent_s = source.silent_s()
    if silent_s < facts.settings.input_timeout_s:
        return []
    if source.incompatible():
        cause = (
            f'{len(source.incompatible())} publisher(s) offer best effort where the subscription demands reliable; set '
            'image_reliability to auto or best_effort'
        )
    elif source.wrong_types():
        cause = (
            f'published there is {", ".join(source.wrong_types())}, expected {source.type_name}; change the topic'
            f'{or_change}'
        )
    elif not source.publishers():
        cause = f'nobody publishes there; {remap}'
    elif source.hears:
        cause = 'its publisher is still there and has stopped sending'
        if source.kind is Image:  # as where a camera begins anew at a larger size
            cause += f', or its images have grown. {_why_lost(source)}'
    else:
        cause = f'{len(source.publishers())} publisher(s) matched but nothing arrives. {_why_lost(source)}'
    what = 'frame' if source.kind in (Image, CompressedImage) else 'message'
    return [(ERROR, f'no {what} on {source.topic} for {silent_s:.1f} s: {cause}')]


def _why_lost(source: SuitedSubscription) -> str:
    if source.kind is CameraInfo:
        return 'A calibration that is published once must be offered reliable and transient local'
    return (
        'Large images get lost between processes that run the defaults of Fast DDS: start the camera with '
        f'{profile_variable(os.environ)}={config_file(PROFILE)}'
    )


def cloud_status(facts: NodeFacts, cloud: PointsOutput, prefix: str) -> DiagnosticStatus:
    """Whether what a cloud needs beside the camera arrives and gives clouds and, where it does not, why."""
    values: Dict[str, Any] = {
        'published': cloud.published,
        'failed': cloud.failed,
        'consecutive_failures': cloud.failed_in_a_row,
        'last_error': cloud.last_error,
    }
    findings: List[Finding] = []
    most = facts.settings.max_consecutive_failures
    if cloud.failed_in_a_row >= min(FEW_CLOUDS, most):
        level = ERROR if cloud.failed_in_a_row >= most else WARN
        findings.append((level, f'{cloud.failed_in_a_row} frames in a row gave no cloud: {cloud.last_error}'))
    for source in cloud.sources:
        name = source.topic
        values[f'{name} publishers'] = len(source.publishers())
        values[f'{name} qos'] = source.qos
        values[f'{name} received'] = source.received
        if source.kind is not CameraInfo or not source.received:  # a calibration may come once
            findings += _silence(facts, source, 'remap it in the launch file')
    idle = facts.state == 'active' and not cloud.sources[0].subscribed
    return _status(facts, f'{prefix}cloud', findings or [(OK, 'idle: nobody subscribes to it')] * idle, values)


def processing_status(facts: NodeFacts, camera: Camera, prefix: str) -> DiagnosticStatus:
    """What became of the frames, and how fast."""
    snapshot, settings = camera.statistics.snapshot(camera.input.subscribed_s), facts.settings
    values: Dict[str, Any] = {
        'published': snapshot.published,
        'rate_hz': f'{snapshot.published_hz:.1f}',
        **{f'dropped_{reason}': count for reason, count in snapshot.dropped.items()},
        'failed': snapshot.failed,
        'consecutive_failures': snapshot.consecutive_failures,
        'in_flight': snapshot.in_flight,
        'unexpected_errors': facts.unexpected_errors,
    }
    for stage, figures in snapshot.latency_ms.items():
        values[f'{stage}_ms'] = percentiles_text(figures)
    findings: List[Finding] = []
    if camera.input.subscribed and snapshot.consecutive_failures >= settings.max_consecutive_failures:
        findings.append((ERROR, f'{snapshot.consecutive_failures} frames failed in a row; see the log'))
    if facts.busy_s > (settings.latency_error_ms / 1e3 or HANGING_S):
        findings.append((ERROR, f'an inference has been running for {facts.busy_s:.1f} s'))
    if 'total' in snapshot.latency_ms:
        p95_ms = snapshot.latency_ms['total']['p95']
        for level, name in ((ERROR, 'latency_error_ms'), (WARN, 'latency_warn_ms')):
            limit_ms = getattr(settings, name)
            if 0 < limit_ms < p95_ms:
                findings.append((level, f'p95 latency is {p95_ms:.0f} ms; {name} is {limit_ms:g}'))
                break
    judged = camera.input.subscribed and snapshot.rates_over_s >= JUDGED_S
    if judged and snapshot.published_hz < settings.min_rate_hz:
        findings.append((WARN, f'{snapshot.published_hz:.1f} masks a second; min_rate_hz is {settings.min_rate_hz:g}'))
    reason, count = max(snapshot.faults.items(), key=lambda item: item[1], default=('', 0))
    if camera.input.subscribed and snapshot.faulty_s >= JUDGED_S and count >= FEW_DROPS:
        findings.append((ERROR, f'no mask: {count} frames were dropped ({reason}); the log tells why'))
    if not facts.enabled:
        findings.append((WARN, 'disabled by ~/enable: every frame is dropped'))
    return _status(facts, f'{prefix}processing', findings, values)


def model_status(facts: NodeFacts) -> DiagnosticStatus:
    """The network that serves."""
    values: Dict[str, Any] = {'state': facts.state, 'requested': facts.settings.model}
    findings: List[Finding] = []
    if facts.model is None:
        findings.append((ERROR, f'no model: {facts.error or facts.state}'))
    else:
        pipeline, bundle, agreement = facts.model.pipeline, facts.model.bundle, facts.model.agreement
        tested = 'not done' if agreement is None else f'{100 * agreement:.2f} % of the golden sample'
        values.update(
            bundle=str(bundle.path),
            sha256=bundle.card.weights_sha256,
            classes=bundle.card.classes,
            input_size='{}x{}'.format(*pipeline.input_size),
            precision=pipeline.backend.precision,
            backend=pipeline.backend.name,
            self_test=facts.self_test_error or tested,
            loading=facts.loading,
            **facts.size_control,
        )
        if facts.self_test_error:
            findings.append((ERROR, f'self-test: {facts.self_test_error}'))
        else:
            findings.append((OK, facts.model.describe()))
        findings += _unheeded(facts, facts.model)
    if facts.rate_warning:
        findings.append((WARN, facts.rate_warning))
    values['last_reload_error'] = facts.reload_error
    if facts.reload_error:
        findings.append((WARN, f'the last reload failed and the old network serves: {facts.reload_error}'))
    return _status(facts, 'model', findings, values)


def _unheeded(facts: NodeFacts, model: Model) -> List[Finding]:
    """A WARN where parameters that are read at configure were changed since."""
    in_use = dict.fromkeys(OF_CAMERAS, facts.configured) if facts.configured else {}
    in_use.update(dict.fromkeys(OF_MODEL, model.settings))  # which a reload takes, too
    late = [name for name, used in in_use.items() if getattr(used, name) != getattr(facts.settings, name)]
    when = 'cleanup and configure' + ('' if set(late) & {*OF_CAMERAS} else ', or ~/reload_model')
    return [(WARN, f'changed, but takes effect only after {when}: {", ".join(late)}')] if late else []


def device_status(facts: NodeFacts) -> DiagnosticStatus:
    """What the network runs on."""
    backend = None if facts.model is None else facts.model.pipeline.backend
    memory_mb, hottest_c = resident_mb(), temperature_c()
    fallback = '' if backend is None else backend.fallback
    values: Dict[str, Any] = {
        'requested': facts.settings.device,
        'actual': '' if backend is None else backend.device,
        'name': _device_name(backend),
        **{f'version_{name}': text for name, text in versions(('numpy', *MODULES.values(), 'onnxruntime-gpu')).items()},
        'memory_mb': '' if memory_mb is None else f'{memory_mb:.0f}',
        'temperature_c': '' if hottest_c is None else f'{hottest_c:.0f}',
        'fallback': fallback,
    }
    if backend is not None and backend.device != 'cpu':
        health = gpu_health(device_index(backend.device))
        told = {'gpu_memory_mb': health.memory_mb, 'gpu_temperature_c': health.temperature_c}
        values.update({name: f'{value:.0f}' for name, value in told.items() if value is not None})
    return _status(facts, 'device', [(WARN, f'fallback: {fallback}')] if fallback else [], values)


def _device_name(backend: Optional[Backend]) -> str:
    if backend is None or backend.device == 'cpu':
        return processor_name()
    return getattr(backend, 'device_name', '') or backend.device


def _status(facts: NodeFacts, name: str, findings: List[Finding], values: Dict[str, Any]) -> DiagnosticStatus:
    """The worst finding gives the level; the message tells all of that level."""
    level = max((level for level, _ in findings), default=OK)
    message = '; '.join(text for found, text in findings if found == level) or 'ok'
    rows = [KeyValue(key=key, value=str(value)) for key, value in values.items()]
    return DiagnosticStatus(level=level, name=f'{facts.node}: {name}', message=message, values=rows)
