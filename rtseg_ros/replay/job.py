# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One bag through one bundle: every frame, in order, once.

Reading, decoding, the network, and measuring and writing overlap. Masks go to an MCAP bag file by file, and the journal
notes a file's frames when it is on the disk: whatever ends a job, what is finished stays.
"""

from __future__ import annotations

import time
from contextlib import ExitStack, closing
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple

from rtseg_models.bundle import load_bundle
from rtseg_models.card import Size
from rtseg_models.engine import NonFiniteLogits, Pipeline, open_for_command
from rtseg_models.engine.backends import Options
from rtseg_models.machine import CORES, versions

from ..bag import Bag, MaskBagWriter, storage_files
from ..bag.wal import log_of
from ..image_codec import BadFrame
from ..report import PARTICIPANTS, pipeline_settings
from ..reporting.measures import FrameRecord
from .ahead import ahead
from .journal import MASKS, Journal
from .stages import Sink, decode, infer, own_rate, read
from .truth import Truth, TruthSpec

FRAMES_PER_FILE = 250
BYTES_PER_FILE = 128 << 20
"""A file of masks ends at so many frames or bytes before compression: what a crash or a full disk costs at most."""

QUEUE_DEPTH = 3
OUTPUTS = ('mask', 'color', 'overlay')


@dataclass(frozen=True)
class Job:
    """A bag, a bundle and how to run it; plain values, so that it travels between machines.

    ``name`` is the bag's in reports. ``outputs`` are names of ``OUTPUTS``; the mask is always among them. ``networks``
    copies of the network run side by side on a CPU, each with ``threads`` threads (0: as the runtime likes).
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
    threads: int = 1
    networks: int = 1
    input_size: Optional[Size] = None

    def open_pipeline(self) -> Pipeline:
        """The bundle on its backend, warmed up."""
        options = Options(self.device, self.precision, self.threads, deterministic=True)
        bundle = load_bundle(self.model)
        pipeline = open_for_command(bundle, backend=self.backend, input_size=self.input_size, options=options)
        pipeline.warm_up(2)
        return pipeline

    def open_pipelines(self) -> List[Pipeline]:
        """As many pipelines as run side by side; one on anything but a CPU."""
        first = self.open_pipeline()
        count = self.networks if first.backend.device == 'cpu' else 1
        return [first, *(self.open_pipeline() for _ in range(count - 1))]


def share_cores(networks: int, threads: int) -> Tuple[int, int]:
    """How many networks with how many threads each; where both are 0, one network with one thread for each core.

    Networks that work on frames of their own need not wait for one another, as the threads of one network do whenever
    reading or measuring takes a core from one of them.
    """
    if networks == 1:
        return 1, threads
    threads = threads or max(1, CORES // (networks or CORES))
    return networks or max(1, CORES // threads), threads


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


def run_job(job: Job, pipelines: Sequence[Pipeline], observer: Observer) -> JobResult:
    """Do a job or the rest of it. Whatever error ends it, finished files of masks and their journal stay.

    ``pipelines`` are equal and take the frames in turn. Interrupted where the observer wants it to stop: then all that
    was measured is written first.
    """
    card = pipelines[0].bundle.card
    out = Path(job.out)
    settings = pipeline_settings(pipelines[0], job.threads)
    with ExitStack() as opened:
        bag = opened.enter_context(Bag(Path(job.bag)))
        bag.require_images(job.topics)
        truth = job.truth.open(Path(job.bag), card.class_names, card.ignore_id) if job.truth else None
        if truth is not None:
            opened.callback(truth.close)
        journal = opened.enter_context(closing(Journal(out, _identity(job, settings, card.weights_sha256))))
        if journal.done is None:
            _replay(job, bag, truth, pipelines, journal, observer)
        facts = journal.done
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
    files += [log_of(p) for p in files]
    return {
        'bag': str(path),
        'bag_bytes': sum(p.stat().st_size for p in files if p.is_file()),
        'weights_sha256': weights_sha256,
        'topics': job.topics,
        'start_s': job.start_s,
        'end_s': job.end_s,
        'stride': job.stride,
        'outputs': job.outputs,
        'truth': {**asdict(job.truth), **job.truth.contents()} if job.truth else None,
        'versions': versions((*PARTICIPANTS, 'rtseg_ros')),
        **settings,
    }


def _replay(
    job: Job,
    bag: Bag,
    truth: Optional[Truth],
    pipelines: Sequence[Pipeline],
    journal: Journal,
    observer: Observer,
) -> None:
    expected = bag.count(job.topics) if job.start_s <= 0 and job.end_s is None else None
    total = None if expected is None else -(-expected // job.stride)
    writer = MaskBagWriter(Path(job.out) / MASKS, keep_files=journal.files)
    sink = Sink(job.name, pipelines[0].bundle.card, job.topics, job.outputs, truth, writer)
    records = bag.images(job.topics, job.start_s, job.end_s, job.stride)
    frames = ahead(infer(ahead(read(records, job.topics, journal.records), QUEUE_DEPTH), pipelines), QUEUE_DEPTH)
    observer.frames(len(journal.records), total)
    started = time.perf_counter()

    def commit() -> None:
        nonlocal started
        writer.close_file()
        now = time.perf_counter()
        journal.commit(sink.pending, len(writer.files), now - started)
        sink.pending, started = [], now

    try:
        for frame in frames:
            sink.take(frame)
            if len(sink.pending) >= FRAMES_PER_FILE or writer.file_bytes >= BYTES_PER_FILE:
                commit()
            observer.frames(len(journal.records) + len(sink.pending), total)
            if observer.wants_stop():
                commit()
                raise Interrupted(f'{job.out}: stopped after {len(journal.records)} frames; go on with --resume')
        commit()
        writer.close()
        lost = [f'the labels: {fault}' for fault in (truth.faults if truth else []) if fault not in bag.faults]
        journal.finish({'faults': [*bag.faults, *lost], 'notes': bag.notes})
    finally:
        frames.close()
        writer.abort()


def rate_without_replay(job: Job, pipelines: Sequence[Pipeline]) -> Optional[float]:
    """Frames per second of the pipelines alone, on the job's first frame; None where that gives no labels."""
    with Bag(Path(job.bag)) as bag:
        record = next(bag.images(job.topics, job.start_s, job.end_s), None)
        rgb = decode(record) if record is not None else None
    if rgb is None or isinstance(rgb, BadFrame):
        return None
    try:
        return own_rate(pipelines, rgb)
    except NonFiniteLogits:
        return None
