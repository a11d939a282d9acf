# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How fast a pipeline is, beside the bare network and beside the customary ways to do the same."""

from __future__ import annotations

from .report import plot, table
from .run import run_benchmark

__all__ = ['plot', 'run_benchmark', 'table']
