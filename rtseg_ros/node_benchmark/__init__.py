# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the node adds to its pipeline, measured between processes: ``python -m rtseg_ros.node_benchmark``."""
