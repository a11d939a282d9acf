# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The segmentation node: what is behind ``rtseg_ros.segmentation_node``."""
