# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a command line of replay_bag asks for: its jobs, the folder of each, and what must not be overwritten."""

from __future__ import annotations

import itertools
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

from rtseg_models.errors import UsageError

from ..bag import Bag
from .job import OUTPUTS, Job, share_cores
from .journal import NAME as JOURNAL
from .truth import TruthSpec, named_by_frame

LATEST_S = 2**32
"""Seconds after a bag's start that can be asked for: more than a stamp can tell, and few enough for 64 bits of ns."""


def refuse_existing(out: Path) -> None:
    """UsageError where the output folder holds something."""
    if out.exists() and any(out.iterdir()):
        raise UsageError(f'{out}: exists already and is not overwritten; go on with --resume or name another --out')


def refuse_others(jobs: Dict[str, List[Job]]) -> None:
    """UsageError where a folder to go on with holds the report of other bags, or of no replay."""
    for todo in jobs.values():
        folder = shared_folder(todo)
        report = folder / 'report.json'
        try:
            known = json.loads(report.read_text(encoding='utf-8'))['source']['bag_paths'] if report.exists() else []
        except (ValueError, KeyError, TypeError):
            raise UsageError(f'{report} is of no replay and is not overwritten; name another --out') from None
        bags = {str(Path(job.bag).resolve()) for job in todo}
        others = [bag for bag in known if str(Path(bag).resolve()) not in bags]
        if len(todo) > 1 and (folder / JOURNAL).exists():
            others.append('a single bag')
        if others:
            raise UsageError(
                f'{folder} holds a replay of {", ".join(others)} and is not overwritten; name another --out'
            )


def plan(
    bags: Sequence[Path],
    topics: Sequence[str],
    models: Sequence[str],
    out: Path,
    *,
    ground_truth_topic: Optional[str],
    ground_truth: Optional[Path],
    ground_truth_classes: str,
    outputs: str,
    **settings: Any,
) -> Dict[str, List[Job]]:
    """Jobs by model, each with its own folder; UsageError where the command line makes no sense."""
    if not bags or not models:
        raise UsageError('nothing to do: name at least one bag and a --model (or two runs with --compare)')
    if not topics:
        with Bag(bags[0]) as bag:
            raise UsageError(f'name a --topic; image topics of {bags[0]}: {", ".join(bag.image_topics()) or "none"}')
    for option in ('start', 'end'):
        if not 0 <= (settings[f'{option}_s'] or 0.0) <= LATEST_S:
            raise UsageError(f'--{option} {settings[f"{option}_s"]:g}: expected seconds from 0 to {LATEST_S}')
    if settings['end_s'] is not None and settings['end_s'] <= settings['start_s']:
        raise UsageError(f'--end {settings["end_s"]:g} is not after --start {settings["start_s"]:g}')
    wanted = tuple(dict.fromkeys(['mask', *(o.strip() for o in outputs.split(','))]))
    unknown = [o for o in wanted if o not in OUTPUTS]
    if unknown:
        raise UsageError(f'--outputs: unknown {", ".join(unknown)}; known: {", ".join(OUTPUTS)}')
    truth = None
    if ground_truth_classes and not (ground_truth_topic or ground_truth):
        raise UsageError('--ground-truth-classes is of labels; name them with --ground-truth or --ground-truth-topic')
    if ground_truth_topic or ground_truth:
        truth = TruthSpec.of(ground_truth_topic, ground_truth, ground_truth_classes)
        _check_truth(truth, len(bags), topics, settings['start_s'])
    settings['networks'], settings['threads'] = share_cores(settings['networks'], settings['threads'])
    settings.update(topics=tuple(topics), outputs=wanted, truth=truth)
    jobs: Dict[str, List[Job]] = {}
    names = _told_apart([b.resolve().stem for b in bags])
    for model, model_name in zip(models, _told_apart([Path(os.path.abspath(m)).name for m in models])):
        folder = out / model_name if len(models) > 1 else out
        folders = [folder / name for name in names] if len(bags) > 1 else [folder]
        jobs[model] = [
            Job(name=name, bag=str(bag), model=model, out=str(place), **settings)
            for bag, name, place in zip(bags, names, folders)
        ]
    return jobs


def _check_truth(truth: TruthSpec, bags: int, topics: Sequence[str], start_s: float) -> None:
    """UsageError where labels could not be told which frame they are of."""
    if truth.topic and truth.folder:
        raise UsageError('--ground-truth-topic and --ground-truth exclude each other')
    if truth.folder and named_by_frame(Path(truth.folder)) and (bags > 1 or len(topics) > 1 or start_s > 0):
        raise UsageError(
            f'{truth.folder}: its files are named by frame number, which tells a frame in one topic of one bag that is '
            'read from its start; name them by stamp'
        )
    if len(set(topics)) > 1:
        raise UsageError('ground truth is of one camera; with it, replay one --topic at a time')


def _told_apart(names: Sequence[str]) -> List[str]:
    """The names, equal ones with a number behind."""
    found: List[str] = []
    for name in names:
        numbered = (f'{name}-{i}' for i in itertools.count(1))
        free = (n for n in numbered if n not in found and n not in names)
        found.append(name if names.count(name) == 1 else next(free))
    return found


def shared_folder(jobs: Sequence[Job]) -> Path:
    """Where one model's reports go: the folder of its only job, or the one above those of several."""
    return Path(jobs[0].out).parent if len(jobs) > 1 else Path(jobs[0].out)
