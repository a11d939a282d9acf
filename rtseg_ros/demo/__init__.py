# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo: camera, node and recorder as processes over real DDS, then video, bag and report."""
