# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg figures``: accuracy against speed, for the README."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import click

from ..benchmark import markdown, measure_trade_off, plot_trade_off
from ..bundle import shipped_bundles
from ..card import Size
from ..datasets import DATASETS, open_dataset
from .model_options import SIZE
from .output import json_option, new_file_option, plot_option, progress, write_json


@click.command('figures')
@click.option('--dataset', type=click.Choice(sorted(DATASETS)), required=True)
@click.option('--root', type=click.Path(path_type=Path), default=Path('.'), help='Folder of the dataset.')
@click.option('--split', type=click.Choice(['train', 'val', 'test']), default='val', show_default=True)
@click.option('--model', 'models', multiple=True, help='Shipped bundle or folder; repeatable.  [default: all shipped]')
@click.option('--camera', type=SIZE, default=(720, 1280), help='Camera image HxW.  [default: 720x1280]')
@click.option('--frames', 'count', type=click.IntRange(1), default=60, show_default=True, help='Frames per row.')
@plot_option('Draw it')
@new_file_option('--table', 'table_path', 'Write it as markdown.')
@json_option
def command(
    dataset: str,
    root: Path,
    split: str,
    models: Tuple[str, ...],
    camera: Size,
    count: int,
    plot_path: Optional[Path],
    table_path: Optional[Path],
    json_path: Optional[Path],
) -> None:
    """Measure mIoU and speed of every bundle at its input size, half and a quarter of it."""
    data = open_dataset(dataset, root, split)
    with progress('bundles and sizes') as advance:
        result = measure_trade_off(
            models or list(shipped_bundles()), data, dataset, split, camera=camera, count=count, progress=advance
        )
    if str(json_path) != '-':
        click.echo(markdown(result), nl=False)
    if json_path is not None:
        write_json(json_path, result)
    if table_path is not None:
        table_path.write_text(markdown(result), encoding='utf-8')
    if plot_path is not None:
        plot_trade_off(result, plot_path)
