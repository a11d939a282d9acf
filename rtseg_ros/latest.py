# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The box between the executor's thread and the worker: newest wins, one place for each camera."""

from __future__ import annotations

import threading
import time
from typing import Dict, Generic, Optional, TypeVar

Item = TypeVar('Item')


class Latest(Generic[Item]):
    """Holds the newest item of each key. Keys are served in turn: a key that is refilled keeps its place in the row."""

    def __init__(self) -> None:
        self._waiting: Dict[str, Item] = {}
        self._closed = False
        self._changed = threading.Condition()

    def put(self, item: Item, key: str = '') -> bool:
        """Leave an item; True when that cost one: the older item of its key, or this one after ``close``."""
        with self._changed:
            if self._closed:
                return True
            displaced = key in self._waiting
            self._waiting[key] = item
            self._changed.notify()
            return displaced

    def take(self, timeout_s: Optional[float] = None) -> Optional[Item]:
        """The item whose key has waited longest; None after ``timeout_s`` seconds without one, or once closed."""
        deadline = None if timeout_s is None else time.monotonic() + timeout_s
        with self._changed:
            while not self._waiting and not self._closed:
                remaining = None if deadline is None else deadline - time.monotonic()
                if remaining is not None and remaining <= 0:
                    return None
                self._changed.wait(remaining)
            if not self._waiting:
                return None
            return self._waiting.pop(next(iter(self._waiting)))

    def clear(self) -> int:
        """Throw away what waits; the number of items."""
        with self._changed:
            count = len(self._waiting)
            self._waiting.clear()
            return count

    def close(self) -> int:
        """Throw away what waits and wake every ``take``, for good; the number of items thrown away."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self.clear()
