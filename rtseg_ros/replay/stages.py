# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stages that a frame passes in a replay: reading and decoding, the network, measuring and writing."""

from __future__ import annotations

import time
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from typing import Any, Deque, Dict, Generator, Iterator, List, Optional, Sequence, Tuple, Union

import numpy as np

from rtseg_models.card import Card
from rtseg_models.engine import NonFiniteLogits, Pipeline, Segmentation
from rtseg_models.engine.paint import colourise

from ..bag import ImageRecord, MaskBagWriter
from ..compressed_codec import decode_compressed
from ..image_codec import BadFrame, decode_image
from ..paints import Paints
from ..reporting.measures import FrameMeter, FrameRecord
from .truth import BadTruth, NoTruth, Truth

OVERLAY_ALPHA = 0.5
RATE_FRAMES, RATE_SECONDS = 40, 1.0
"""How long the pipelines run alone to tell their own rate: so many frames each, or so long."""


@dataclass(frozen=True)
class Frame:
    """A frame that went through a network: rgb (H,W,3) uint8, or why there is none, and what became of it.

    ``known`` frames were done before and only start the flicker again.
    """

    record: ImageRecord
    known: bool
    rgb: Union[np.ndarray, BadFrame]
    decode_ms: float
    result: Union[Segmentation, BadFrame]


def output_topics(topics: Tuple[str, ...]) -> Dict[str, str]:
    """Where each image topic's outputs go: of one topic as the node's, of several below ``/segmentation/<topic>``."""
    if len(topics) == 1:
        return {topics[0]: '/segmentation'}
    return {t: '/segmentation/' + t.strip('/') for t in topics}


def read(
    records: Iterator[ImageRecord], topics: Tuple[str, ...], done: Sequence[FrameRecord]
) -> Generator[Tuple[ImageRecord, bool], None, None]:
    """Messages with whether they are known; those that are done are left out but for each topic's last."""
    roots = output_topics(topics)
    finished = {(r.topic, r.index) for r in done}
    last = {r.topic: r.index for r in done if not r.dropped}
    for record in records:
        topic = roots[record.topic] + '/mask'
        known = (topic, record.index) in finished
        if not known or last.get(topic) == record.index:
            yield record, known


def decode(record: ImageRecord) -> Union[np.ndarray, BadFrame]:
    """Rgb (H,W,3) uint8 of a frame by the node's own decoders, or why there is none."""
    if record.message is None:
        return BadFrame('decode', record.fault)
    try:
        return decode_compressed(record.message) if record.compressed else decode_image(record.message)
    except BadFrame as error:
        return error


def infer(
    messages: Generator[Tuple[ImageRecord, bool], None, None], pipelines: Sequence[Pipeline]
) -> Generator[Frame, None, None]:
    """Frames in the order of their messages; each pipeline has a thread of its own and takes its turn.

    Decoding runs ahead of the networks in as many threads. Closing this generator ends the threads and closes
    ``messages``.
    """
    with ExitStack() as stack:
        stack.callback(messages.close)
        decoders = stack.enter_context(ThreadPoolExecutor(len(pipelines)))
        networks = [stack.enter_context(ThreadPoolExecutor(1)) for _ in pipelines]
        under_way: Deque[Future[Frame]] = deque()
        for turn, (record, known) in enumerate(messages):
            decoded = decoders.submit(_timed_decode, record)
            place = turn % len(pipelines)
            under_way.append(networks[place].submit(_segment, pipelines[place], record, known, decoded))
            if len(under_way) >= 2 * len(pipelines):
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def _timed_decode(record: ImageRecord) -> Tuple[Union[np.ndarray, BadFrame], float]:
    began = time.perf_counter()
    rgb = decode(record)
    return rgb, 1e3 * (time.perf_counter() - began)


def _segment(
    pipeline: Pipeline, record: ImageRecord, known: bool, decoded: Future[Tuple[Union[np.ndarray, BadFrame], float]]
) -> Frame:
    rgb, decode_ms = decoded.result()
    result: Union[Segmentation, BadFrame]
    if isinstance(rgb, BadFrame):
        result = rgb
    else:
        try:
            result = pipeline(rgb)
        except NonFiniteLogits as error:
            result = BadFrame('failed', str(error))
    return Frame(record, known, rgb, decode_ms, result)


def own_rate(pipelines: Sequence[Pipeline], rgb: np.ndarray) -> float:
    """Frames per second of the pipelines side by side with nothing else to do, on an image (H,W,3) uint8 in memory."""

    def run(pipeline: Pipeline) -> int:
        done = 0
        while done < RATE_FRAMES and time.perf_counter() - began < RATE_SECONDS:
            pipeline(rgb)
            done += 1
        return done

    began = time.perf_counter()
    with ThreadPoolExecutor(len(pipelines)) as pool:
        frames = sum(pool.map(run, pipelines))
    return frames / (time.perf_counter() - began)


class Sink:
    """Measures frames and writes their outputs; ``pending`` are those not yet in the journal."""

    def __init__(
        self,
        bag: str,
        card: Card,
        topics: Tuple[str, ...],
        outputs: Tuple[str, ...],
        truth: Optional[Truth],
        writer: MaskBagWriter,
    ) -> None:
        """``bag`` is the name that the records carry."""
        self.pending: List[FrameRecord] = []
        self._bag = bag
        self._outputs = outputs
        self._truth = truth
        self._writer = writer
        self._topics = output_topics(topics)
        self._meter = FrameMeter(card)
        self._paints = Paints(card)

    def take(self, frame: Frame) -> None:
        """Measure and write a frame."""
        began = time.perf_counter()
        record, result = frame.record, frame.result
        place: Dict[str, Any] = {
            'bag': self._bag,
            'topic': self._topics[record.topic] + '/mask',
            'stamp_ns': record.stamp_ns,
            'frame_id': record.frame_id,
            'index': record.index,
            'record_time_ns': record.record_time_ns,
        }
        if isinstance(result, BadFrame):
            if not frame.known:
                self.pending.append(FrameRecord(**place, dropped=result.reason, detail=str(result)))
            return
        truth, lacking = self._find_truth(record, result.labels)
        measured = self._meter.measure(result.labels, truth=truth, **place)
        if frame.known:
            return
        self._write(record, frame.rgb, result.labels)
        stages = {'decode': frame.decode_ms, **result.stage_ms, 'write': 1e3 * (time.perf_counter() - began)}
        self.pending.append(replace(measured, stage_ms={k: round(v, 3) for k, v in stages.items()}, **lacking))

    def _find_truth(self, record: ImageRecord, labels: np.ndarray) -> Tuple[Optional[np.ndarray], Dict[str, Any]]:
        """The truth of a frame; where it has none, what its record tells about that."""
        if self._truth is None:
            return None, {}
        try:
            truth = self._truth.find(record)
        except NoTruth as error:
            return None, {'detail': str(error), 'bad_truth': isinstance(error, BadTruth)}
        sizes = ['x'.join(map(str, image.shape)) for image in (truth, labels)]
        if truth.shape != labels.shape:
            return None, {'detail': f'the label is {sizes[0]}, the frame {sizes[1]}', 'bad_truth': True}
        return truth, {}

    def _write(self, record: ImageRecord, rgb: Any, labels: np.ndarray) -> None:
        root = self._topics[record.topic]
        header: Dict[str, Any] = {'frame_id': record.frame_id, 'record_time_ns': record.record_time_ns}
        self._writer.write(f'{root}/mask', record.stamp_ns, labels, **header)
        if 'color' in self._outputs:
            colours = colourise(labels, self._paints.tables['rgb8'])
            self._writer.write(f'{root}/color_mask', record.stamp_ns, colours, encoding='rgb8', **header)
        if 'overlay' in self._outputs:
            overlay = self._paints.overlay(rgb, labels, OVERLAY_ALPHA, False)
            self._writer.write(f'{root}/overlay', record.stamp_ns, overlay, encoding='rgb8', **header)
