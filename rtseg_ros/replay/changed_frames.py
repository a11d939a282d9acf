# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures of the frames that two runs label most differently."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import cv2
import numpy as np

from rtseg_models.engine.paint import colourise
from rtseg_models.labels import UNLABELLED

from ..bag import Bag
from ..image_codec import BadFrame
from ..reporting.charts import picture, rgb_hex
from ..reporting.layout import percent, picture_row, section
from .changes import RunTruth, rate, translation
from .runs import FrameKey, Run, paired_masks
from .stages import decode, output_topics

CHANGES = ((22, 163, 74), (220, 38, 38), (234, 179, 8), (192, 38, 211))
"""Colours of changed pixels in the order of ``WORTH``, the last for those without ground truth."""


def changed_frames(a: Run, b: Run, facts: Dict[str, Any]) -> str:
    """The frames that changed most: image, both masks, and where they differ."""
    keys_a = {(key.bag, key.topic, frame['index']): key for key, frame in a.frames.items()}
    wanted = {keys_a[r['bag'], r['topic'], r['index']]: r for r in facts['most_changed'] if r['changed'] > 0}
    shown: Dict[FrameKey, str] = {}
    with RunTruth(a) as truths:
        for key, mask_a, mask_b in paired_masks(a, b, set(wanted)):
            row = wanted[key]
            said = f'{percent(row["changed"])} % of the pixels changed'
            if row.get('delta') is not None:
                said += f', mean IoU {percent(row["miou_a"])} → {percent(row["miou_b"])} %'
            truth = truths.find(key)
            if truth is not None and truth.shape != mask_a.shape:
                truth = None
            shown[key] = picture_row(
                f'{key.bag}, frame {row["index"]}', said, _pictures(a, b, key, mask_a, mask_b, truth)
            )
    body = ''.join(shown[key] for key in wanted if key in shown)
    if not body:
        return ''
    sub = 'Those with the most pixels labelled differently.'
    if any('delta' in row for row in wanted.values()):
        sub = 'Those whose mean IoU differs most.'
    if any('fixed' in row for row in wanted.values()):
        keys = ''.join(
            f'<span><i class="swatch" style="background:{rgb_hex(colour)}"></i>{name}</span>'
            for name, colour in zip(('fixed', 'broken', 'wrong in both', 'without ground truth'), CHANGES)
        )
    else:
        keys = f'<span><i class="swatch" style="background:{rgb_hex(CHANGES[-1])}"></i>labelled differently</span>'
    return section('Frames that changed most', sub, f'<div class="legend">{keys}</div><br>{body}')


def _pictures(
    a: Run, b: Run, key: FrameKey, mask_a: np.ndarray, mask_b: np.ndarray, truth: Optional[np.ndarray]
) -> List[Tuple[str, str]]:
    """Image, truth, both masks and the changes, each with its name."""
    tables = [_table(run) for run in (a, b)]
    rgb = _image(a, key, mask_a.shape)
    found = [('image', picture(rgb))] if rgb is not None else []
    if truth is not None:
        found.append(('truth', picture(colourise(truth, tables[0]), exact=True)))
    colours = [colourise(np.ascontiguousarray(mask), table) for mask, table in zip((mask_a, mask_b), tables)]
    found += [(name, picture(colour, exact=True)) for name, colour in zip('AB', colours)]
    mask_b = translation(b, a)[mask_b]
    rated = np.full(mask_a.shape, 255, np.uint8) if truth is None else rate(truth, mask_a, mask_b)
    rated[(rated == 255) & (mask_a != mask_b)] = len(CHANGES) - 1
    found.append(('labelled differently', picture(_marked(colours[0] if rgb is None else rgb, rated))))
    return found


def _table(run: Run) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for i, entry in enumerate(run.report['classes']):
        table[i] = entry['colour']
    table[UNLABELLED] = (59, 63, 70)
    return table


def _image(run: Run, key: FrameKey, shape: Tuple[int, ...]) -> Optional[np.ndarray]:
    """The frame's picture from the recording, None where that is no longer in its place."""
    path, topics = Path(run.bag_paths.get(key.bag, '')), tuple(run.report['source']['topics'])
    topic = next((t for t, root in output_topics(topics).items() if key.topic == f'{root}/mask'), '')
    if not path.exists() or not topic:
        return None
    with Bag(path) as bag:
        for record in bag.at(topic, run.frames[key]['record_time_ns']):
            rgb = decode(record) if record.stamp_ns == key.stamp_ns else None
            if rgb is not None and not isinstance(rgb, BadFrame) and rgb.shape[:2] == shape:
                return rgb
    return None


def _marked(rgb: np.ndarray, rated: np.ndarray) -> np.ndarray:
    """The image in grey, pale, with the changed pixels in the colours of ``CHANGES``, (H,W,3) uint8."""
    grey = cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(rgb), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shown = (grey * 0.55 + 80).astype(np.uint8)
    for i, colour in enumerate(CHANGES):
        shown[rated == i] = colour
    return shown
