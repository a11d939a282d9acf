# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames that a report shows: image, truth, mask and what is wrong in it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import cv2
import numpy as np

from rtseg_models.engine.paint import blend, colourise
from rtseg_models.labels import UNLABELLED

from .charts import picture
from .layout import picture_row, section

if TYPE_CHECKING:
    from ..report import Example, RunSummary


def examples(summary: RunSummary) -> str:
    """Frames to look at."""
    if not summary.examples:
        return ''
    table = np.zeros((256, 3), np.uint8)
    table[: len(summary.colours)] = summary.colours
    table[UNLABELLED] = (59, 63, 70)
    sub = (
        'The worst and the best by their own mean IoU. In the difference wrong pixels are red; dark ones have no truth.'
    )
    if not any(e.truth is not None for e in summary.examples):
        sub = 'Frames spread over the run.'
    return section('Frames', sub, ''.join(shots(e, table) for e in summary.examples))


def shots(example: Example, table: np.ndarray) -> str:
    """One frame as a row of pictures; ``table`` (256,3) uint8 holds the colours."""
    images = [('image', picture(example.rgb))]
    if example.truth is not None:
        images.append(('truth', picture(colourise(example.truth, table), exact=True)))
    images.append(('mask', picture(colourise(example.labels, table), exact=True)))
    if example.truth is not None:
        images.append(('difference', picture(difference(example))))
    else:
        images.append(('overlay', picture(blend(np.ascontiguousarray(example.rgb), example.labels, table, 0.55))))
    return picture_row(example.title, example.detail, images)


def difference(example: Example) -> np.ndarray:
    """Grey image with the wrong pixels in red and the pixels without truth darkened, (H,W,3) uint8."""
    assert example.truth is not None
    grey = cv2.cvtColor(cv2.cvtColor(np.ascontiguousarray(example.rgb), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shown = (grey * 0.6 + 70).astype(np.uint8)
    ignored = example.truth == UNLABELLED
    shown[(example.truth != example.labels) & ~ignored] = (226, 54, 54)
    shown[ignored] //= 3
    return shown
