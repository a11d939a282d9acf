# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process of the command replay_bag; what it does is in ``replay/command.py``."""

from __future__ import annotations

import signal
import sys
from typing import Any, List

from rtseg_models.errors import Unavailable

from .startup import INTERRUPTED, answer_signals, load

_signals: List[int] = []
"""Numbers of the signals that asked to end."""


def main() -> None:
    """Run the command. Interrupted, it keeps finished frames and ends with 130."""
    command = _command()
    answer_signals(_leave)
    try:
        command.main()
    except Exception:
        if not _signals:
            raise
        sys.exit(INTERRUPTED)  # a compiled module that was being imported has made an ImportError of the exit


def _command() -> Any:
    """The module of the command; one sentence and status 69 where a package is missing, as rosbags is before 3.10."""
    try:
        return load('rtseg_ros.replay.command', INTERRUPTED)
    except ModuleNotFoundError as error:
        package = str(error.name).partition('.')[0]
        advice = '; it wants Python 3.10, so replay on a workstation' if package == 'rosbags' else ''
        print(f'replay_bag: needs the package {package!r}, which is not installed{advice}', file=sys.stderr)
        sys.exit(Unavailable.exit_code)


def _leave(number: int) -> None:
    """End the command from wherever it is; another signal does not disturb the cleaning up."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    _signals.append(number)
    print('replay_bag: interrupted', file=sys.stderr)
    sys.exit(INTERRUPTED)


if __name__ == '__main__':
    main()
