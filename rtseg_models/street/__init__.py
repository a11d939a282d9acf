# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A seeded renderer of a moving street: camera images with exact labels and depth, from numpy and OpenCV alone.

A street is a scene of textured planar patches before a pinhole camera that drives along it. Every pixel's label and
depth belong to the patch that the pixel's centre ray meets first.
"""

from .street import Street, StreetFrame

__all__ = ['Street', 'StreetFrame']
