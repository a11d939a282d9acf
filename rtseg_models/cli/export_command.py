# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg export``: a bundle from a checkpoint of ours, or more input sizes for a bundle."""

from __future__ import annotations

from pathlib import Path
from typing import Optional, Tuple

import click

from ..bundle import load_bundle, shipped_bundles
from ..card import Card, Size
from ..datasets import DATASETS, known_as, open_dataset
from ..errors import ConfigurationError
from ..evaluation import check_classes
from ..export.bundle_writer import staged, with_sizes
from ..export.checkpoint import bundle_from_checkpoint
from ..export.figures import measure, with_figures
from ..export.int8 import check_not_quantised, check_quantiser, measure_int8, quantise
from .model_options import SIZE
from .output import console, progress

CALIBRATION_IMAGES = 100


@click.command('export')
@click.argument('checkpoint', type=click.Path(path_type=Path))
@click.option('--out', required=True, type=click.Path(path_type=Path), help='A new bundle folder.')
@click.option('--size', 'sizes', multiple=True, type=SIZE, help="Input size beside the recipe's; repeatable.")
@click.option('--dataset', type=click.Choice(sorted(DATASETS)), help='Measure on the val split of this dataset …')
@click.option('--root', type=click.Path(path_type=Path), default=Path('.'), help='… which lies in this folder.')
@click.option('--figures-from', multiple=True, help='Bundle of the same recipe on other splits; repeatable.')
@click.option(
    '--int8',
    is_flag=True,
    help='Also quantise for OpenVINO with NNCF (the extra [int8]), calibrated on the train split.',
)
def command(
    checkpoint: Path,
    out: Path,
    sizes: Tuple[Size, ...],
    dataset: Optional[str],
    root: Path,
    figures_from: Tuple[str, ...],
    int8: bool,
) -> None:
    """Write CHECKPOINT (or a bundle, to give it more sizes) as a bundle.

    Each graph is checked against eager PyTorch, and all is measured, before the folder appears. --dataset measures
    every input size. --figures-from adds what other runs of the recipe measured and these weights cannot, such as val
    where val was trained on; the card tells of each such figure which weights it is of.
    """
    sources = [load_bundle(source) for source in figures_from]
    if int8 and dataset is None:
        raise click.UsageError('--int8 needs --dataset and --root: quantisation is calibrated and measured on images')
    if int8:
        check_quantiser()  # measuring takes minutes
    val = open_dataset(dataset, root, 'val') if dataset is not None else None
    calibration = open_dataset(dataset, root, 'train') if dataset is not None and int8 else None
    is_bundle = checkpoint.is_dir() or str(checkpoint) in shipped_bundles()
    given = load_bundle(str(checkpoint)) if is_bundle else None
    if given is not None and int8:
        check_not_quantised(given, given.card.input_size)
    with staged(out) as part:
        if given is not None:
            bundle = with_sizes(given, part, sizes)
        else:
            bundle = bundle_from_checkpoint(checkpoint, part, sizes=sizes)
        if val is not None:
            check_classes(bundle.card, val.class_set)
            _check_dataset(bundle.card, known_as(bundle.card, str(dataset), val.class_set))
            with progress('measuring') as advance:
                bundle = measure(bundle, val, 'val', advance)
                if calibration is not None:
                    picked = range(0, len(calibration), max(1, len(calibration) // CALIBRATION_IMAGES))
                    quantise(bundle, bundle.card.input_size, [calibration[i].rgb for i in picked])
                    bundle = measure_int8(bundle, val, 'val', advance)
        if sources:
            bundle = with_figures(bundle, sources)
    bundle = load_bundle(str(out))
    figures = ', '.join(f'mIoU {k} {v:.4f}' for k, v in bundle.card.miou.items())
    console.print(f'{out}: {", ".join(f"{h}x{w}" for h, w in bundle.sizes())} {figures}')


def _check_dataset(card: Card, name: str) -> None:
    """ConfigurationError where the figures of a card would be of another dataset than it says."""
    if name != card.dataset:
        raise ConfigurationError(
            f'the figures of a card are of its own dataset, {card.dataset}, not of {name}; measure by rtseg evaluate'
        )
