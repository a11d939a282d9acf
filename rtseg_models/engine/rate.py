# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Hold a rate by choosing the network's input size."""

from __future__ import annotations

from collections import deque
from typing import Deque, List, Optional, Sequence

import numpy as np

from ..card import Size

_WINDOW = 15
_HEADROOM = 0.85
"""A larger size is tried only where its predicted time stays below this share of the budget."""
_PATIENCE = 60
_LONGEST_PATIENCE = 3840


class RateLadder:
    """The largest input size of a ladder that holds ``target_rate_hz``; fed with measured times, it looks at no clock.

    It steps down as soon as more than one in ten recent frames do not fit the budget. It steps up after a while of
    frames whose time, scaled by the pixels, fits the larger size with headroom; where that step proves wrong at once,
    the next try waits twice as long. So a load at the edge of two sizes does not make it swing.
    """

    def __init__(self, sizes: Sequence[Size], target_rate_hz: float, start: Optional[Size] = None) -> None:
        """``sizes`` (height, width) in any order, one or more; ``start`` is one of them, by default the largest.

        ValueError for a rate <= 0.
        """
        if not sizes:
            raise ValueError('a ladder needs at least one input size')
        if not target_rate_hz > 0:
            raise ValueError(f'target_rate_hz is {target_rate_hz}; it must be above 0')
        self.sizes: List[Size] = sorted(set(sizes), key=lambda s: (s[0] * s[1], s))
        self.target_rate_hz = target_rate_hz
        self._step = len(self.sizes) - 1 if start is None else self.sizes.index(start)
        self._times_ms: Deque[float] = deque(maxlen=_WINDOW)
        self._frames = 0
        self._patience = _PATIENCE
        self._climbed = False

    @property
    def size(self) -> Size:
        """The size to run the next frame at."""
        return self.sizes[self._step]

    @property
    def holds(self) -> bool:
        """Whether recent frames at the current size fit the rate; False says that even the smallest is too slow."""
        return len(self._times_ms) < _WINDOW or self.slow_ms <= self.budget_ms

    @property
    def budget_ms(self) -> float:
        """What a frame may take."""
        return 1e3 / self.target_rate_hz

    @property
    def slow_ms(self) -> float:
        """What nine of ten recent frames at the current size did not exceed; nan before the first."""
        return float(np.percentile(self._times_ms, 90)) if self._times_ms else float('nan')

    def add(self, frame_ms: float) -> Size:
        """Take in what a frame took at ``size``, from decoding to publishing; returns the size for the next."""
        self._times_ms.append(frame_ms)
        self._frames += 1
        if len(self._times_ms) < _WINDOW:
            return self.size
        if self._step > 0 and not self.holds:
            wrong = self._climbed and self._frames <= 4 * _WINDOW
            self._patience = min(2 * self._patience, _LONGEST_PATIENCE) if wrong else _PATIENCE
            self._move(-1)
        elif self._step + 1 < len(self.sizes) and self._frames >= self._patience and self._next_fits():
            self._move(+1)
        return self.size

    def _next_fits(self) -> bool:
        (h, w), (next_h, next_w) = self.size, self.sizes[self._step + 1]
        return self.slow_ms * (next_h * next_w) / (h * w) <= _HEADROOM * self.budget_ms

    def _move(self, steps: int) -> None:
        self._step += steps
        self._times_ms.clear()
        self._frames = 0
        self._climbed = steps > 0
