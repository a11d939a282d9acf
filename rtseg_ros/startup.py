# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The first second of a process: signals are answered while Python still imports what it needs.

What starts a process is therefore a module of its own that imports next to nothing before it calls ``load``.
"""

from __future__ import annotations

import importlib
import os
import signal
from types import FrameType
from typing import Any, Callable, Optional

INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it: 128 + SIGINT."""


def answer_signals(answer: Callable[[int], object]) -> None:
    """Have ``answer`` called with the number of each SIGINT and SIGTERM."""

    def handler(number: int, frame: Optional[FrameType]) -> None:
        answer(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def load(module: str, exit_code: Optional[int] = None) -> Any:
    """Import a module; SIGINT and SIGTERM end the process at once, until the module answers them in its own way.

    The exit code is then 128 + the signal's number, as shells have it, unless given.
    """
    answer_signals(lambda number: os._exit(128 + number if exit_code is None else exit_code))  # nothing is open yet
    return importlib.import_module(module)
