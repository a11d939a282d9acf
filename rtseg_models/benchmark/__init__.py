# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How fast a pipeline is, beside the bare network and beside the customary ways to do the same."""

from __future__ import annotations

from .report import plot, table
from .run import run_benchmark
from .trade_off import markdown, measure_trade_off, plot_trade_off

__all__ = ['markdown', 'measure_trade_off', 'plot', 'plot_trade_off', 'run_benchmark', 'table']
