# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two runs over the same frames side by side: is the second better, where, and what does it cost?

Intervals come from a paired block bootstrap: frames are cut into blocks of consecutive ones, because neighbours in a
drive resemble each other, and the same blocks are drawn for both runs.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Tuple

import numpy as np

from rtseg_models.errors import UsageError
from rtseg_models.files import replace_text
from rtseg_models.labels import UNLABELLED

from ..report import write_facts
from .changes import changes
from .compare_page import comparison_page
from .runs import ABOUT, FrameKey, Run, load_run

RESAMPLES = 2000
MOST_BLOCK = 20
"""Frames in a block at most; shorter where the run is short, so that there are 20 blocks where there can be."""


def compare_runs(first: Path, second: Path, out: Path) -> Path:
    """Write ``compare.json`` and ``compare.html`` into ``out``; the page's path.

    UsageError where the runs share no frame.
    """
    a, b = load_run(first), load_run(second)
    common = [key for key in a.frames if key in b.frames]
    if not common:
        raise UsageError(
            f'{first} and {second} have no frame in common: they must replay the same topic of the same bag'
        )
    facts: Dict[str, Any] = {
        'a': _about(a),
        'b': _about(b),
        'frames': len(common),
        'only_a': len(a.frames) - len(common),
        'only_b': len(b.frames) - len(common),
        **accuracy(a, b, common),
        **changes(a, b, common),
    }
    out.mkdir(parents=True, exist_ok=True)
    write_facts(facts, out / 'compare.json')
    page = out / 'compare.html'
    replace_text(page, comparison_page(a, b, facts))
    return page


def _about(run: Run) -> Dict[str, Any]:
    return {'folder': run.folder.name, 'label': run.label, **{k: run.report[k] for k in ABOUT}}


def accuracy(a: Run, b: Run, common: List[FrameKey]) -> Dict[str, Any]:
    """MIoU, pixel accuracy and IoU per common class with differences and 95 % intervals; empty without truth."""
    keys = [k for k in common if 'confusion' in a.frames[k] and 'confusion' in b.frames[k]]
    if not keys:
        return {'truth_frames': 0, 'figures': {}, 'iou': {}}
    block = max(1, min(MOST_BLOCK, len(keys) // 20))
    sums = [_block_sums(run, keys, block) for run in (a, b)]
    count = len(sums[0])
    draws = np.random.default_rng(0).multinomial(count, np.full(count, 1 / count), size=RESAMPLES)
    whole = [_figures(s.sum(axis=0)[None], run) for s, run in zip(sums, (a, b))]
    drawn = [_figures(np.tensordot(draws, s, axes=1), run) for s, run in zip(sums, (a, b))]
    names = [n for n in a.names if n in b.names]
    seats = [[run.names.index(n) for n in names] for run in (a, b)]
    columns = {
        name: (whole[0][0][:, i], whole[1][0][:, j], drawn[0][0][:, i], drawn[1][0][:, j])
        for name, i, j in zip(names, *seats)
    }
    iou = {name: _difference(*columns[name]) for name in names}
    known = [run.report['iou'] for run in (a, b)]
    seen = [n for n in names if known[0].get(n) is not None and known[1].get(n) is not None]
    mean = [
        [np.nanmean(_pick(part[0], run, seen), axis=1) for run, part in zip((a, b), parts)] for parts in (whole, drawn)
    ]
    right = [[part[1] for part in parts] for parts in (whole, drawn)]
    return {
        'truth_frames': len(keys),
        'block_frames': block,
        'resamples': RESAMPLES,
        'figures': {
            'miou': _difference(*mean[0], *mean[1]),
            'pixel_accuracy': _difference(*right[0], *right[1]),
        },
        'miou_classes': seen,
        'iou': iou,
    }


def _pick(iou: np.ndarray, run: Run, names: List[str]) -> np.ndarray:
    return iou[:, [run.names.index(n) for n in names]]


def _block_sums(run: Run, keys: List[FrameKey], block: int) -> np.ndarray:
    """Confusion counts (blocks, C, C+1) of consecutive frames, the last column for unlabelled."""
    classes = len(run.names)
    sums = np.zeros((-(-len(keys) // block), classes, classes + 1), np.int64)
    for place, key in enumerate(keys):
        for truth, prediction, pixels in run.frames[key]['confusion']:
            sums[place // block, truth, classes if prediction == UNLABELLED else prediction] += pixels
    return sums


def _figures(counts: np.ndarray, run: Run) -> Tuple[np.ndarray, np.ndarray]:
    """IoU (N,C) and pixel accuracy (N,) of a run's confusion counts (N, C, C+1); nan where nothing was counted.

    So is the IoU of a class for which the run's report has none, because its truth cannot hold it.
    """
    classes = counts.shape[1]
    hit = np.diagonal(counts[:, :, :classes], axis1=1, axis2=2)
    union = counts.sum(axis=2) + counts[:, :, :classes].sum(axis=1) - hit
    told = np.array([run.report['iou'].get(name) is not None for name in run.names])
    with np.errstate(invalid='ignore', divide='ignore'):
        return np.where(told & (union > 0), hit / union, np.nan), hit.sum(axis=1) / counts.sum(axis=(1, 2))


def _difference(a: np.ndarray, b: np.ndarray, draws_a: np.ndarray, draws_b: np.ndarray) -> Dict[str, Any]:
    """The figure in both runs, B minus A and its 95 % interval (None where it cannot be told)."""
    draws = draws_b - draws_a
    draws = draws[~np.isnan(draws)]
    interval = np.percentile(draws, (2.5, 97.5)).tolist() if len(draws) else None
    return {'a': float(a[0]), 'b': float(b[0]), 'delta': float(b[0] - a[0]), 'interval': interval}
