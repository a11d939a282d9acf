# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The process of the demo; what it does is in ``command.py``."""

from ..startup import load

if __name__ == '__main__':
    load('rtseg_ros.demo', 'rtseg_ros.demo.command').main()
