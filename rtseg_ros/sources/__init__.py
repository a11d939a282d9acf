# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cameras that are none: rendered streets and recorded pictures, played at a steady rate."""
