# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a node does with an error that nobody foresaw: count it, and show its traceback once."""

from __future__ import annotations

import threading
import time
import traceback
from typing import Any, Callable, Dict, Tuple

WARN_PERIOD_S = 5.0


class Guard:
    """Logs errors and complaints for a node without flooding its log. Thread-safe."""

    def __init__(self, logger: Any, clock_s: Callable[[], float] = time.monotonic) -> None:
        self._logger = logger
        self._clock_s = clock_s
        self._lock = threading.Lock()
        self._counts: Dict[Tuple[str, ...], int] = {}
        self._warned_s: Dict[str, float] = {}

    @property
    def errors(self) -> int:
        """Errors reported so far."""
        return sum(self._counts.values())

    def report(self, error: BaseException, where: str) -> None:
        """Count an error; the first of each signature (type and place) is logged with its traceback."""
        frames = traceback.extract_tb(error.__traceback__)
        last = frames[-1] if frames else None
        signature = (type(error).__name__, where, f'{last.filename}:{last.lineno}' if last else '')
        with self._lock:
            self._counts[signature] = self._counts.get(signature, 0) + 1
            if self._counts[signature] > 1:
                return
        text = ''.join(traceback.format_exception(type(error), error, error.__traceback__))
        self._logger.error(f'{where}: unexpected error, shown once and counted from here on\n{text}')

    def warn(self, topic: str, message: str) -> None:
        """Log a warning, at most every 5 s for each ``topic``."""
        now_s = self._clock_s()
        with self._lock:
            if now_s - self._warned_s.get(topic, -WARN_PERIOD_S) < WARN_PERIOD_S:
                return
            self._warned_s[topic] = now_s
        self._logger.warning(message)
