# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the ROS-free packages say through Python's logging, said by the node."""

from __future__ import annotations

import logging
from typing import Any

LIBRARY = 'rtseg'
"""The logger of ``rtseg_models``."""


class RosHandler(logging.Handler):
    """Passes records on to a ROS logger."""

    def __init__(self, logger: Any) -> None:
        super().__init__(logging.INFO)
        self._logger = logger

    def emit(self, record: logging.LogRecord) -> None:
        text = record.getMessage()
        # rclpy refuses a severity that differs from the one before at the same line.
        if record.levelno >= logging.ERROR:
            self._logger.error(text)
        elif record.levelno >= logging.WARNING:
            self._logger.warning(text)
        else:
            self._logger.info(text)


def forward_library_log(logger: Any) -> None:
    """Have ``logger`` (of a ROS node) say what the model library logs, from INFO on; nothing else shows it then."""
    library = logging.getLogger(LIBRARY)
    library.setLevel(logging.INFO)
    library.propagate = False
    library.addHandler(RosHandler(logger))
