# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What became of every frame, and how long the served ones took."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, Mapping

from rtseg_models.engine.timing import percentiles

DROP_REASONS = (
    'busy',
    'stale',
    'future',
    'zero_stamp',
    'bad_encoding',
    'bad_size',
    'too_large',
    'decode',
    'disabled',
)
WINDOW_FRAMES = 300
"""Frames that latencies are taken over: ten seconds at 30 Hz."""
WINDOW_S = 10.0
"""Seconds that rates are taken over."""


@dataclass(frozen=True)
class Snapshot:
    """The statistics at one moment. received == published + sum(dropped) + failed + in_flight, always.

    Counts run from the start. Rates are over the last ten seconds, latencies {stage: {p50, p95, p99, max}} in
    milliseconds over the last 300 published frames; both begin anew after ``restart_window``.
    """

    received: int
    published: int
    dropped: Dict[str, int]
    failed: int
    in_flight: int
    consecutive_failures: int
    received_hz: float
    published_hz: float
    latency_ms: Dict[str, Dict[str, float]]


class Statistics:
    """Counts frames. Thread-safe. Every frame received must end in exactly one of published, dropped and failed."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._received = self._published = self._failed = self._consecutive_failures = 0
        self._dropped = dict.fromkeys(DROP_REASONS, 0)
        self._start_window()

    def received(self) -> None:
        """A frame came in."""
        with self._lock:
            self._received += 1
            self._received_at.add(self._clock_s())

    def dropped(self, reason: str, count: int = 1) -> None:
        """Frames got no output for one of DROP_REASONS; KeyError for any other."""
        with self._lock:
            self._dropped[reason] = self._dropped[reason] + count

    def failed(self) -> None:
        """A frame was lost to an error of ours."""
        with self._lock:
            self._failed += 1
            self._consecutive_failures += 1

    def published(self, stage_ms: Mapping[str, float]) -> None:
        """A frame's outputs went out after so many milliseconds in each stage."""
        with self._lock:
            self._published += 1
            self._consecutive_failures = 0
            self._published_at.add(self._clock_s())
            for stage, value_ms in stage_ms.items():
                self._latency_ms.setdefault(stage, deque(maxlen=WINDOW_FRAMES)).append(value_ms)

    def restart_window(self) -> None:
        """Forget rates and latencies, because time jumped; counts stay."""
        with self._lock:
            self._start_window()

    def snapshot(self) -> Snapshot:
        """All figures, taken together."""
        with self._lock:
            now_s = self._clock_s()
            finished = self._published + sum(self._dropped.values()) + self._failed
            return Snapshot(
                received=self._received,
                published=self._published,
                dropped=dict(self._dropped),
                failed=self._failed,
                in_flight=self._received - finished,
                consecutive_failures=self._consecutive_failures,
                received_hz=self._received_at.rate_hz(now_s),
                published_hz=self._published_at.rate_hz(now_s),
                latency_ms={stage: percentiles(list(values)) for stage, values in self._latency_ms.items()},
            )

    def _start_window(self) -> None:
        start_s = self._clock_s()
        self._received_at = _Rate(start_s)
        self._published_at = _Rate(start_s)
        self._latency_ms: Dict[str, Deque[float]] = {}


class _Rate:
    """Events a second over the last WINDOW_S seconds, or since the start where that is less (at least one second)."""

    def __init__(self, start_s: float) -> None:
        self._start_s = start_s
        self._times_s: Deque[float] = deque()

    def add(self, now_s: float) -> None:
        self._times_s.append(now_s)
        self._forget(now_s)

    def rate_hz(self, now_s: float) -> float:
        self._forget(now_s)
        return len(self._times_s) / min(WINDOW_S, max(1.0, now_s - self._start_s))

    def _forget(self, now_s: float) -> None:
        while self._times_s and self._times_s[0] <= now_s - WINDOW_S:
            self._times_s.popleft()
