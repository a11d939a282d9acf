# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The engine: from pixels to labels on whatever runtime the machine has. Imports no PyTorch until it is chosen."""

from __future__ import annotations

from .pipeline import NonFiniteLogits, Pipeline, Segmentation, open_for_command

__all__ = ['NonFiniteLogits', 'Pipeline', 'Segmentation', 'open_for_command']
