# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What two runs label differently and, with ground truth, what that is worth: fixed, broken or wrong in both."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Sequence

import numpy as np

from rtseg_models.engine import kernels
from rtseg_models.errors import RtsegError
from rtseg_models.labels import UNLABELLED

from ..bag import ImageRecord
from .runs import FrameKey, Run, paired_masks
from .truth import NoTruth, Truth, TruthSpec

MOST_CHANGED = 6

FOREIGN = 256
"""Stands in a run's ids for the classes that only the other run has."""

FIXED, BROKEN, BOTH_WRONG = 'fixed', 'broken', 'both_wrong'
WORTH = (FIXED, BROKEN, BOTH_WRONG)
"""A pixel that the runs label differently is right in B only, right in A only, or wrong in both."""


class RunTruth:
    """Ground truth of a finished run's frames (H,W) uint8 in the run's ids, 255 = not counted; a context manager.

    ``fault`` says why there is none at all; frames are asked for in the order of recording.
    """

    def __init__(self, run: Run) -> None:
        self.fault = ''
        self._run = run
        self._open: Dict[str, Truth] = {}
        source = run.report['source']
        self._spec = source.get('ground_truth_spec')
        self._bags = run.bag_paths

    def __enter__(self) -> RunTruth:
        return self

    def __exit__(self, *_: object) -> None:
        for truth in self._open.values():
            truth.close()

    def find(self, key: FrameKey) -> Optional[np.ndarray]:
        """The truth of a frame, None where it has none."""
        frame = self._run.frames[key]
        if self._spec is None or self.fault or 'confusion' not in frame:
            return None
        try:
            if key.bag not in self._open:
                ignore_id = self._run.report['bundle']['ignore_id']
                opened = TruthSpec(**self._spec).open(Path(self._bags[key.bag]), self._run.names, ignore_id)
                self._open[key.bag] = opened
            record = ImageRecord(
                key.topic, key.stamp_ns, frame['frame_id'], frame['record_time_ns'], frame['index'], None, False
            )
            return self._open[key.bag].find(record)
        except NoTruth:
            return None
        except (RtsegError, KeyError) as error:
            self.fault = f'the ground truth cannot be read any more, so changes are not rated: {error}'
            return None


def changes(a: Run, b: Run, common: List[FrameKey]) -> Dict[str, Any]:
    """What the runs label differently: per frame, by pair of classes and, as far as there is truth, by worth."""
    pairs = np.zeros((256, 256), np.int64)
    worth = np.zeros((256, len(WORTH)), np.int64)
    labelled = 0
    rows: List[Dict[str, Any]] = []
    to_a = translation(b, a)
    differs = np.arange(256)[:, None] != to_a
    with RunTruth(a) as truths:
        for key, mask_a, mask_b in paired_masks(a, b, set(common)):
            mask_a, mask_b = np.ascontiguousarray(mask_a), np.ascontiguousarray(mask_b)
            joint = np.zeros((256, 256), np.int64)
            kernels.tally_labels(mask_b, None, mask_a, None, UNLABELLED, joint)
            pairs += joint
            row: Dict[str, Any] = dict(zip(('bag', 'topic', 'stamp_ns'), key), index=a.frames[key]['index'])
            row['changed'] = int(joint[differs].sum()) / mask_a.size
            before, after = a.frames[key].get('miou'), b.frames[key].get('miou')
            if before is not None and after is not None:
                row.update(miou_a=before, miou_b=after, delta=after - before)
            truth = truths.find(key)
            if truth is not None and truth.shape == mask_a.shape:
                mine = count_worth(truth, mask_a, to_a[mask_b])
                count = int(np.count_nonzero(truth != UNLABELLED))
                worth += mine
                labelled += count
                row.update({name: int(n) / max(1, count) for name, n in zip(WORTH, mine.sum(axis=0))})
            rows.append(row)
    return {
        **_moved(a, b, np.where(differs, pairs, 0), int(pairs.sum())),
        'worth': _worth(a, worth, labelled),
        'truth_fault': truths.fault,
        'most_changed': most_changed(rows),
        'per_frame': rows,
    }


def most_changed(rows: Sequence[Dict[str, Any]]) -> List[Dict[str, Any]]:
    """The frames whose mean IoU, without truth whose labels, changed most; no neighbours, which look alike."""
    gap = len(rows) // 25
    chosen: List[int] = []
    for place in sorted(range(len(rows)), key=lambda i: (-abs(rows[i].get('delta', 0.0)), -rows[i]['changed'])):
        if len(chosen) < MOST_CHANGED and all(abs(place - other) > gap for other in chosen):
            chosen.append(place)
    return [rows[place] for place in chosen]


def rate(truth: np.ndarray, mask_a: np.ndarray, mask_b: np.ndarray) -> np.ndarray:
    """The place in ``WORTH`` of each pixel's change, else 255, (H,W) uint8; the arguments are in one run's ids."""
    rated = np.full(truth.shape, 255, np.uint8)
    differs = (mask_a != mask_b) & (truth != UNLABELLED)
    rated[differs] = np.where(
        mask_b[differs] == truth[differs],
        WORTH.index(FIXED),
        np.where(mask_a[differs] == truth[differs], WORTH.index(BROKEN), WORTH.index(BOTH_WRONG)),
    )
    return rated


def count_worth(truth: np.ndarray, mask_a: np.ndarray, mask_b: np.ndarray) -> np.ndarray:
    """Pixels by true class and worth, (256, 3) int64."""
    joint = np.zeros((256, 256), np.int64)
    truth = np.ascontiguousarray(truth)
    kernels.tally_labels(rate(truth, mask_a, mask_b), None, truth, None, UNLABELLED, joint)
    return joint[:, : len(WORTH)]


def _worth(run: Run, counts: np.ndarray, labelled: int) -> Optional[Dict[str, Any]]:
    """Shares of the labelled pixels, in all and by true class; None without truth."""
    if not labelled:
        return None
    whole = {name: int(n) / labelled for name, n in zip(WORTH, counts.sum(axis=0))}
    by_class = {
        name: {worth: int(n) / labelled for worth, n in zip(WORTH, counts[i])}
        for i, name in enumerate(run.names)
        if counts[i].any()
    }
    return {**whole, 'labelled_pixels': labelled, 'by_class': by_class}


def _moved(a: Run, b: Run, pairs: np.ndarray, whole: int) -> Dict[str, Any]:
    """Shares of the ``whole`` pixels that changed, by class in A and B; ``pairs`` (256, 256) counts them by ids."""
    moved: List[Dict[str, Any]] = [
        {'from': _name(a.names, i), 'to': _name(b.names, j), 'share': float(pairs[i, j] / whole)}
        for i, j in zip(*np.nonzero(pairs))
    ]
    return {
        'changed': float(pairs.sum() / whole) if whole else None,
        'moved': sorted(moved, key=lambda m: -m['share'])[:20],
    }


def _name(names: List[str], i: int) -> str:
    return names[i] if i < len(names) else 'unlabelled'


def translation(source: Run, target: Run) -> np.ndarray:
    """Table (256,) int16 from one run's ids to the other's by class name; classes of its own become ``FOREIGN``."""
    table = np.full(256, UNLABELLED, np.int16)
    for i, name in enumerate(source.names):
        table[i] = target.names.index(name) if name in target.names else FOREIGN
    return table
