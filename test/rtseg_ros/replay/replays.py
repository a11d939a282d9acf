# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of the replay share: names, and reports and masks read back."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from rtseg_ros.bag import Bag
from rtseg_ros.image_codec import decode_image
from rtseg_ros.replay.runs import Run
from rtseg_ros.report import TIME_KEYS

TOPIC, LABELS, MASK = '/camera/image_raw', '/camera/label', '/segmentation/mask'
COUNT = 9


def report(folder: Path) -> dict:
    return json.loads((folder / 'report.json').read_text(), parse_constant=pytest.fail)


def timeless(folder: Path) -> dict:
    """The report without what depends on when and where, and without paths."""
    facts = {k: v for k, v in report(folder).items() if k not in TIME_KEYS}
    facts['source'] = {k: v for k, v in facts['source'].items() if k != 'bag_paths'}
    return facts


def masks(folder: Path, topic: str = MASK) -> list:
    with Bag(folder / 'masks') as opened:
        return [(r.stamp_ns, r.frame_id, decode_image(r.message)) for r in opened.images([topic])]


KEY = ('d', '/mask', 1, 1, 0)


def run_of(names, frames=()) -> Run:
    """A run of one bag that is nowhere."""
    source = {'bags': ['d'], 'bag_paths': [''], 'ground_truth_spec': None}
    classes = [{'name': name, 'colour': [9, 9, 9]} for name in names]
    return Run(Path(), {'classes': classes, 'iou': dict.fromkeys(names, 0.5), 'source': source}, dict(frames))
