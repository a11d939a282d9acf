# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Finished runs read back: their report and, frame by frame, the masks of two of them."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Optional, Sequence, Set, Tuple

import numpy as np

from rtseg_models.errors import BundleError, NotFound

from ..bag import Bag, ImageRecord
from ..image_codec import decode_image
from .journal import MASKS

ABOUT = ('title', 'bundle', 'settings', 'fps', 'stage_ms', 'machine', 'flicker', 'dropped', 'mask_sha256')
"""What a comparison repeats of each run."""


class FrameKey(NamedTuple):
    """What tells a frame in both runs, wherever they began; ``place`` is among those that have all else in common."""

    bag: str
    topic: str
    stamp_ns: int
    record_time_ns: int
    place: int


@dataclass(frozen=True)
class Run:
    """A finished run: its folder, its ``report.json`` and the frames that have masks."""

    folder: Path
    report: Dict[str, Any]
    frames: Dict[FrameKey, Dict[str, Any]]

    @property
    def names(self) -> List[str]:
        """Class names."""
        return [c['name'] for c in self.report['classes']]

    @property
    def bag_paths(self) -> Dict[str, str]:
        """Where each recording was, by its name."""
        source = self.report['source']
        return dict(zip(source['bags'], source['bag_paths']))

    @property
    def label(self) -> str:
        """How the page calls the run."""
        settings = self.report['settings']
        size = 'x'.join(str(v) for v in settings.get('input_size', []))
        return f'{self.report["bundle"]["name"]}, {settings.get("backend")} {settings.get("precision")}, input {size}'


def load_run(folder: Path) -> Run:
    """A run from its folder; NotFound or BundleError where it is none."""
    path = folder / 'report.json'
    if not path.is_file():
        raise NotFound(f'{path}: no such file; name the --out of a finished replay')
    try:
        report = json.loads(path.read_text(encoding='utf-8'))
        run = Run(folder, report, _by_key(report['per_frame']))
        _needed(run)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BundleError(f'{path}: not the report of a replay: {error!r}') from error
    return run


def _by_key(rows: Sequence[Dict[str, Any]]) -> Dict[FrameKey, Dict[str, Any]]:
    """A report's frames that have masks."""
    seen: Counter[Tuple[str, str, int, int]] = Counter()
    frames = {}
    for row in rows:
        like = row['bag'], row['topic'], row['stamp_ns'], row['record_time_ns']
        if 'dropped' not in row:
            frames[FrameKey(*like, seen[like])] = row
        seen[like] += 1
    return frames


def _needed(run: Run) -> List[Any]:
    """All that comparing reads of a report. A demo's, for one, tells of no bags."""
    report = run.report
    found = [report[key] for key in (*ABOUT, 'iou', 'faults')]
    found += [run.label, report['bundle']['ignore_id'], run.bag_paths]
    return [*found, *((c['name'], c['colour']) for c in report['classes'])]


def paired_masks(a: Run, b: Run, wanted: Set[FrameKey]) -> Iterator[Tuple[FrameKey, np.ndarray, np.ndarray]]:
    """Masks (H,W) uint8 of both runs for the wanted frames that have them at one size, in order."""
    for bag, folder_a in _mask_folders(a).items():
        folder_b = _mask_folders(b).get(bag)
        if folder_b is None:
            continue
        topics = sorted({key.topic for key in wanted if key.bag == bag})
        if not topics:
            continue
        with Bag(folder_a) as masks_a, Bag(folder_b) as masks_b:
            keys_b = _with_keys(b, bag, masks_b.images(topics))
            waiting: Dict[FrameKey, np.ndarray] = {}
            for key, mask_a in _with_keys(a, bag, masks_a.images(topics)):
                if key not in wanted:
                    continue
                mask_b: Optional[np.ndarray] = waiting.pop(key, None)
                while mask_b is None:
                    other, found = next(keys_b, (None, None))
                    if other is None or found is None:
                        break
                    if other == key:
                        mask_b = found
                    elif other in wanted:
                        waiting[other] = found
                if mask_b is not None and mask_b.shape == mask_a.shape:
                    yield key, mask_a, mask_b


def _mask_folders(run: Run) -> Dict[str, Path]:
    """The mask bag of each recording, where it is there."""
    source = run.report['source']
    places = {name: run.folder / folder / MASKS for name, folder in zip(source['bags'], source.get('folders', []))}
    return {name: path for name, path in places.items() if path.is_dir()}


def _with_keys(run: Run, bag: str, records: Iterator[ImageRecord]) -> Iterator[Tuple[FrameKey, np.ndarray]]:
    """Masks with the key of their frame: the n-th mask of a topic and stamp is the n-th such frame not dropped.

    Not the n-th of the topic: a reader sorts each file by record time, which goes back where a clock was set.
    """
    keys: Dict[Tuple[str, int], List[FrameKey]] = {}
    for key in reversed(list(run.frames)):
        if key.bag == bag:
            keys.setdefault((key.topic, key.stamp_ns), []).append(key)
    for record in records:
        left = keys.get((record.topic, record.stamp_ns))
        if not left:
            raise BundleError(f'{run.folder}: its mask bag is not that of its report (at stamp {record.stamp_ns})')
        yield left.pop(), decode_image(record.message)[:, :, 0]
