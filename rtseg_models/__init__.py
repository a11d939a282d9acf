# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real-time semantic segmentation networks, their engine and their training; knows nothing of ROS."""

__version__ = '0.1.0'
