# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Stages of work that overlap: an iterator run in a thread of its own, a few items ahead of who takes them."""

from __future__ import annotations

import threading
from queue import Empty, Full, Queue
from typing import Generator, Iterator, Tuple, TypeVar

T = TypeVar('T')

_ITEM, _FAILURE, _END = range(3)
_POLL_S = 0.1


def ahead(items: Iterator[T], depth: int) -> Generator[T, None, None]:
    """Items in order, made in a thread and at most ``depth`` of them waiting.

    An exception in the thread is raised here, in its turn. Closing this generator ends the thread and closes ``items``.
    """
    queue: Queue[Tuple[int, object]] = Queue(depth)
    left = threading.Event()

    def put(kind: int, value: object) -> bool:
        while not left.is_set():
            try:
                queue.put((kind, value), timeout=_POLL_S)
                return True
            except Full:
                continue
        return False

    def work() -> None:
        try:
            for item in items:
                if not put(_ITEM, item):
                    break
            put(_END, None)
        except BaseException as error:  # whatever it is, it belongs to who takes the items
            put(_FAILURE, error)
        finally:
            close = getattr(items, 'close', None)
            if close is not None:
                close()

    thread = threading.Thread(target=work, daemon=True)
    thread.start()
    try:
        while True:
            try:
                kind, value = queue.get(timeout=_POLL_S)  # a timeout, so that Ctrl-C is heard
            except Empty:
                continue
            if kind == _END:
                return
            if kind == _FAILURE:
                raise value  # type: ignore[misc]
            yield value  # type: ignore[misc]
    finally:
        left.set()
        thread.join()
