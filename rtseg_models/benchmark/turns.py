# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Fair timing of contenders in one process: each in turn, round after round, so that all meet the same machine."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Callable, Dict, List, Sequence

import numpy as np

from ..engine.timing import percentiles

_BURST = 6
_SETTLE = 2
"""Frames at the start of each turn that do not count: caches and thread pools are the predecessor's until then."""


@dataclass
class Contender:
    """Something to be timed on rgb frames. ``prepare`` is not timed; ``run`` is, and may return times of its stages."""

    run: Callable[[np.ndarray], Dict[str, float]]
    prepare: Callable[[np.ndarray], np.ndarray] = lambda rgb: rgb
    times_ms: List[float] = field(default_factory=list)
    stages_ms: Dict[str, List[float]] = field(default_factory=dict)

    def summary(self) -> Dict[str, float]:
        """p50, p95 and p99 in milliseconds."""
        return {k: round(v, 3) for k, v in percentiles(self.times_ms).items() if k != 'max'}


def take_turns(
    contenders: Sequence[Contender],
    frames: Sequence[np.ndarray],
    count: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> None:
    """Time every contender on ``count`` frames, in bursts of a few, round-robin."""
    done = 0
    for c in contenders:
        c.run(c.prepare(frames[0]))
    while done < count:
        burst = min(_BURST, count - done)
        for c in contenders:
            for i in range(-_SETTLE, burst):
                prepared = c.prepare(frames[(done + i) % len(frames)])
                start = time.perf_counter()
                stages = c.run(prepared)
                elapsed = (time.perf_counter() - start) * 1e3
                if i < 0:
                    continue
                c.times_ms.append(elapsed)
                for name, value in stages.items():
                    c.stages_ms.setdefault(name, []).append(value)
        done += burst
        advance(done, count)
