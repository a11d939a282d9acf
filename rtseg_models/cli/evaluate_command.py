# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg evaluate``: IoU over a dataset through the pipeline that the robot runs."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import click
from rich.table import Table

from ..bundle import load_bundle
from ..card import UNKNOWN_SPLIT, Size
from ..datasets import DATASETS, known_as, open_dataset
from ..evaluation import check_classes, evaluate
from .model_options import SIZE, open_pipeline, pipeline_options
from .output import console, json_option, progress, write_json

log = logging.getLogger('rtseg')


@click.command('evaluate')
@click.option(
    '--model', 'models', multiple=True, required=True, help='A shipped bundle or a bundle folder; repeatable.'
)
@click.option('--dataset', type=click.Choice(sorted(DATASETS)), required=True)
@click.option('--root', type=click.Path(path_type=Path), default=Path('.'), help='Folder of the dataset.')
@click.option('--split', type=click.Choice(['train', 'val', 'test']), default='val', show_default=True)
@click.option('--size', type=SIZE, help="Network input size instead of the card's.")
@pipeline_options
@json_option
def command(
    models: Tuple[str, ...],
    dataset: str,
    root: Path,
    split: str,
    size: Optional[Size],
    backend: str,
    precision: str,
    device: str,
    threads: int,
    json_path: Optional[Path],
) -> None:
    """Measure IoU per class at the labels' size; one JSON object for one model, a list for several."""
    data = open_dataset(dataset, root, split)
    results: Dict[str, Any] = {}
    for model in models:  # all, before the first is measured for an hour
        check_classes(load_bundle(model).card, data.class_set)
    for model in models:
        with open_pipeline(model, backend, precision, device, threads, size) as pipeline:
            card = pipeline.bundle.card
            seen = card.learnt_from.get(known_as(card, dataset, data.class_set), [])
            if split in seen:
                log.warning(
                    '%s was trained on the %s split of %s: this figure is too optimistic', model, split, dataset
                )
            elif UNKNOWN_SPLIT in seen:
                log.warning('%s may have been trained on the %s split of %s before its last run', model, split, dataset)
            with progress(f'{model} on {dataset} {split}') as advance:
                measured = evaluate(pipeline, data, advance)
            results[model] = {
                'model': model,
                'dataset': dataset,
                'split': split,
                'backend': pipeline.backend.name,
                'precision': pipeline.backend.precision,
                'input_size': list(pipeline.input_size),
                **measured.to_json(),
            }
    if str(json_path) != '-':
        console.print(_table(results, f'IoU on {dataset} {split}, {len(data)} images'))
    if json_path is not None:
        rows = list(results.values())
        write_json(json_path, rows[0] if len(rows) == 1 else rows)


def _table(results: Dict[str, Any], title: str) -> Table:
    table = Table('class', *results, title=title)
    first = next(iter(results.values()))
    for name in first['iou']:
        table.add_row(name, *(_share(r['iou'][name]) for r in results.values()))
    table.add_section()
    for key in ('miou', 'category_miou', 'pixel_accuracy'):
        if any(r[key] is not None for r in results.values()):
            table.add_row(key, *(_share(r[key]) for r in results.values()), style='bold')
    return table


def _share(value: Optional[float]) -> str:
    return '-' if value is None else f'{value:.4f}'
