# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg train``: a recipe, a dataset, a folder; ends in a bundle."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any, List, Optional, Tuple

import click

from ..datasets import open_dataset
from ..export.checkpoint import bundle_from_checkpoint, measure
from ..training.loop import train
from ..training.recipes import RECIPES, Recipe
from ..training.street_frames import rendered_samples
from .output import console, progress


@click.command('train')
@click.argument('recipe', type=click.Choice(list(RECIPES)))
@click.option('--root', required=True, type=click.Path(path_type=Path), help='Folder of the dataset.')
@click.option('--out', required=True, type=click.Path(path_type=Path), help='Folder for checkpoints and the bundle.')
@click.option('--set', 'settings', multiple=True, metavar='KEY=VALUE', help='Change a field of the recipe; repeatable.')
@click.option('--start-from', type=click.Path(path_type=Path), help='Checkpoint whose weights the run begins with.')
@click.option('--resume', is_flag=True, help='Go on after the last finished epoch in OUT.')
def command(
    recipe: str, root: Path, out: Path, settings: Tuple[str, ...], start_from: Optional[Path], resume: bool
) -> None:
    """Train RECIPE and write OUT/bundle, measured on the val split."""
    chosen = with_settings(RECIPES[recipe], list(settings))
    data = open_dataset(chosen.dataset, root, 'train')
    with progress('rendering') as advance:
        street = rendered_samples(chosen.street_frames, chosen.seed, advance)
    checkpoint = train(
        chosen, data, out, street=street, start_from=start_from, resume=resume, log=lambda line: console.print(line)
    )
    bundle = bundle_from_checkpoint(checkpoint, out / 'bundle', sizes=[(360, 480), (512, 1024)])
    with progress('measuring') as advance:
        bundle = measure(bundle, open_dataset(chosen.dataset, root, 'val'), 'val', advance)
    console.print(f'{bundle.path}: mIoU {bundle.card.miou["val"]:.4f} on val')


def with_settings(recipe: Recipe, settings: List[str]) -> Recipe:
    """The recipe with ``key=value`` pairs applied, values as JSON; a usage error lists the fields."""
    known = {f.name for f in dataclasses.fields(Recipe)} - {'name'}
    changes: dict[str, Any] = {}
    for setting in settings:
        key, equals, text = setting.partition('=')
        if key not in known or not equals:
            raise click.UsageError(f'--set {setting!r}: expected KEY=VALUE with a key among {", ".join(sorted(known))}')
        try:
            value = json.loads(text)
        except ValueError:
            value = text
        expected = getattr(recipe, key)
        if isinstance(expected, float) and isinstance(value, int):
            value = float(value)
        if isinstance(expected, tuple) and isinstance(value, list):
            value = tuple(value)
        if type(value) is not type(expected):
            raise click.UsageError(f'--set {setting!r}: {key} is a {type(expected).__name__}, such as {expected!r}')
        changes[key] = value
    return dataclasses.replace(recipe, **changes)
