# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From the demo's recording to its results: figures, video and bag in one pass over the frames."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import cv2
import numpy as np

from rtseg_models.bundle import Bundle
from rtseg_models.machine import machine_facts

from ..bag import MaskBagWriter
from ..replay.class_mapping import ClassMapping
from ..report import PARTICIPANTS, Example, FrameMeter, FrameRecord, RunSummary, bundle_facts
from ..reporting.choice import Candidate, worth_showing
from ..reporting.measures import figures
from ..statistics import percentiles_from
from .picture import Screen
from .recording import Passage, Recording
from .video import VideoWriter

MASK_TOPIC = '/segmentation/mask'


@dataclass(frozen=True)
class Run:
    """What was asked for: ``source`` in words for the report, the pace of the video, whose ids the labels have."""

    title: str
    source: Dict[str, Any]
    video_rate_hz: float
    truth_classes: str
    notes: List[str]


def write_results(
    recording: Recording, bundle: Bundle, run: Run, out: Path, progress: Callable[[int], None]
) -> RunSummary:
    """Write ``overlay.mp4`` and the bag ``masks`` into ``out`` and give what was measured."""
    served = [p for p in recording.passages.values() if p.mask_received_ns is not None]
    mapping = ClassMapping(bundle.card.class_names, bundle.card.ignore_id, run.truth_classes)
    stages = _stage_ms(recording, served)
    meter = _Meter(bundle, mapping)
    records: List[FrameRecord] = []
    screen: Optional[Screen] = None
    with ExitStack() as stack:
        masks = stack.enter_context(MaskBagWriter(out / 'masks'))
        for index, passage in enumerate(served):
            labels = recording.get('mask', passage.stamp_ns)
            rgb = recording.get('image', passage.stamp_ns)
            if labels is None:
                continue
            truth = meter.truth(recording.get('label', passage.stamp_ns), index)
            record = meter.measure(labels, truth, passage, index, stages[index])
            records.append(record)
            masks.write(MASK_TOPIC, passage.stamp_ns, labels, frame_id=passage.frame_id)
            if rgb is not None:
                if screen is None:
                    screen = Screen(labels.shape[:2], bundle.card.class_names, bundle.card.colours)
                    video = stack.enter_context(VideoWriter(out / 'overlay.mp4', screen.size, run.video_rate_hz))
                video.write(screen.compose(rgb, labels, truth, _caption(bundle, record, index, len(served))))
            progress(index + 1)
    summary = _summary(recording, bundle, run, mapping, served, records)
    summary.examples = _examples(recording, meter, summary)
    return summary


class _Meter:
    """Measures frames; the truth may have another size than the masks."""

    def __init__(self, bundle: Bundle, mapping: ClassMapping) -> None:
        self._mapping = mapping
        self._masks, self._at_label_size = FrameMeter(bundle.card), FrameMeter(bundle.card)

    def truth(self, label: Optional[np.ndarray], index: int) -> Optional[np.ndarray]:
        """The label (h,w) in the bundle's ids; BundleError lists ids that are no classes."""
        return None if label is None else self._mapping(label, f'ground truth of frame {index}')

    def measure(
        self, labels: np.ndarray, truth: Optional[np.ndarray], passage: Passage, index: int, stage_ms: Dict[str, float]
    ) -> FrameRecord:
        facts: Dict[str, Any] = {'topic': MASK_TOPIC, 'stamp_ns': passage.stamp_ns, 'frame_id': passage.frame_id}
        facts.update(index=index, stage_ms=stage_ms)
        if truth is None or truth.shape == labels.shape:
            return self._masks.measure(labels, truth=truth, **facts)
        fitted = cv2.resize(labels, truth.shape[::-1], interpolation=cv2.INTER_NEAREST)
        compared = self._at_label_size.measure(np.asarray(fitted), truth=truth, **facts)
        record = self._masks.measure(labels, **facts)
        return replace(record, confusion=compared.confusion, steady_flicker=compared.steady_flicker)


def _stage_ms(recording: Recording, served: List[Passage]) -> List[Dict[str, float]]:
    """Milliseconds of each frame on its way: inside the node, waiting in it, and between the processes."""
    ways = [
        None if p.image_sent_ns is None or p.mask_received_ns is None else (p.mask_received_ns - p.image_sent_ns) / 1e6
        for p in served
    ]
    if not len(recording.processing_ms) == len(recording.latency_ms) == len(served):
        return [{} if way is None else {'camera to recorder': way} for way in ways]
    return [
        {} if way is None else {'transport': max(0.0, way - latency), 'wait': latency - processing, 'node': processing}
        for way, processing, latency in zip(ways, recording.processing_ms, recording.latency_ms)
    ]


def _summary(
    recording: Recording,
    bundle: Bundle,
    run: Run,
    mapping: ClassMapping,
    served: List[Passage],
    records: List[FrameRecord],
) -> RunSummary:
    arrivals = [p.mask_received_ns for p in served if p.mask_received_ns is not None]
    span_s = (arrivals[-1] - arrivals[0]) / 1e9
    summary = RunSummary(
        title=run.title,
        source=run.source,
        bundle=bundle_facts(bundle),
        class_names=list(bundle.card.class_names),
        colours=list(bundle.card.colours),
        records=records,
        dropped=_dropped(recording, len(served)),
        fps=(len(arrivals) - 1) / span_s if span_s > 0 else None,
        machine=machine_facts(PARTICIPANTS),
        settings=_settings(recording),
        notes=list(run.notes),
        created=time.strftime('%Y-%m-%d %H:%M UTC', time.gmtime()),
    )
    if summary.has_truth:
        summary.evaluable, summary.unmapped = mapping.evaluable, mapping.unmapped
    summary.node_stage_ms = node_stage_ms(recording)
    if summary.node_stage_ms:
        medians = ', '.join(f'{stage} {figures["p50"]:.1f} ms' for stage, figures in summary.node_stage_ms.items())
        summary.notes.append(f'Medians inside the node: {medians}.')
    return summary


def _status(recording: Recording, name: str) -> Dict[str, str]:
    """The node's last status of this name; empty where none came."""
    return next((v for key, v in recording.diagnostics.items() if key.endswith(f'segmentation: {name}')), {})


def node_stage_ms(recording: Recording) -> Dict[str, Dict[str, float]]:
    """Percentiles of the stages between waiting and sending, over the node's last 300 frames, from its diagnostics."""
    found = {}
    for key, value in _status(recording, 'processing').items():
        stage, told = key[: -len('_ms')], percentiles_from(value)
        if told and stage not in ('wait', 'total', 'age'):  # measured frame by frame, to the recorder
            found[stage] = told
    return found


def _dropped(recording: Recording, served: int) -> Dict[str, int]:
    """Frames without a mask by the node's reason; ``lost`` are those that it never counted."""
    counts = _status(recording, 'processing')
    dropped = {k[len('dropped_') :]: int(v) for k, v in counts.items() if k.startswith('dropped_') and v != '0'}
    if counts.get('failed', '0') != '0':
        dropped['failed'] = int(counts['failed'])
    lost = len(recording.passages) - served - sum(dropped.values())
    if lost > 0:
        dropped['lost'] = lost
    return dropped


def _settings(recording: Recording) -> Dict[str, Any]:
    """Backend, precision, input size and device as the node tells them."""
    model, device = _status(recording, 'model'), _status(recording, 'device')
    settings: Dict[str, Any] = {k: model[k] for k in ('backend', 'precision') if k in model}
    if 'x' in model.get('input_size', ''):
        settings['input_size'] = [int(v) for v in model['input_size'].split('x')]
    if device.get('actual'):
        settings['device'] = device['actual']
    return settings


def _caption(bundle: Bundle, record: FrameRecord, index: int, count: int) -> str:
    parts = [bundle.name, f'frame {index + 1} of {count}']
    way_ms = sum(record.stage_ms.values())
    if way_ms:
        parts.append(f'image to mask {way_ms:.0f} ms')
    return '   |   '.join([*parts, *filter(None, [_accuracy(record)])])


def _examples(recording: Recording, meter: _Meter, summary: RunSummary) -> List[Example]:
    """The frames to show."""
    scores = [_miou(record, summary) if record.confusion else None for record in summary.masks]
    candidates = [Candidate(MASK_TOPIC, record.index, score) for record, score in zip(summary.masks, scores)]
    return [_example(recording, meter, why, summary.masks[i], summary) for why, i in worth_showing(candidates)]


def _miou(record: FrameRecord, summary: RunSummary) -> float:
    return figures(record.matrix(len(summary.class_names)), summary.evaluable)[0]


def _example(recording: Recording, meter: _Meter, why: str, record: FrameRecord, summary: RunSummary) -> Example:
    labels = recording.get('mask', record.stamp_ns)
    assert labels is not None, 'records are of stored masks'
    rgb = recording.get('image', record.stamp_ns)
    truth = meter.truth(recording.get('label', record.stamp_ns), record.index)
    shown = np.zeros((*labels.shape, 3), np.uint8) if rgb is None else rgb
    detail = f'{record.size[0]}x{record.size[1]}'
    if record.confusion:
        detail = f'mean IoU {100 * _miou(record, summary):.1f} %, {_accuracy(record)}'
    return Example(f'{why}frame {record.index}', detail, shown, labels, _fitted(truth, labels))


def _accuracy(record: FrameRecord) -> str:
    if not record.confusion:
        return ''
    right = sum(n for truth, prediction, n in record.confusion if truth == prediction)
    return f'{100 * right / sum(n for _, _, n in record.confusion):.1f} % of the pixels right'


def _fitted(truth: Optional[np.ndarray], labels: np.ndarray) -> Optional[np.ndarray]:
    """The truth at the masks' size."""
    if truth is None or truth.shape == labels.shape:
        return truth
    return np.asarray(cv2.resize(truth, labels.shape[::-1], interpolation=cv2.INTER_NEAREST))
