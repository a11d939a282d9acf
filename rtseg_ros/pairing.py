# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which sweep belongs to which frame, by their stamps, whichever of them comes first."""

from __future__ import annotations

from collections import deque
from typing import Deque, Generic, List, Optional, Tuple, TypeVar

Frame = TypeVar('Frame')
Sweep = TypeVar('Sweep')

KEPT_SWEEPS = 10
KEPT_FRAMES = 5


class Pairing(Generic[Frame, Sweep]):
    """Gives each frame the sweep nearest in time, within ``tolerance_ns``. For one thread at a time.

    A frame is decided on once a sweep of its time or a later one has come, since the next would be farther away; or
    without one, when ``KEPT_FRAMES`` newer frames wait.
    """

    def __init__(self, tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._sweeps: Deque[Tuple[int, Sweep]] = deque(maxlen=KEPT_SWEEPS)
        self._frames: Deque[Tuple[int, Frame]] = deque()

    def add_frame(self, stamp_ns: int, frame: Frame) -> List[Tuple[Frame, Optional[Sweep]]]:
        """The frames that are decided on now, each with its sweep or None."""
        self._frames.append((stamp_ns, frame))
        return self._decided()

    def add_sweep(self, stamp_ns: int, sweep: Sweep) -> List[Tuple[Frame, Optional[Sweep]]]:
        """As ``add_frame``."""
        self._sweeps.append((stamp_ns, sweep))
        return self._decided()

    def clear(self) -> None:
        """Forget all frames and sweeps."""
        self._sweeps.clear()
        self._frames.clear()

    def _decided(self) -> List[Tuple[Frame, Optional[Sweep]]]:
        decided = []
        while self._frames:
            stamp_ns, frame = self._frames[0]
            reached = bool(self._sweeps) and self._sweeps[-1][0] >= stamp_ns
            if not reached and len(self._frames) <= KEPT_FRAMES:
                break
            self._frames.popleft()
            decided.append((frame, self._nearest(stamp_ns)))
        return decided

    def _nearest(self, stamp_ns: int) -> Optional[Sweep]:
        near = [entry for entry in self._sweeps if abs(entry[0] - stamp_ns) <= self._tolerance_ns]
        return min(near, key=lambda entry: abs(entry[0] - stamp_ns))[1] if near else None
