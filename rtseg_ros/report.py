# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The report of a run, replayed or live: ``report.json`` for programs, ``report.html`` for people."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import numpy as np

from rtseg_models.bundle import Bundle
from rtseg_models.engine import Pipeline
from rtseg_models.engine.timing import percentiles
from rtseg_models.files import replace_text
from rtseg_models.machine import RUNTIMES
from rtseg_models.metrics import ConfusionMatrix

from .reporting import page as report_page
from .reporting.measures import FrameMeter, FrameRecord, figures, stream_digest, total_matrix

TIME_KEYS = ('created', 'fps', 'pipeline_fps', 'wall_s', 'stage_ms', 'timing_ms', 'machine')
"""Keys of ``report.json`` that tell about time and machine; all others are equal whenever a run is repeated."""

PARTICIPANTS = (*RUNTIMES, 'rosbags')
"""Distributions whose versions the report tells."""


@dataclass(frozen=True)
class Example:
    """A frame to show: rgb (H,W,3) uint8, labels (H,W) uint8 and, where there is one, truth (H,W) uint8.

    The truth is in the bundle's ids, 255 where it says nothing. ``title`` and ``detail`` are the caption, plain text.
    """

    title: str
    detail: str
    rgb: np.ndarray
    labels: np.ndarray
    truth: Optional[np.ndarray] = None


@dataclass
class RunSummary:
    """Everything measured in a run of one bundle.

    ``records`` holds every frame in order, dropped ones too. ``dropped`` adds frames that never became a record (a
    node's counters). ``wall_s`` is the time of the whole run, from which ``fps`` follows unless ``fps`` is given;
    ``pipeline_fps`` is what the pipelines reach with nothing else to do.
    ``unmapped`` lists classes of the truth that the bundle has not; ``evaluable`` tells for each class of the bundle
    whether the truth can hold it. ``faults`` are sentences on what could not be read,
    ``notes`` other remarks. ``node_stage_ms`` holds percentiles of stages that a live node measured itself.
    """

    title: str
    source: Dict[str, Any]
    bundle: Dict[str, Any]
    class_names: List[str]
    colours: List[Any]
    records: List[FrameRecord] = field(default_factory=list)
    dropped: Dict[str, int] = field(default_factory=dict)
    wall_s: Optional[float] = None
    fps: Optional[float] = None
    pipeline_fps: Optional[float] = None
    machine: Dict[str, Any] = field(default_factory=dict)
    settings: Dict[str, Any] = field(default_factory=dict)
    evaluable: List[bool] = field(default_factory=list)
    unmapped: List[str] = field(default_factory=list)
    faults: List[str] = field(default_factory=list)
    notes: List[str] = field(default_factory=list)
    examples: List[Example] = field(default_factory=list)
    node_stage_ms: Dict[str, Dict[str, float]] = field(default_factory=dict)
    created: str = ''

    def __post_init__(self) -> None:
        self.evaluable = self.evaluable or [True] * len(self.class_names)
        self.masks = [r for r in self.records if not r.dropped]
        if self.fps is None and self.wall_s:
            self.fps = len(self.masks) / self.wall_s

    @property
    def speed_share(self) -> Optional[float]:
        """The rate of the run as a share of the pipelines' own rate."""
        return self.fps / self.pipeline_fps if self.fps and self.pipeline_fps else None

    @property
    def has_truth(self) -> bool:
        """Whether any frame was compared with truth."""
        return any(r.confusion is not None for r in self.masks)

    def confusion(self) -> ConfusionMatrix:
        """All frames' counts together."""
        return total_matrix(self.masks, len(self.class_names))

    def stage_names(self) -> List[str]:
        """Stages in pipeline order."""
        return list(dict.fromkeys(stage for r in self.masks for stage in r.stage_ms))

    def stages_ms(self) -> Dict[str, np.ndarray]:
        """Milliseconds of each stage (N,), frames in order; ``total`` is the sum of those that a live node has too."""
        timed = [r.stage_ms for r in self.masks if r.stage_ms]
        if not timed:
            return {}
        stages = {s: np.array([t.get(s, 0.0) for t in timed]) for s in self.stage_names()}
        if 'total' not in stages:
            stages['total'] = np.sum([times for stage, times in stages.items() if stage != 'write'], axis=0)
        return stages

    def all_dropped(self) -> Dict[str, int]:
        """Dropped frames by reason."""
        counts = dict(self.dropped)
        for record in self.records:
            if record.dropped:
                counts[record.dropped] = counts.get(record.dropped, 0) + 1
        return counts

    def topics(self) -> List[str]:
        """Mask topics in order of appearance."""
        return list(dict.fromkeys(r.topic for r in self.masks))

    def mask_sha256(self) -> Dict[str, str]:
        """Digest of each mask stream, see ``stream_digest``."""
        return {t: stream_digest(r.sha256 for r in self.masks if r.topic == t) for t in self.topics()}

    def label_share(self) -> Dict[str, float]:
        """Share of all mask pixels by class, unlabelled among them."""
        if not self.masks:
            return {}
        counts = np.sum([r.pixels for r in self.masks], axis=0)
        return dict(zip([*self.class_names, 'unlabelled'], (counts / max(1, counts.sum())).tolist()))

    def mean_flicker(self) -> Dict[str, Optional[float]]:
        """Mean share of pixels that change class between frames: all of them, and those whose truth stayed."""
        every = [r.flicker for r in self.masks if r.flicker is not None]
        steady = [r.steady_flicker for r in self.masks if r.steady_flicker is not None]
        return {
            'all': float(np.mean(every)) if every else None,
            'steady_truth': float(np.mean(steady)) if steady else None,
        }

    def to_json(self) -> Dict[str, Any]:
        """Contents of ``report.json``; never holds NaN."""
        matrix = self.confusion()
        miou, iou, accuracy = figures(matrix, self.evaluable)
        stages = self.stages_ms()
        facts = {
            'miou': miou,
            'iou': dict(zip(self.class_names, iou)),
            'pixel_accuracy': accuracy,
            'frames': len(self.masks),
            'confusion': matrix.counts.tolist(),
            'unlabelled': matrix.unlabelled.tolist(),
            'stage_ms': {
                **self.node_stage_ms,
                **{name: percentiles(values.tolist()) for name, values in stages.items()},
            },
            'fps': self.fps,
            'pipeline_fps': self.pipeline_fps,
            'dropped': self.all_dropped(),
            'mask_sha256': self.mask_sha256(),
            'title': self.title,
            'created': self.created,
            'source': self.source,
            'bundle': self.bundle,
            'classes': [{'name': n, 'colour': list(c)} for n, c in zip(self.class_names, self.colours)],
            'settings': self.settings,
            'machine': self.machine,
            'wall_s': self.wall_s,
            'truth_frames': sum(r.confusion is not None for r in self.masks),
            'unmapped': self.unmapped,
            'label_share': self.label_share(),
            'flicker': self.mean_flicker(),
            'faults': self.faults,
            'notes': self.notes,
            'per_frame': [self._frame_json(r) for r in self.records],
            'timing_ms': {name: np.round(values, 3).tolist() for name, values in stages.items()},
        }
        clean: Dict[str, Any] = without_nan(facts)
        return clean

    def _frame_json(self, record: FrameRecord) -> Dict[str, Any]:
        facts: Dict[str, Any] = {
            'bag': record.bag,
            'topic': record.topic,
            'stamp_ns': record.stamp_ns,
            'frame_id': record.frame_id,
            'index': record.index,
            'record_time_ns': record.record_time_ns,
        }
        if record.dropped:
            return {**facts, 'dropped': record.dropped, 'detail': record.detail}
        facts.update(sha256=record.sha256, flicker=record.flicker)
        if record.confusion is not None:
            miou, _, accuracy = figures(record.matrix(len(self.class_names)), self.evaluable)
            facts.update(miou=miou, pixel_accuracy=accuracy, steady_flicker=record.steady_flicker)
            facts['confusion'] = record.confusion
        elif record.detail:
            facts['detail'] = record.detail
        return facts


def bundle_facts(bundle: Bundle) -> Dict[str, Any]:
    """What the report tells about a bundle, from its card."""
    card = bundle.card
    return {
        'name': bundle.name,
        'network': card.network,
        'weights_sha256': card.weights_sha256,
        'dataset': card.dataset,
        'ignore_id': card.ignore_id,
        'licence': card.licence,
        'input_size': list(card.input_size),
        'miou': card.miou,
        'agreement': card.agreement,
        'origin': card.origin,
    }


def pipeline_settings(pipeline: Pipeline, threads: int) -> Dict[str, Any]:
    """What a pipeline's labels depend on beside the bundle; ``threads`` 0 is the runtime's own choice."""
    return {
        'backend': pipeline.backend.name,
        'device': pipeline.backend.device,
        'precision': pipeline.backend.precision,
        'input_size': list(pipeline.input_size),
        'threads': threads,
    }


def write_json(summary: RunSummary, path: Path) -> None:
    """Write ``report.json``."""
    write_facts(summary.to_json(), path)


def write_facts(facts: Dict[str, Any], path: Path) -> None:
    """Write a JSON object, one key a line, in one step: a reader sees the whole file or none."""
    lines = [f'{json.dumps(key)}: {json.dumps(value, allow_nan=False)}' for key, value in without_nan(facts).items()]
    text = '{\n' + ',\n'.join(lines) + '\n}\n'
    replace_text(path, text)


def write_html(summary: RunSummary, path: Path) -> None:
    """Write one self-contained HTML page: no script, no network, light and dark."""
    replace_text(path, report_page.page(summary))


def without_nan(value: Any) -> Any:
    """The value with None for every float that JSON has no word for."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {k: without_nan(v) for k, v in value.items()}
    if isinstance(value, (list, tuple)):
        return [without_nan(v) for v in value]
    return value


__all__ = [
    'Example',
    'FrameMeter',
    'FrameRecord',
    'RunSummary',
    'TIME_KEYS',
    'bundle_facts',
    'PARTICIPANTS',
    'pipeline_settings',
    'write_facts',
    'write_html',
    'write_json',
]
