# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which frames of a run a report shows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Hashable, Iterable, List, Optional, Sequence, Tuple

import numpy as np

WORST, BEST, SPREAD = 4, 2, 6
"""How many of the worst and best frames a report shows, and how many where there is no truth."""


@dataclass(frozen=True)
class Candidate:
    """A frame that could be shown: its stream, its index there, and its own mean IoU, None without truth."""

    stream: Hashable
    index: int
    score: Optional[float]


def worth_showing(frames: Sequence[Candidate]) -> List[Tuple[str, int]]:
    """What a caption says of a frame before all else, and the frame's place in ``frames``.

    The worst and the best, no two of a stream nearer than a 25th of all; without truth some spread over the run.
    """
    scored = [(frame.score, place) for place, frame in enumerate(frames) if frame.score is not None]
    if not scored:
        spread = np.linspace(0, len(frames) - 1, min(SPREAD, len(frames))).round().astype(int)
        return [('', place) for place in spread.tolist()]
    ranked = [place for _, place in sorted(scored)]
    worst = _apart(frames, ranked, WORST, [])
    best = _apart(frames, reversed(ranked), BEST, worst)
    return [('Worst: ', place) for place in worst] + [('Best: ', place) for place in best]


def _apart(frames: Sequence[Candidate], ranked: Iterable[int], count: int, taken: Sequence[int]) -> List[int]:
    """The first of a ranking, none twice and none within the gap of another one of its stream."""
    gap = len(frames) // 25
    chosen: List[int] = []
    for place in ranked:
        frame = frames[place]
        others = (frames[other] for other in [*taken, *chosen])
        if len(chosen) < count and all(o.stream != frame.stream or abs(o.index - frame.index) > gap for o in others):
            chosen.append(place)
    return chosen
