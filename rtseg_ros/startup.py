# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The first second of a process: signals are answered while Python still imports what it needs.

What starts a process is therefore a module of its own that imports next to nothing before it calls ``load``.
"""

from __future__ import annotations

import importlib
import os
import signal
import sys
import time
from types import FrameType
from typing import Any, Callable, Optional

from rtseg_models.errors import Unavailable

POLL_S = 0.05
INTERRUPTED = 130
"""Exit code of a command that Ctrl-C ended, as shells have it: 128 + SIGINT."""


_ADVICE = {
    'rclpy': "; source ROS's setup.bash first",
    'rosbags': '; it wants Python 3.10, so replay on a workstation',
}


class StopRequest:
    """What a signal handler may set: unlike ``threading.Event`` it takes no lock, which the very thread that the signal
    interrupts may hold.
    """

    def __init__(self) -> None:
        self._asked = False

    def set(self) -> None:
        """Ask; harmless when asked already."""
        self._asked = True

    def is_set(self) -> bool:
        """Whether somebody asked."""
        return self._asked

    def wait(self, timeout_s: float) -> bool:
        """Wait until somebody asks, for so many seconds at most; whether somebody did."""
        end_s = time.monotonic() + timeout_s
        while not self._asked and time.monotonic() < end_s:
            time.sleep(min(POLL_S, timeout_s))
        return self._asked


def answer_signals(answer: Callable[[int], object]) -> None:
    """Have ``answer`` called with the number of each SIGINT and SIGTERM, between any two steps of the main thread."""

    def handler(number: int, frame: Optional[FrameType]) -> None:
        answer(number)

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, handler)


def load(program: str, module: str, exit_code: Optional[int] = None) -> Any:
    """Import a module; SIGINT and SIGTERM end the process at once, until the module answers them in its own way.

    The exit code is then 128 + the signal's number, as shells have it, unless given. Where a package is missing or
    cannot be loaded, ``program`` says which in a sentence and ends with 69.
    """
    answer_signals(lambda number: os._exit(128 + number if exit_code is None else exit_code))  # nothing is open yet
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = str(error.name).partition('.')[0]
        advice = _ADVICE.get(package, '')
        print(f'{program}: needs the package {package!r}, which is not installed{advice}', file=sys.stderr)
    except ImportError as error:  # as of an OpenCV that was built for another NumPy
        print(f'{program}: a package that it needs cannot be loaded: {error}', file=sys.stderr)
    sys.exit(Unavailable.exit_code)
