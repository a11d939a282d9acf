# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What became of every frame, and how long the served ones took."""

from __future__ import annotations

import threading
import time
from collections import deque
from dataclasses import dataclass
from typing import Callable, Deque, Dict, Mapping, Optional, Tuple

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
NO_FAULTS = ('busy', 'disabled')
"""Reasons of drops that are nobody's mistake, or told elsewhere."""
WINDOW_FRAMES = 300
"""Most frames that latencies are taken over: ten seconds at 30 Hz."""
WINDOW_S = 10.0
"""Seconds that rates and latencies are taken over."""


@dataclass(frozen=True)
class Snapshot:
    """The statistics at one moment. received == published + sum(dropped) + failed + in_flight, always.

    Counts run from the start; ``consecutive_failures`` are none, where the last was before anybody listened. ``faults``
    are what was dropped for a reason of its own since the last mask, by reason,
    the first ``faulty_s`` seconds ago; none where the last was before anybody listened. Rates are over the last
    ``rates_over_s`` seconds, ten at most. Latencies {stage: {p50, p95, p99, max}}, in milliseconds, are over what was
    published in the last ten seconds, 300 frames at most. Rates and latencies begin anew after ``restart_window``.
    """

    received: int
    published: int
    dropped: Dict[str, int]
    failed: int
    in_flight: int
    consecutive_failures: int
    rates_over_s: float
    received_hz: float
    published_hz: float
    faults: Dict[str, int]
    faulty_s: float
    latency_ms: Dict[str, Dict[str, float]]


class Statistics:
    """Counts frames. Thread-safe. Every frame received must end in exactly one of published, dropped and failed."""

    def __init__(self, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._received = self._published = self._failed = self._consecutive_failures = 0
        self._dropped = dict.fromkeys(DROP_REASONS, 0)
        self._faults: Dict[str, int] = {}
        self._faulty_since_s = self._last_fault_s = self._last_failure_s = 0.0
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
            if reason not in NO_FAULTS:
                now_s = self._clock_s()
                self._faulty_since_s = self._faulty_since_s if self._faults else now_s
                self._last_fault_s = now_s
                self._faults[reason] = self._faults.get(reason, 0) + count

    def failed(self) -> None:
        """A frame was lost to an error of ours."""
        with self._lock:
            self._failed += 1
            self._consecutive_failures += 1
            self._last_failure_s = self._clock_s()

    def published(self, stage_ms: Mapping[str, float]) -> None:
        """A frame's outputs went out after so many milliseconds in each stage."""
        with self._lock:
            self._published += 1
            self._consecutive_failures = 0
            self._faults = {}
            now_s = self._clock_s()
            self._published_at.add(now_s)
            for stage, value_ms in stage_ms.items():
                self._latencies.setdefault(stage, deque(maxlen=WINDOW_FRAMES)).append((now_s, value_ms))

    def restart_window(self) -> None:
        """Forget rates and latencies, because time jumped; counts stay."""
        with self._lock:
            self._start_window()

    def snapshot(self, since_s: Optional[float] = None) -> Snapshot:
        """All figures, taken together; rates leave out the time before ``since_s``, when nobody listened."""
        with self._lock:
            now_s = self._clock_s()
            began_s = max(self._start_s, now_s - WINDOW_S, *([] if since_s is None else [since_s]))
            over_s = max(1.0, now_s - began_s)
            finished = self._published + sum(self._dropped.values()) + self._failed
            return Snapshot(
                received=self._received,
                published=self._published,
                dropped=dict(self._dropped),
                failed=self._failed,
                in_flight=self._received - finished,
                consecutive_failures=self._consecutive_failures if self._last_failure_s >= (since_s or 0.0) else 0,
                rates_over_s=over_s,
                received_hz=self._received_at.count(began_s) / over_s,
                published_hz=self._published_at.count(began_s) / over_s,
                faults=dict(self._faults) if since_s is None or self._last_fault_s >= since_s else {},
                faulty_s=now_s - self._faulty_since_s,
                latency_ms=self._latency_ms(now_s),
            )

    def _start_window(self) -> None:
        self._start_s = self._clock_s()
        self._received_at = _Events()
        self._published_at = _Events()
        self._latencies: Dict[str, Deque[Tuple[float, float]]] = {}

    def _latency_ms(self, now_s: float) -> Dict[str, Dict[str, float]]:
        recent = {
            stage: [value_ms for at_s, value_ms in values if at_s > now_s - WINDOW_S]
            for stage, values in self._latencies.items()
        }
        return {stage: percentiles(values_ms) for stage, values_ms in recent.items() if values_ms}


class _Events:
    """When something happened within the last WINDOW_S seconds."""

    def __init__(self) -> None:
        self._times_s: Deque[float] = deque()

    def add(self, now_s: float) -> None:
        self._times_s.append(now_s)
        while self._times_s[0] <= now_s - WINDOW_S:
            self._times_s.popleft()

    def count(self, began_s: float) -> int:
        """How often after ``began_s``."""
        return sum(time_s > began_s for time_s in self._times_s)


def percentiles_text(figures_ms: Mapping[str, float]) -> str:
    """Percentiles of a stage as diagnostics tell them."""
    return ' '.join(f'{name} {figures_ms[name]:.1f}' for name in ('p50', 'p95', 'max'))


def percentiles_from(text: str) -> Dict[str, float]:
    """What ``percentiles_text`` was given, to a tenth of a millisecond; empty for any other text."""
    words = text.split()
    if words[::2] != ['p50', 'p95', 'max']:
        return {}
    return {name: float(number) for name, number in zip(words[::2], words[1::2])}
