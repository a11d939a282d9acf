# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The stale-frame gate: which frames are worth the network's time, judged by their stamps alone."""

from __future__ import annotations

from dataclasses import dataclass

JUMP_NS = 500_000_000
"""A stamp or clock that goes back by more than this has jumped (a bag began again); by less, frames changed places."""

AHEAD = 5
"""Frames in a row from the future after which their stamps are taken for time itself, not for single faults."""


@dataclass(frozen=True)
class Verdict:
    """``reason`` to drop the frame: '', 'stale', 'future' or 'zero_stamp'. ``jumped``: time began anew with it."""

    reason: str
    jumped: bool


@dataclass
class FrameGate:
    """One camera's gate. The settings may be changed at any time; an age of 0 switches that check off."""

    max_age_s: float = 0.5
    max_future_s: float = 0.1
    drop_zero_stamp: bool = False

    def __post_init__(self) -> None:
        self._last_stamp_ns = 0
        self._last_now_ns = 0
        self._ahead = 0

    def check(self, stamp_ns: int, now_ns: int) -> Verdict:
        """Judge a frame by its stamp and the ROS clock, which is 0 while simulated time has not started.

        A frame without a stamp has no age, and with the clock at 0 no frame has one: they pass unchecked. A repeated
        stamp passes. For jumps, stamp and clock are compared with those of the frame before; zeros are left out, and so
        are stamps from the future until ``AHEAD`` have come in a row: the frame after a faulty one is no jump back.
        """
        reason = self._reason(stamp_ns, now_ns)
        jumped = _went_back(self._last_stamp_ns, stamp_ns) or _went_back(self._last_now_ns, now_ns)
        self._ahead = self._ahead + 1 if reason == 'future' else 0
        if stamp_ns and not 0 < self._ahead < AHEAD:
            self._last_stamp_ns = stamp_ns
        self._last_now_ns = now_ns or self._last_now_ns
        return Verdict(reason, jumped)

    def _reason(self, stamp_ns: int, now_ns: int) -> str:
        if stamp_ns == 0:
            return 'zero_stamp' if self.drop_zero_stamp else ''
        if now_ns == 0:
            return ''
        age_s = (now_ns - stamp_ns) / 1e9
        if self.max_age_s > 0 and age_s > self.max_age_s:
            return 'stale'
        if self.max_future_s > 0 and -age_s > self.max_future_s:
            return 'future'
        return ''


def _went_back(before_ns: int, after_ns: int) -> bool:
    return after_ns != 0 and before_ns - after_ns > JUMP_NS
