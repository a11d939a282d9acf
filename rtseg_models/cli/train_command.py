# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg train``: a recipe, a dataset, a folder; ends in a bundle."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Tuple

import click
import numpy as np

from ..bundle import Bundle, load_bundle
from ..datasets import DATASETS, Dataset, open_checked
from ..datasets.check import inspect
from ..datasets.image_folder import open_images
from ..datasets.sample import Joined, hold_out
from ..errors import BundleError, UsageError
from ..export.checkpoint import bundle_from_checkpoint
from ..export.figures import measure
from ..labels import CAMVID
from ..networks import CLASSIFIERS, NETWORKS
from ..training.checkpoint import read_checkpoint
from ..training.fit import Data, train
from ..training.launch import others_waiting, world
from ..training.plan import check_networks, check_run
from ..training.pretraining import learns_images
from ..training.recipe import Recipe, with_settings
from ..training.recipes import RECIPES
from ..training.report import write_class_table, write_curves
from ..training.street_frames import rendered_samples
from .output import console, progress


@click.command('train')
@click.argument('recipe', type=click.Choice(list(RECIPES)), metavar='RECIPE')
@click.option('--root', required=True, type=click.Path(path_type=Path), help='Folder of the dataset.')
@click.option('--out', required=True, type=click.Path(path_type=Path), help='Folder for checkpoints and the bundle.')
@click.option(
    '--set',
    'settings',
    multiple=True,
    metavar='[STAGE.]KEY=VALUE',
    help='Change a field of the recipe; repeatable. A plain KEY changes the last stage, and the earlier ones that do '
    'not set KEY themselves; STAGE.KEY one of the earlier ones.',
)
@click.option(
    '--images', 'image_root', type=click.Path(path_type=Path), help='Folder of classified images: SPLIT/CLASS/.'
)
@click.option(
    '--pretrained', type=click.Path(path_type=Path), help='Checkpoint or front-end weights, in place of images.'
)
@click.option(
    '--start-from', type=click.Path(path_type=Path), help='Bundle or checkpoint whose weights the run begins with.'
)
@click.option('--resume', is_flag=True, help='Go on after the last finished epoch in OUT.')
def command(
    recipe: str,
    root: Path,
    out: Path,
    settings: Tuple[str, ...],
    image_root: Optional[Path],
    pretrained: Optional[Path],
    start_from: Optional[Path],
    resume: bool,
) -> None:
    """Train RECIPE (see: rtseg recipes) and write OUT/bundle, measured on the val split.

    A recipe that begins with a pre-training on classified images needs --images, or --pretrained with what was learnt
    from them. Under torchrun, the processes share each batch.
    """
    try:
        chosen = with_settings(RECIPES[recipe], settings)
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    networks = {*NETWORKS, *CLASSIFIERS}
    for kind, name, known in (('dataset', chosen.dataset, {*DATASETS}), ('network', chosen.network, networks)):
        if name not in known:
            raise click.UsageError(f'unknown {kind} {name!r}; known: {", ".join(sorted(known))}')
    try:
        check_networks(chosen)
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    if image_root and pretrained:
        raise click.UsageError('--pretrained takes the place of --images; give one of them')
    if start_from and pretrained:
        raise click.UsageError('--start-from and --pretrained both say what the run begins with; give one of them')
    if learns_images(chosen.stages()[0][1]) != bool(image_root or pretrained):
        needs = 'begins' if not (image_root or pretrained) else 'does not begin'
        raise click.UsageError(f'{recipe} {needs} with a pre-training: that is what --images and --pretrained are for')
    check_run(chosen, out, bool(image_root), pretrained, start_from, resume)  # before hours of looking at images
    if (out / 'bundle').exists() and not finished(out / 'last.pt', chosen):
        raise UsageError(f'{out / "bundle"} is not of this run, which has not ended; move it away')
    (data, measured), images = _checked(lambda: _prepared(chosen, root), lambda: image_root and _images(image_root))
    first = world()['rank'] == 0
    streets = _streets(chosen)
    if streets:
        with progress('rendering') as advance:
            data = replace(data, street=rendered_samples(streets, chosen.seed, advance))
    checkpoint = train(
        chosen,
        data,
        out,
        images=images,
        pretrained=pretrained,
        start_from=start_from,
        resume=resume,
        log=lambda line: console.print(line, soft_wrap=True),
    )
    with others_waiting(out):
        if first:
            _write_results(chosen, checkpoint, measured, out)


def _checked(*openings: Callable[[], Any]) -> List[Any]:
    """What the functions return; BundleError with the faults of all of them."""
    found: List[Any] = []
    faults: List[str] = []
    for opening in openings:
        try:
            found.append(opening())
        except BundleError as error:
            faults.append(str(error))
    if faults:
        raise BundleError('\n'.join(faults))
    return found


def _images(root: Path) -> Data:
    """The checked images of a pre-training."""
    opened = open_images(root)
    return Data(opened['train'], opened['train'].counts(), val=opened['val'])


def _prepared(recipe: Recipe, root: Path) -> Tuple[Data, Dict[str, Dataset]]:
    """The checked training data, and what the bundle is measured on, by name."""
    splits = dict.fromkeys([*recipe.splits, 'val'])
    opened, counts = open_checked(recipe.dataset, root, list(splits))
    parts = [opened[s] for s in recipe.splits]
    learnt: Dataset = parts[0] if len(parts) == 1 else Joined(parts)
    total = np.sum([counts[s] for s in recipe.splits], axis=0)
    measured = {'val': opened['val']}
    if recipe.hold_out:
        learnt, measured['held_out_drive'] = hold_out(learnt, recipe.hold_out)
        held, _ = inspect(measured['held_out_drive'])  # whole as part of its split
        total = total - held
        for part, pixels in (('learnt from', total), ('held out', held)):
            if not pixels.sum():
                raise BundleError(f'hold_out is {recipe.hold_out!r}: no pixel of what is {part} is labelled')
    if _streets(recipe) and learnt.class_set != CAMVID:
        raise click.UsageError(
            f'street_frames is {_streets(recipe)}; rendered frames have the classes of CamVid only: '
            '--set street_frames=0 --set street_share=0'
        )
    return Data(learnt, total, val=opened['val']), measured


def _streets(recipe: Recipe) -> int:
    """Rendered frames that the stages need."""
    return max(stage.street_frames for _, stage in recipe.stages())


def _write_results(recipe: Recipe, checkpoint: Path, measured: Dict[str, Dataset], out: Path) -> None:
    """Bundle with its figures, curves and the table per class."""
    finals = {name: out / name / 'last.pt' for name, _ in recipe.stages()}  # a pre-training may have been elsewhere
    histories = {name: read_checkpoint(path)['history'] for name, path in finals.items() if path.exists()}
    write_curves(histories, recipe.name, out)
    bundle = _bundle(checkpoint, out)
    for name, data in measured.items():
        with progress(f'measuring {name}') as advance:
            bundle = measure(bundle, data, name, advance)
    if bundle.card.miou:
        write_class_table(bundle.card.origin['iou'], bundle.card.miou, out)
    figures = ', '.join(f'{k} {v:.4f}' for k, v in bundle.card.miou.items())
    console.print(f'{bundle.path}: mIoU {figures or "not measured, since all splits were trained on"}')


def finished(checkpoint: Path, recipe: Recipe) -> bool:
    """Whether a run has ended and left its last checkpoint."""
    return checkpoint.exists() and bool(read_checkpoint(checkpoint)['epoch'] >= recipe.epochs)


def _bundle(checkpoint: Path, out: Path) -> Bundle:
    """The bundle of this checkpoint; the one that a resumed run finds finished is kept."""
    target = out / 'bundle'
    return load_bundle(str(target)) if target.exists() else bundle_from_checkpoint(checkpoint, target)
