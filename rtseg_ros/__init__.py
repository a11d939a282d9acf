# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ROS 2 shell round rtseg_models: codecs, the node, the synthetic camera, the demo and bag replay."""
