# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg benchmark``: how fast each combination is, all timed in turn in one process."""

from __future__ import annotations

from pathlib import Path
from typing import List, Optional, Tuple

import click
import numpy as np

from ..benchmark import plot, run_benchmark, table
from ..card import Size
from ..datasets.sample import list_images, read_rgb
from .model_options import BACKEND, DEVICE, PRECISION, SIZE
from .output import json_option, plot_option, print_wide, progress, write_json

_TABLE_WIDTH = 150


@click.command('benchmark')
@click.option('--model', 'models', multiple=True, required=True, help='Shipped bundle or folder; may be repeated.')
@click.option('--size', 'sizes', type=SIZE, multiple=True, help="Network input HxW; the card's unless given.")
@click.option('--camera', type=SIZE, default=(720, 1280), help='Camera image HxW.  [default: 720x1280]')
@click.option('--backend', 'backends', type=BACKEND, multiple=True, default=['auto'])
@click.option('--precision', 'precisions', type=PRECISION, multiple=True, default=['auto'])
@click.option('--device', type=DEVICE, default='auto', show_default=True)
@click.option('--threads', type=click.IntRange(0), default=0, help='CPU threads; 0 = the runtime decides.')
@click.option('--baseline', is_flag=True, help='Time eager PyTorch with dense upsampling and argmax beside each row.')
@click.option('--graph-baseline', is_flag=True, help='Add ONNX Runtime with upsampling and argmax in the graph.')
@click.option('--images', type=click.Path(path_type=Path, file_okay=False), help='Images to run on, not a rendering.')
@click.option('--frames', 'count', type=click.IntRange(1), default=60, show_default=True, help='Frames per row.')
@json_option
@plot_option('Draw the rows')
def command(
    models: Tuple[str, ...],
    sizes: Tuple[Size, ...],
    camera: Size,
    backends: Tuple[str, ...],
    precisions: Tuple[str, ...],
    device: str,
    threads: int,
    baseline: bool,
    graph_baseline: bool,
    images: Optional[Path],
    count: int,
    json_path: Optional[Path],
    plot_path: Optional[Path],
) -> None:
    """Time pipelines from camera pixels to labels: every MODEL at every size, backend and precision given."""
    with progress('frames') as advance:
        result = run_benchmark(
            models,
            sizes=sizes,
            camera=camera,
            backends=backends,
            precisions=precisions,
            device=device,
            threads=threads,
            baseline=baseline,
            graph_baseline=graph_baseline,
            frames=[] if images is None else read_images(images),
            count=count,
            advance=advance,
        )
    if str(json_path) != '-':
        print_wide(table(result), _TABLE_WIDTH)
    if json_path is not None:
        write_json(json_path, result)
    for combination in result['skipped']:
        click.echo('skipped {model} {backend} {precision}: {reason}'.format(**combination), err=True)
    if plot_path is not None:
        plot(result, plot_path)


def read_images(folder: Path) -> List[np.ndarray]:
    """Every image of a folder, by name, as rgb; NotFound where there is none."""
    return [read_rgb(path) for path in list_images(folder)]
