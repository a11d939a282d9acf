# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A benchmark's result for people: a table and a plot."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict

from rich.table import Table

from .machine import ran_on


def table(result: Dict[str, Any]) -> Table:
    """The rows of ``run_benchmark``, times in milliseconds at the median unless said otherwise."""
    machine = result['machine']
    where = ran_on(machine, result['rows'])
    camera = _size(result['rows'][0]['camera'])
    found = Table(title=f'camera {camera}; {where}, {machine["date"]} (load {machine["load_before"]} before)')
    for column in ('model', 'backend', 'device', 'precision', 'size'):
        found.add_column(column)
    for column in ('network', 'pipeline', 'p95', 'p99', 'around', 'baseline', 'x', 'fps', 'MB', 'equal to fp32'):
        found.add_column(column, justify='right')
    for row in result['rows']:
        pipeline, network, baseline = row['pipeline_ms'], row['network_ms'], row['baseline_ms']
        found.add_row(
            row['model'],
            row['backend'],
            row['device'],
            row['precision'],
            _size(row['size']),
            f'{network["p50"]:.2f}' if network else '-',
            f'{pipeline["p50"]:.2f}',
            f'{pipeline["p95"]:.2f}',
            f'{pipeline["p99"]:.2f}',
            f'{pipeline["p50"] - network["p50"]:.2f}' if network else '-',
            f'{baseline["p50"]:.2f}' if baseline else '-',
            f'{baseline["p50"] / pipeline["p50"]:.1f}' if baseline else '-',
            f'{row["fps"]:.1f}',
            '-' if row['peak_rss_mb'] is None else f'{row["peak_rss_mb"]:.0f}',
            f'{100 * row["agreement"]:.3f} %',
        )
    return found


def plot(result: Dict[str, Any], path: Path) -> None:
    """Stages of each row as stacked bars, the baseline beside them, into an image file."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    rows = result['rows']
    figure = Figure(figsize=(9, 1.2 + 0.5 * len(rows)), layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    names = [f'{r["model"]} {_size(r["size"])}\n{r["backend"]} {r["precision"]}' for r in rows]
    stages = ('preprocess', 'network', 'postprocess')
    places = range(len(rows))  # rows may have one name
    begin = [0.0] * len(rows)
    for stage in stages:
        widths = [r['stage_ms'].get(stage, 0.0) for r in rows]
        axes.barh(places, widths, left=begin, label=stage)
        begin = [b + w for b, w in zip(begin, widths)]
    rest = [max(0.0, r['pipeline_ms']['p50'] - b) for r, b in zip(rows, begin)]
    axes.barh(places, rest, left=begin, label='not split', color='lightgrey')
    baselines = [(i, r['baseline_ms']['p50']) for i, r in enumerate(rows) if r['baseline_ms']]
    if baselines:
        axes.plot([b for _, b in baselines], [i for i, _ in baselines], 'k|', markersize=18, label='eager PyTorch')
    axes.set_yticks(places, names)
    axes.set_xlabel(f'ms per frame (median), camera {_size(rows[0]["camera"])}')
    axes.invert_yaxis()
    axes.legend()
    figure.savefig(path)


def _size(size: Any) -> str:
    return f'{size[0]}x{size[1]}'
