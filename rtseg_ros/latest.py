# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The box between the executor's thread and the worker: newest wins, one place for each camera."""

from __future__ import annotations

import threading
import time
from typing import Callable, Dict, Generic, List, Optional, TypeVar

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

    def take_also(self, wanted: Callable[[Item], bool]) -> List[Item]:
        """Every waiting item that ``wanted`` accepts, the longest waiting first; none is waited for."""
        with self._changed:
            keys = [key for key, item in self._waiting.items() if wanted(item)]
            return [self._waiting.pop(key) for key in keys]

    def close(self) -> List[Item]:
        """Wake every ``take`` and refuse every ``put`` from now on; the items that waited."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            waiting = list(self._waiting.values())
            self._waiting.clear()
            return waiting
