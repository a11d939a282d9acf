# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Which sweep belongs to which frame, by their stamps, whichever of them comes first."""

from __future__ import annotations

from collections import deque
from typing import Deque, Generic, List, Optional, Tuple, TypeVar

Frame = TypeVar('Frame')
Sweep = TypeVar('Sweep')

KEPT_SWEEPS, KEPT_BYTES = 1000, 256 << 20
"""At most, as when no frame comes: a second of 1080x1920 float depth at 30 Hz."""
KEPT_FRAMES, KEPT_FRAME_BYTES, FEW_FRAMES = 100, 256 << 20, 5
WAIT_NS = 500_000_000
"""What a sweep may lag behind frames of its time: its own length, and the way to here."""


class Pairing(Generic[Frame, Sweep]):
    """Gives each frame the sweep nearest in time, within ``tolerance_ns``. For one thread at a time.

    A frame is decided on once a sweep of its time or a later one has come, since the next would be farther away; or
    without one, when a frame ``WAIT_NS`` away from it has come, or more wait than ``KEPT_FRAMES``, of large ones than
    ``FEW_FRAMES``. Sweeps too old for the frame decided last and for those that
    wait are dropped: the frames to come are newer. However long a network takes, a frame finds the sweep of its time,
    as long as what came since then fits into ``KEPT_SWEEPS`` and ``KEPT_BYTES``.
    """

    def __init__(self, tolerance_ns: int) -> None:
        self._tolerance_ns = tolerance_ns
        self._sweeps: List[Tuple[int, Sweep, int]] = []
        self._frames: Deque[Tuple[int, Frame, int]] = deque()
        self._decided_ns: Optional[int] = None

    def add_frame(self, stamp_ns: int, frame: Frame, size: int = 0) -> List[Tuple[Frame, Optional[Sweep]]]:
        """The frames that are decided on now, each with its sweep or None; ``size`` in bytes."""
        self._frames.append((stamp_ns, frame, size))
        return self._decided()

    def add_sweep(self, stamp_ns: int, sweep: Sweep, size: int = 0) -> List[Tuple[Frame, Optional[Sweep]]]:
        """As ``add_frame``; ``size`` in bytes. A sweep takes the place of one of the same stamp."""
        self._sweeps = [entry for entry in self._sweeps if entry[0] != stamp_ns]
        self._sweeps.append((stamp_ns, sweep, size))
        del self._sweeps[:-KEPT_SWEEPS]
        excess = sum(entry[2] for entry in self._sweeps) - KEPT_BYTES
        while excess > 0 and len(self._sweeps) > 1:
            excess -= self._sweeps.pop(0)[2]
        return self._decided()

    def clear(self) -> None:
        """Forget all frames and sweeps."""
        self._sweeps.clear()
        self._frames.clear()
        self._decided_ns = None

    def _decided(self) -> List[Tuple[Frame, Optional[Sweep]]]:
        decided = []
        while self._frames:
            stamp_ns, frame, _ = self._frames[0]
            reached = bool(self._sweeps) and self._sweeps[-1][0] >= stamp_ns
            if not reached and not self._overdue():
                break
            self._frames.popleft()
            decided.append((frame, self._nearest(stamp_ns)))
            self._decided_ns = stamp_ns
        self._let_go()
        return decided

    def _overdue(self) -> bool:
        """Whether the frame that waits for longest is not to wait any more."""
        away_ns = abs(self._frames[-1][0] - self._frames[0][0])
        size = sum(entry[2] for entry in self._frames)
        most = FEW_FRAMES if size > KEPT_FRAME_BYTES else KEPT_FRAMES
        return away_ns > WAIT_NS or len(self._frames) > most

    def _nearest(self, stamp_ns: int) -> Optional[Sweep]:
        near = [entry for entry in self._sweeps if abs(entry[0] - stamp_ns) <= self._tolerance_ns]
        return min(near, key=lambda entry: abs(entry[0] - stamp_ns))[1] if near else None

    def _let_go(self) -> None:
        if self._decided_ns is None:
            return
        needed_ns = min([self._decided_ns, *(entry[0] for entry in self._frames)]) - self._tolerance_ns
        self._sweeps = [entry for entry in self._sweeps if entry[0] >= needed_ns]
