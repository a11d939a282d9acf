# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process of the synthetic camera; what it does is in ``sources/street_camera.py``."""

from __future__ import annotations

import sys

from .startup import load


def main() -> int:
    """Run until the frames end, SIGINT or SIGTERM; 64 for a command line or parameter that cannot be had."""
    code: int = load('synthetic_camera', 'rtseg_ros.sources.street_camera', exit_code=0).main()
    return code


if __name__ == '__main__':
    sys.exit(main())
