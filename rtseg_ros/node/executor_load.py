# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How busy the executor's thread is: an executor that spins on a subscription shows in nothing else."""

from __future__ import annotations

import time
from collections import deque
from typing import Callable, Deque, Tuple

WINDOW_S = 2.0


class ExecutorLoad:
    """Share of a core that the thread which calls ``share`` used over the last two seconds."""

    def __init__(
        self, clock_s: Callable[[], float] = time.monotonic, used_s: Callable[[], float] = time.thread_time
    ) -> None:
        self._clock_s = clock_s
        self._used_s = used_s
        self._samples: Deque[Tuple[float, float]] = deque()

    def share(self) -> float:
        """0 to 1; 0 while it has not been called for two seconds. Call it several times a second."""
        self._samples.append((self._clock_s(), self._used_s()))
        while len(self._samples) > 2 and self._samples[-1][0] - self._samples[1][0] >= WINDOW_S:
            self._samples.popleft()
        (began_s, before_s), (now_s, after_s) = self._samples[0], self._samples[-1]
        return (after_s - before_s) / (now_s - began_s) if now_s - began_s >= WINDOW_S else 0.0
