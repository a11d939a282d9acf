# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One bag through one bundle: every frame, in order, once.

Three threads overlap: reading and decoding, the network, and measuring and writing. Masks go to an MCAP bag file by
file, and the journal notes a file's frames when it is on the disk: whatever ends a job, what is finished stays.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional, Protocol, Tuple, Union

import numpy as np

from rtseg_models.bundle import load_bundle
from rtseg_models.card import Size
from rtseg_models.engine import NonFiniteLogits, Pipeline, Segmentation
from rtseg_models.engine.backends import Options
from rtseg_models.engine.paint import colourise

from ..bag import Bag, ImageRecord, MaskBagWriter, storage_files
from ..compressed_codec import decode_compressed
from ..image_codec import BadFrame, decode_image
from ..paints import Paints
from ..report import pipeline_settings
from ..reporting.measures import FrameMeter, FrameRecord
from .ahead import ahead
from .journal import Journal
from .truth import NoTruth, Truth, TruthSpec

FRAMES_PER_FILE = 250
BYTES_PER_FILE = 128 << 20
"""A file of masks ends at so many frames or bytes before compression: what a crash or a full disk costs at most."""

QUEUE_DEPTH = 3
OVERLAY_ALPHA = 0.5
OUTPUTS = ('mask', 'color', 'overlay')


@dataclass(frozen=True)
class Job:
    """A bag, a bundle and how to run it; plain values, so that it travels between machines.

    ``name`` is the bag's in reports. ``outputs`` are names of ``OUTPUTS``; the mask is always among them.
    """

    name: str
    bag: str
    model: str
    out: str
    topics: Tuple[str, ...]
    start_s: float = 0.0
    end_s: Optional[float] = None
    stride: int = 1
    outputs: Tuple[str, ...] = ('mask',)
    truth: Optional[TruthSpec] = None
    backend: str = 'auto'
    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    input_size: Optional[Size] = None

    def open_pipeline(self) -> Pipeline:
        """The bundle on its backend, warmed up."""
        options = Options(device=self.device, precision=self.precision, threads=self.threads)
        bundle = load_bundle(self.model)
        pipeline = Pipeline(bundle, backend=self.backend, input_size=self.input_size, options=options)
        pipeline.warm_up(2)
        return pipeline


@dataclass(frozen=True)
class JobResult:
    """What a job measured: every frame in order, and sentences on what could not be read."""

    job: Job
    records: List[FrameRecord]
    wall_s: float
    settings: Dict[str, Any]
    faults: List[str]
    notes: List[str]
    unmapped: List[str]
    evaluable: List[bool]


@dataclass(frozen=True)
class _Decoded:
    """A frame on its way to the network; ``known`` frames were done before and only start the flicker again."""

    record: ImageRecord
    rgb: Union[np.ndarray, BadFrame]
    decode_ms: float
    known: bool


def output_topics(topics: Tuple[str, ...]) -> Dict[str, str]:
    """Where each image topic's outputs go, named as the node does: ``/segmentation`` or ``/segmentation/<topic>``."""
    if len(topics) == 1:
        return {topics[0]: '/segmentation'}
    return {t: '/segmentation/' + t.strip('/') for t in topics}


class Interrupted(Exception):
    """A job was asked to stop before its end; what it has done is on the disk."""


class Observer(Protocol):
    """Who follows a job."""

    def frames(self, done: int, total: Optional[int]) -> None:
        """Hear the frames done and the frames in all, None where the bag cannot tell."""
        ...

    def wants_stop(self) -> bool:
        """Whether the job shall end after this frame."""
        ...


def run_job(job: Job, pipeline: Pipeline, observer: Observer) -> JobResult:
    """Do a job or the rest of it. Whatever error ends it, finished files of masks and their journal stay.

    Interrupted where the observer wants it to stop: then all that was measured is written first.
    """
    card = pipeline.bundle.card
    out = Path(job.out)
    settings = pipeline_settings(pipeline, job.threads)
    with Bag(Path(job.bag)) as bag:
        bag.require_images(job.topics)
        truth = job.truth.open(Path(job.bag), card) if job.truth else None
        journal = Journal(out, _identity(job, settings, card.weights_sha256))
        try:
            if journal.done is None:
                _replay(job, bag, truth, pipeline, journal, observer)
            facts = journal.done
        finally:
            journal.close()
            if truth is not None:
                truth.close()
    mapping = truth.mapping if truth is not None else None
    return JobResult(
        job=job,
        records=journal.records,
        wall_s=journal.wall_s,
        settings=settings,
        faults=facts['faults'],
        notes=facts['notes'],
        unmapped=mapping.unmapped if mapping else [],
        evaluable=mapping.evaluable if mapping else [True] * card.classes,
    )


def _identity(job: Job, settings: Dict[str, Any], weights_sha256: str) -> Dict[str, Any]:
    """What must be equal for going on with a job."""
    path = Path(job.bag).resolve()
    files = storage_files(path) or [path]
    return {
        'bag': str(path),
        'bag_bytes': sum(p.stat().st_size for p in files if p.is_file()),
        'weights_sha256': weights_sha256,
        'topics': job.topics,
        'start_s': job.start_s,
        'end_s': job.end_s,
        'stride': job.stride,
        'outputs': job.outputs,
        'truth': asdict(job.truth) if job.truth else None,
        **settings,
    }


def _replay(
    job: Job,
    bag: Bag,
    truth: Optional[Truth],
    pipeline: Pipeline,
    journal: Journal,
    observer: Observer,
) -> None:
    expected = bag.count(job.topics) if job.start_s <= 0 and job.end_s is None else None
    total = None if expected is None else -(-expected // job.stride)
    writer = MaskBagWriter(Path(job.out) / 'masks', keep_files=journal.files)
    sink = _Sink(job, pipeline, truth, writer)
    frames = ahead(_infer(ahead(_decode(job, bag, journal.records), QUEUE_DEPTH), pipeline), QUEUE_DEPTH)
    observer.frames(len(journal.records), total)
    started = time.perf_counter()

    def commit() -> None:
        nonlocal started
        writer.close_file()
        now = time.perf_counter()
        journal.commit(sink.pending, len(writer.files), now - started)
        sink.pending, started = [], now

    try:
        for decoded, result in frames:
            sink.take(decoded, result)
            if len(sink.pending) >= FRAMES_PER_FILE or writer.file_bytes >= BYTES_PER_FILE:
                commit()
            observer.frames(len(journal.records) + len(sink.pending), total)
            if observer.wants_stop():
                commit()
                raise Interrupted(f'{job.out}: stopped after {len(journal.records)} frames; go on with --resume')
        commit()
        writer.close()
        journal.finish({'faults': bag.faults, 'notes': bag.notes})
    finally:
        frames.close()
        writer.abort()


def _decode(job: Job, bag: Bag, done: List[FrameRecord]) -> Iterator[_Decoded]:
    """Frames of the bag with their pixels, those that are done left out but for each topic's last."""
    topics = output_topics(job.topics)
    finished = {(r.topic, r.index) for r in done}
    last = {r.topic: r.index for r in done if not r.dropped}
    for record in bag.images(job.topics, job.start_s, job.end_s, job.stride):
        topic = topics[record.topic] + '/mask'
        known = (topic, record.index) in finished
        if known and last.get(topic) != record.index:
            continue
        began = time.perf_counter()
        rgb = decode(record)
        yield _Decoded(record, rgb, 1e3 * (time.perf_counter() - began), known)


def decode(record: ImageRecord) -> Union[np.ndarray, BadFrame]:
    """Rgb (H,W,3) uint8 of a frame by the node's own decoders, or why there is none."""
    if record.message is None:
        return BadFrame('decode', record.fault)
    try:
        return decode_compressed(record.message) if record.compressed else decode_image(record.message)
    except BadFrame as error:
        return error


def _infer(frames: Iterator[_Decoded], pipeline: Pipeline) -> Iterator[Tuple[_Decoded, Union[Segmentation, BadFrame]]]:
    try:
        for decoded in frames:
            if isinstance(decoded.rgb, BadFrame):
                yield decoded, decoded.rgb
                continue
            try:
                yield decoded, pipeline(decoded.rgb)
            except NonFiniteLogits as error:
                yield decoded, BadFrame('failed', str(error))
    finally:
        frames.close()  # type: ignore[attr-defined]


class _Sink:
    """Measures frames and writes their outputs; ``pending`` are those not yet in the journal."""

    def __init__(self, job: Job, pipeline: Pipeline, truth: Optional[Truth], writer: MaskBagWriter) -> None:
        self.pending: List[FrameRecord] = []
        self._job = job
        self._truth = truth
        self._writer = writer
        self._topics = output_topics(job.topics)
        self._meter = FrameMeter(pipeline.bundle.card)
        self._paints = Paints(pipeline.bundle.card)

    def take(self, decoded: _Decoded, result: Union[Segmentation, BadFrame]) -> None:
        """Measure and write a frame."""
        began = time.perf_counter()
        record = decoded.record
        place: Dict[str, Any] = {
            'bag': self._job.name,
            'topic': self._topics[record.topic] + '/mask',
            'stamp_ns': record.stamp_ns,
            'frame_id': record.frame_id,
            'index': record.index,
            'record_time_ns': record.record_time_ns,
        }
        if isinstance(result, BadFrame):
            if not decoded.known:
                self.pending.append(FrameRecord(**place, dropped=result.reason, detail=str(result)))
            return
        truth, why_not = self._find_truth(record, result.labels)
        measured = self._meter.measure(result.labels, truth=truth, **place)
        if decoded.known:
            return
        self._write(record, decoded.rgb, result.labels)
        stages = {'decode': decoded.decode_ms, **result.stage_ms, 'write': 1e3 * (time.perf_counter() - began)}
        self.pending.append(replace(measured, stage_ms={k: round(v, 3) for k, v in stages.items()}, detail=why_not))

    def _find_truth(self, record: ImageRecord, labels: np.ndarray) -> Tuple[Optional[np.ndarray], str]:
        if self._truth is None:
            return None, ''
        try:
            truth = self._truth.find(record)
        except NoTruth as error:
            return None, str(error)
        if truth.shape != labels.shape:
            return (
                None,
                f'the label is {truth.shape[0]}x{truth.shape[1]}, the frame {labels.shape[0]}x{labels.shape[1]}',
            )
        return truth, ''

    def _write(self, record: ImageRecord, rgb: Any, labels: np.ndarray) -> None:
        root = self._topics[record.topic]
        header: Dict[str, Any] = {'frame_id': record.frame_id, 'record_time_ns': record.record_time_ns}
        self._writer.write(f'{root}/mask', record.stamp_ns, labels, **header)
        if 'color' in self._job.outputs:
            colours = colourise(labels, self._paints.tables['rgb8'])
            self._writer.write(f'{root}/color_mask', record.stamp_ns, colours, encoding='rgb8', **header)
        if 'overlay' in self._job.outputs:
            overlay = self._paints.overlay(rgb, labels, OVERLAY_ALPHA, False)
            self._writer.write(f'{root}/overlay', record.stamp_ns, overlay, encoding='rgb8', **header)
