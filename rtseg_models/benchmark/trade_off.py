# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy against speed, as in FarSee-Net's Figure 1, at full, half and quarter input, as in Fast-SCNN's Table 7."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from ..bundle import Bundle, load_bundle
from ..card import Size
from ..datasets import data_name, known_as
from ..datasets.sample import Dataset
from ..engine import Pipeline
from ..errors import Unavailable
from ..evaluation import evaluate
from .machine import ran_on
from .run import run_benchmark

FRACTIONS = {'full': 1, 'half': 2, 'quarter': 4}
SHORTEST = 32  # pixels of an input's side
FRAMES = 6  # of the dataset, to time on
MARKERS = 'osD^vP*X'  # of the bundles in the picture
SIDES = [(1, 1), (-1, -1), (-1, 1), (1, -1), (1, 0), (-1, 0), (0, 1), (0, -1)]  # of a point for its label, best first
MARKER_RADIUS = 8  # pixels
ALIGNED_ACROSS = {1: 'left', 0: 'center', -1: 'right'}
ALIGNED_UP = {1: 'bottom', 0: 'center', -1: 'top'}


def input_sizes(bundle: Bundle) -> Dict[str, Size]:
    """The card's input size, its half and its quarter, by name."""
    height, width = bundle.card.input_size
    sizes = {name: (height // part, width // part) for name, part in FRACTIONS.items()}
    return {name: size for name, size in sizes.items() if min(size) >= SHORTEST}


def measure_trade_off(
    models: Sequence[str],
    data: Dataset,
    dataset: str,
    split: str,
    *,
    camera: Size = (720, 1280),
    count: int = 60,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> Dict[str, Any]:
    """MIoU on ``data`` and frames a second from ``camera`` pixels to labels, a row for each bundle and input size.

    Both through the Pipeline with the backend and precision that ``auto`` chooses. ``dataset`` is the key of ``data``.
    A bundle that learnt from its ``split`` has the figures that its card took over, and None where there is none. All
    rows are timed in turn in one process.
    """
    bundles = {model: load_bundle(model) for model in models}
    sizes = {model: input_sizes(bundle) for model, bundle in bundles.items()}
    step = max(1, len(data) // FRAMES)
    frames = [data[i].rgb for i in range(0, len(data), step)][:FRAMES]
    timed = run_benchmark(
        models,
        sizes={model: list(found.values()) for model, found in sizes.items()},
        camera=camera,
        frames=frames,
        count=count,
        memory=False,
    )
    if timed['skipped']:
        raise Unavailable('; '.join(s['reason'] for s in timed['skipped']))
    rows = timed['rows']
    names = [(model, name) for model in models for name in sizes[model]]
    for done, (row, (model, name)) in enumerate(zip(rows, names), 1):
        row['input'] = name
        card, size = bundles[model].card, sizes[model][name]
        known = known_as(card, dataset, data.class_set)
        row['of_these_weights'] = split not in card.learnt_from.get(known, [])
        if row['of_these_weights']:
            row['miou'] = _miou(bundles[model], size, data)
        else:
            row['miou'] = card.miou.get(card.figure_name(split, size)) if known == card.dataset else None
        progress(done, len(rows))
    return {'dataset': data_name(dataset, data.class_set), 'split': split, 'images': len(data), **timed}


def _miou(bundle: Bundle, size: Size, data: Dataset) -> float:
    with Pipeline(bundle, input_size=size) as pipeline:
        return round(evaluate(pipeline, data).confusion.miou(), 4)


def markdown(result: Dict[str, Any]) -> str:
    """A table of the rows."""
    machine, rows = result['machine'], result['rows']
    camera = rows[0]['camera']
    lines = [
        f'{ran_on(machine, rows)}, {machine["date"]}, load {machine["load_before"]} before.',
        f'mIoU on the {result["images"]} images of {result["dataset"]} `{result["split"]}`, labels of full size;',
        f'frames a second, at the median, from a {camera[0]}x{camera[1]} image to its labels.',
        '',
        '| bundle | input | size | mIoU | fps | ms | backend | precision |',
        '|---|---|---|---|---|---|---|---|',
    ]
    for row in rows:
        miou = '-' if row['miou'] is None else f'{row["miou"]:.3f}' + ('' if row['of_these_weights'] else ' *')
        size = f'{row["size"][0]}x{row["size"][1]}'
        lines.append(
            f'| `{row["model"]}` | {row["input"]} | {size} | {miou} | {row["fps"]:.0f} | '
            f'{row["pipeline_ms"]["p50"]:.1f} | {row["backend"]} | {row["precision"]} |'
        )
    if not all(row['of_these_weights'] for row in rows):
        lines += ['', f'\\* of the run that chose the recipe: the weights learnt from `{result["split"]}` too.']
    return '\n'.join(lines) + '\n'


def plot_trade_off(result: Dict[str, Any], path: Path) -> None:
    """Each bundle's input sizes as connected points: frames a second to the right, mIoU upwards."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.patheffects import withStroke
    from matplotlib.ticker import LogLocator, NullLocator, ScalarFormatter

    figure = Figure(figsize=(8, 5), dpi=150, layout='constrained')
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    rows: List[Dict[str, Any]] = [r for r in result['rows'] if r['miou'] is not None]
    models = list(dict.fromkeys(r['model'] for r in rows))
    labels: List[Any] = []
    for index, model in enumerate(models):
        own = [r for r in rows if r['model'] == model]
        (line,) = axes.plot([r['fps'] for r in own], [r['miou'] for r in own], marker=MARKERS[index % 8], label=model)
        labels += [
            axes.annotate(
                f'{r["size"][0]}x{r["size"][1]}',
                (r['fps'], r['miou']),
                xytext=(0, 0),
                textcoords='offset points',
                fontsize=8,
                color=line.get_color(),
                path_effects=[withStroke(linewidth=2.5, foreground='white')],
            )
            for r in own
        ]
    axes.set_xscale('log')
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(ScalarFormatter())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.spines[['top', 'right']].set_visible(False)
    axes.margins(x=0.12, y=0.1)
    axes.grid(alpha=0.25)
    camera, machine = result['rows'][0]['camera'], result['machine']
    where = ran_on(machine, result['rows'])
    axes.set_xlabel(f'frames a second, from a {camera[0]}x{camera[1]} image to its labels ({where})')
    axes.set_ylabel(f'mIoU on {result["dataset"]} {result["split"]}')
    if rows:
        axes.legend(frameon=False)
        place_labels(axes, labels)
    figure.savefig(path)


def place_labels(axes: Any, labels: Sequence[Any]) -> None:
    """Write each label (a matplotlib Annotation) on the side of its point where it covers the least.

    One after the other, in the order of the points' speed. A label, a marker or the legend covered weighs most, then
    the frame of the axes, then the curves. The figure's layout is computed here, so draw everything else before.
    """
    from matplotlib.transforms import Bbox

    axes.figure.draw_without_rendering()
    curves = [line.get_transform().transform(line.get_xydata()) for line in axes.lines]
    steps = np.linspace(0, 1, 50)[:, None]
    segments = [(a, b) for points in curves for a, b in zip(points, [*points[1:], points[-1]])]
    drawn = np.concatenate([a + (b - a) * steps for a, b in segments])
    frame = axes.get_window_extent()
    taken = [Bbox([point, point]).padded(MARKER_RADIUS) for points in curves for point in points]
    taken += [axes.get_legend().get_window_extent()] if axes.get_legend() else []
    for label in sorted(labels, key=lambda label: float(label.xy[0])):
        found = []
        for right, up in SIDES:
            label.set(position=(7 * right, 6 * up), ha=ALIGNED_ACROSS[right], va=ALIGNED_UP[up])
            box = label.get_window_extent().padded(1)
            inside = ((drawn > (box.x0, box.y0)) & (drawn < (box.x1, box.y1))).all(axis=1).sum()
            outside = not (frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1))
            found.append(((sum(box.overlaps(other) for other in taken), outside, inside), (right, up), box))
        (_, (right, up), box) = min(found, key=lambda side: side[0])
        label.set(position=(7 * right, 6 * up), ha=ALIGNED_ACROSS[right], va=ALIGNED_UP[up])
        taken.append(box)
