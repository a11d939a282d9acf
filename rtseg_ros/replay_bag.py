# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process of the command replay_bag; what it does is in ``replay/command.py``."""

from __future__ import annotations

import signal
import sys
from typing import List

from .startup import INTERRUPTED, answer_signals, load

_signals: List[int] = []
"""Numbers of the signals that asked to end."""


def main() -> None:
    """Run the command. Interrupted, it keeps finished frames and ends with 130."""
    command = load('replay_bag', 'rtseg_ros.replay.command', INTERRUPTED)
    answer_signals(_leave)
    try:
        command.main()
    except Exception:
        if not _signals:
            raise
        sys.exit(INTERRUPTED)  # a compiled module that was being imported has made an ImportError of the exit


def _leave(number: int) -> None:
    """End the command from wherever it is; another signal does not disturb the cleaning up."""
    for other in (signal.SIGINT, signal.SIGTERM):
        signal.signal(other, signal.SIG_IGN)
    _signals.append(number)
    print('replay_bag: interrupted', file=sys.stderr)
    sys.exit(INTERRUPTED)


if __name__ == '__main__':
    main()
