# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pixel loops of ``_kernels.c`` and ``_tally.c`` in NumPy, for machines without a compiler, equal bit for bit.

A grid is given as four arrays: for each output row the logit row above it (int32) and the fraction of the way to the
next one (float32), and the same for columns. The neighbour of the last row or column is itself.
"""

from __future__ import annotations

from typing import Optional, Tuple

import numpy as np

GUARD = np.float32(2.0**-20)
"""Margin, in units of the largest magnitude around, below which rounding could turn an argmax (see ``_kernels.c``)."""
LARGEST = np.float32(1e38)
"""Logits beyond it count as not finite: they could overflow while being interpolated."""
_TINY = np.finfo(np.float32).tiny
_ROWS_AT_ONCE = 32


def upsample_argmax(
    logits: np.ndarray,
    classes: int,
    h: int,
    w: int,
    row_low: np.ndarray,
    row_fraction: np.ndarray,
    column_low: np.ndarray,
    column_fraction: np.ndarray,
    first: int,
    last: int,
    labels: np.ndarray,
) -> bool:
    """Labels of the output rows ``first`` to ``last`` (exclusive) into ``labels`` (H,W) uint8, lowest class on ties.

    Returns whether every logit that was read is finite; where not, the labels mean nothing.
    """
    band = slice(first, last)
    if first == last:
        return True
    top = int(row_low[first])
    logits = logits[:, top : min(int(row_low[last - 1]) + 2, h)]
    if not (np.abs(logits) < LARGEST).all():
        return False
    rows, fy = row_low[band] - top, row_fraction[band]
    out = labels[band]
    best = logits.argmax(axis=0).astype(np.uint8)
    out[:] = best[rows[:, None], column_low]
    if not fy.any() and not column_fraction.any():
        return True
    border = _border(logits, best)[rows[:, None], column_low]
    if 2 * np.count_nonzero(border) > border.size:
        for start in range(0, len(rows), _ROWS_AT_ONCE):
            part = slice(start, start + _ROWS_AT_ONCE)
            out[part] = _dense(logits, rows[part], fy[part], column_low, column_fraction).argmax(axis=0)
    else:
        y, x = np.nonzero(border)
        out[y, x] = _label_pixels(logits, rows[y], fy[y], column_low[x], column_fraction[x])
    return True


def upsample_confidence(
    logits: np.ndarray,
    classes: int,
    h: int,
    w: int,
    row_low: np.ndarray,
    row_fraction: np.ndarray,
    column_low: np.ndarray,
    column_fraction: np.ndarray,
    first: int,
    last: int,
    threshold: float,
    labels: np.ndarray,
    confidence: np.ndarray,
) -> None:
    """Confidence, round(255 x largest softmax share), of a band of rows; below ``threshold`` labels become 255."""
    for start in range(first, last, _ROWS_AT_ONCE):
        band = slice(start, min(start + _ROWS_AT_ONCE, last))
        full = _dense(logits, row_low[band], row_fraction[band], column_low, column_fraction)
        share = largest_share(full)
        labels[band][share < np.float32(threshold)] = 255
        confidence[band] = (np.float32(255) * share + np.float32(0.5)).astype(np.uint8)


def largest_share(values: np.ndarray) -> np.ndarray:
    """The largest softmax share over the first axis, float32, with the exponential of ``_kernels.c``."""
    highest = values.max(axis=0)
    total = _exponential(values[0] - highest)
    for plane in values[1:]:
        total += _exponential(plane - highest)
    share: np.ndarray = np.float32(1) / total
    return share


def colourise(labels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None:
    """Labels (H,W) to colours (H,W,3), all uint8, by a (256,3) table."""
    np.take(table, labels, axis=0, out=out, mode='clip')


def blend(rgb: np.ndarray, labels: np.ndarray, table: np.ndarray, alpha: int, out: np.ndarray) -> None:
    """``alpha`` / 256 parts colour and the rest image, rounded; pixels labelled 255 keep the image."""
    np.take(table, labels, axis=0, out=out, mode='clip')
    unlabelled = labels == 255
    out[unlabelled] = rgb[unlabelled]
    mixed = np.multiply(rgb, np.uint16(256 - alpha), dtype=np.uint16)  # NumPy 1 would stay at 8 bits
    mixed += np.multiply(out, np.uint16(alpha), dtype=np.uint16)
    mixed += np.uint16(128)
    np.right_shift(mixed, np.uint16(8), out=mixed)
    out[:] = mixed


def tally_labels(
    labels: np.ndarray,
    before: Optional[np.ndarray],
    truth: Optional[np.ndarray],
    truth_before: Optional[np.ndarray],
    ignore_id: int,
    joint: np.ndarray,
) -> Tuple[int, int, int]:
    """Add to ``joint`` (256,256) int64 how many pixels have each [truth, label].

    Returns how many pixels differ between ``labels`` and ``before``, how many have a truth that is equal in both truths
    and neither ``ignore_id`` nor 255, and how many of the latter differ; 0 where an image for it is not given. Images
    are (H,W) uint8, packed, of one size. Without ``truth`` all pixels count under 255.
    """
    pairs = np.full(labels.size, 255 << 8, np.uint16) if truth is None else truth.astype(np.uint16).ravel() << 8
    pairs |= labels.ravel()
    joint += np.bincount(pairs, minlength=1 << 16).reshape(256, 256)
    if before is None:
        return 0, 0, 0
    changed = labels != before
    if truth is None or truth_before is None:
        return int(np.count_nonzero(changed)), 0, 0
    steady = (truth == truth_before) & (truth != ignore_id) & (truth != 255)
    return int(np.count_nonzero(changed)), int(np.count_nonzero(steady)), int(np.count_nonzero(changed & steady))


def relabel_and_count(labels: np.ndarray, table: np.ndarray, out: np.ndarray, counts: np.ndarray) -> None:
    """Labels by a table (256,) uint8 into ``out``; adds to ``counts`` (256,) int64 how many pixels had each label."""
    np.take(table, labels, out=out)
    counts += np.bincount(labels.ravel(), minlength=256)


def _border(logits: np.ndarray, best: np.ndarray) -> np.ndarray:
    """Whether the cell to the right of and below each grid point needs interpolation, (h,w) bool."""
    if len(logits) > 1:
        second, leader = np.partition(logits, len(logits) - 2, axis=0)[-2:]
        margin = leader - second
    else:
        margin = np.full(best.shape, np.inf, np.float32)
    peak = np.abs(logits).max(axis=0)
    grown = np.pad(best, ((0, 1), (0, 1)), 'edge')
    differs = (best != grown[1:, :-1]) | (best != grown[:-1, 1:]) | (best != grown[1:, 1:])
    unsure = _corners(margin, np.minimum) <= GUARD * _corners(peak, np.maximum) + _TINY
    border: np.ndarray = differs | unsure
    return border


def _corners(values: np.ndarray, pick: np.ufunc) -> np.ndarray:
    grown = np.pad(values, ((0, 1), (0, 1)), 'edge')
    rows = pick(grown[1:], grown[:-1])
    picked: np.ndarray = pick(rows[:, 1:], rows[:, :-1])
    return picked


def _label_pixels(logits: np.ndarray, i: np.ndarray, fy: np.ndarray, j: np.ndarray, fx: np.ndarray) -> np.ndarray:
    """Labels of scattered pixels (n,) uint8, one class after the other so that the working set stays small."""
    _, h, w = logits.shape
    below, right = np.minimum(i + 1, h - 1) * w, np.minimum(j + 1, w - 1)
    i = i * w
    gy, gx = 1 - fy, 1 - fx
    leader = np.full(len(i), -np.inf, np.float32)
    labels = np.zeros(len(i), np.uint8)
    for k, plane in enumerate(logits.reshape(len(logits), -1)):
        value = gx * (gy * plane[i + j] + fy * plane[below + j]) + fx * (
            gy * plane[i + right] + fy * plane[below + right]
        )
        leads = value > leader
        labels[leads] = k
        np.maximum(leader, value, out=leader)
    return labels


def _dense(logits: np.ndarray, i: np.ndarray, fy: np.ndarray, j: np.ndarray, fx: np.ndarray) -> np.ndarray:
    """Interpolated logits at every pixel of some rows (C,n,W) float32: rows first, then columns."""
    below, right = np.minimum(i + 1, logits.shape[1] - 1), np.minimum(j + 1, logits.shape[2] - 1)
    fy = fy[:, None]
    rows = (1 - fy) * logits[:, i] + fy * logits[:, below]
    value: np.ndarray = (1 - fx) * rows[:, :, j] + fx * rows[:, :, right]
    return value


def _exponential(x: np.ndarray) -> np.ndarray:
    """e^x for x <= 0 in float32: x = n ln 2 + r, a polynomial in r, and n added to the exponent."""
    f = np.float32
    x = np.maximum(x, f(-87))
    n = (x * f(1.44269504) - f(0.5)).astype(np.int32)
    m = n.astype(np.float32)
    r = (x - m * f(0.693359375)) - m * f(-2.12194440e-4)
    p = np.full_like(r, f(1.9875691500e-4))
    for c in (1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1):
        p = p * r + f(c)
    p = p * (r * r) + r + f(1)
    power: np.ndarray = p * ((n + 127) << 23).view(np.float32)
    return power
