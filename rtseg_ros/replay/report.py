# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From finished jobs of one bundle to its report, with the frames worth looking at read back from the bags."""

from __future__ import annotations

import datetime
import os
from contextlib import ExitStack
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence, Tuple

import numpy as np

from rtseg_models.bundle import Bundle
from rtseg_models.machine import machine_facts

from ..bag import Bag, ImageRecord
from ..image_codec import BadFrame, decode_image
from ..report import PARTICIPANTS, Example, RunSummary, bundle_facts
from ..reporting.choice import Candidate, worth_showing
from ..reporting.measures import FrameRecord, figures
from .job import JobResult
from .journal import MASKS
from .stages import decode, output_topics
from .truth import NoTruth

_Choice = Tuple[str, FrameRecord]
"""Why a frame is shown, for its caption, and the frame."""


def summarise(
    bundle: Bundle, results: Sequence[JobResult], failed: Dict[str, str], out: Path, wall_s: Optional[float]
) -> RunSummary:
    """The report of one bundle's jobs, to lie in ``out``; ``failed`` says by bag what went wrong with the others.

    ``wall_s`` is the time of all jobs, None where it is not known.
    """
    job = results[0].job
    card = bundle.card
    records = [record for result in results for record in result.records]
    bags = [result.job.name for result in results]
    notes = list(dict.fromkeys(note for result in results for note in result.notes))
    faults = [f'{bag}: {reason}' for bag, reason in failed.items()]
    faults += [fault for result in results for fault in result.faults]
    other = [result.job.name for result in results if result.settings != results[0].settings]
    if other:
        faults.append(
            f'{", ".join(other)}: not run as {bags[0]} was, on {_told(results[0].settings)}; name --backend, '
            '--precision and --device'
        )
    if job.truth is not None:
        missing = _missing_truth(records)
        faults += missing[0]
        notes += missing[1]
    return RunSummary(
        title=bags[0] if len(bags) == 1 else f'{len(bags)} bags',
        source={
            'bags': bags,
            'bag_paths': [str(Path(result.job.bag).resolve()) for result in results],
            'folders': [os.path.relpath(result.job.out, out) for result in results],
            'topics': list(job.topics),
            'start_s': job.start_s or None,
            'end_s': job.end_s,
            'stride': job.stride,
            'ground_truth': job.truth.name if job.truth else None,
            'ground_truth_spec': asdict(job.truth) if job.truth else None,
        },
        bundle=bundle_facts(bundle),
        class_names=list(card.class_names),
        colours=list(card.colours),
        records=records,
        wall_s=wall_s,
        machine={**machine_facts(PARTICIPANTS), 'networks_side_by_side': job.networks},
        settings=results[0].settings,
        evaluable=results[0].evaluable,
        unmapped=results[0].unmapped,
        faults=faults,
        notes=notes,
        examples=[e for result, chosen in choose(results, card.classes) for e in read_examples(result, chosen, bundle)],
        created=datetime.datetime.now(datetime.timezone.utc).strftime('%Y-%m-%d %H:%M UTC'),
    )


def _told(settings: Dict[str, Any]) -> str:
    return ' '.join(str(settings[key]) for key in ('backend', 'device', 'precision'))


def _missing_truth(records: Sequence[FrameRecord]) -> Tuple[List[str], List[str]]:
    """Faults and notes on frames without ground truth: labels that cannot be used, and those that are not there."""
    absent = [r for r in records if r.detail and not r.dropped and not r.bad_truth]
    bad = [r for r in records if r.bad_truth]
    faults, notes = [], []
    if bad:
        faults.append(
            f'the labels of {len(bad)} of {len(records)} frames cannot be used and count for none; the first is that '
            f'of {bad[0].bag}, frame {bad[0].index}: {bad[0].detail}'
        )
    elif all(r.confusion is None for r in records):
        example = absent[0].detail if absent else 'no frame was read'
        return [f'no frame found its ground truth; for example: {example}'], []
    if absent:
        notes.append(f'{len(absent)} of {len(records)} frames have no ground truth and count for none')
    return faults, notes


def choose(results: Sequence[JobResult], classes: int) -> List[Tuple[JobResult, List[_Choice]]]:
    """The frames to show by job, with what their captions say first."""
    frames = [(result, record) for result in results for record in result.records if not record.dropped]
    scores = [figures(r.matrix(classes), result.evaluable)[0] if r.confusion else None for result, r in frames]
    candidates = [
        Candidate((result.job.out, record.topic), record.index, score)
        for (result, record), score in zip(frames, scores)
    ]
    picked = [(why, *frames[place]) for why, place in worth_showing(candidates)]
    return [(result, [(why, record) for why, owner, record in picked if owner is result]) for result in results]


def read_examples(result: JobResult, chosen: Sequence[_Choice], bundle: Bundle) -> List[Example]:
    """Image, mask and truth of some frames, from the bag, the job's own output and the ground truth."""
    job = result.job
    sources = {f'{root}/mask': topic for topic, root in output_topics(job.topics).items()}
    card = bundle.card
    examples: Dict[int, Example] = {}
    with ExitStack() as opened:
        bag, masks = (opened.enter_context(Bag(path)) for path in (Path(job.bag), Path(job.out) / MASKS))
        truth = job.truth.open(Path(job.bag), card.class_names, card.ignore_id) if job.truth and chosen else None
        if truth is not None:
            opened.callback(truth.close)
        for why, record in sorted(chosen, key=lambda choice: choice[1].record_time_ns):
            image = _find(bag, sources[record.topic], record)
            mask = _find(masks, record.topic, record)
            rgb = decode(image) if image is not None else None
            if image is None or mask is None or rgb is None or isinstance(rgb, BadFrame):
                continue
            label: Optional[np.ndarray] = None
            if truth is not None and record.confusion is not None:
                try:
                    label = truth.find(image)
                except NoTruth:
                    continue
            title, detail = _caption(result, record, bundle)
            examples[id(record)] = Example(why + title, detail, rgb, decode_image(mask.message)[:, :, 0], label)
    return [examples[id(r)] for _, r in chosen if id(r) in examples]


def _find(bag: Bag, topic: str, record: FrameRecord) -> Optional[ImageRecord]:
    """The message of a frame: its record time narrows the search, its stamp decides."""
    found = (r for r in bag.at(topic, record.record_time_ns) if r.stamp_ns == record.stamp_ns)
    return next((replace(r, index=record.index) for r in found), None)


def _caption(result: JobResult, record: FrameRecord, bundle: Bundle) -> Tuple[str, str]:
    detail = f'{record.topic} at {record.stamp_ns / 1e9:.3f} s'
    if record.confusion is not None:
        miou, _, right = figures(record.matrix(bundle.card.classes), result.evaluable)
        detail = f'mean IoU {100 * miou:.1f} %, {100 * right:.1f} % of pixels right · {detail}'
    return f'{record.bag}, frame {record.index}', detail
