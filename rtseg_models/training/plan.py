# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a training can be done as it is asked for: checked before anything is trained."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Callable, List, Optional, Sequence, Set, Tuple

import torch

from ..datasets.sample import Dataset
from ..errors import ConfigurationError, UsageError
from ..labels import UNLABELLED, ClassSet
from ..networks import CLASSIFIERS, build_network
from .batches import check_spread
from .checkpoint import read_checkpoint
from .launch import arithmetic, training_device, world
from .origin import Origin, Parent, begun, inherit
from .pretraining import learns_images
from .provenance import hardware
from .recipe import Recipe
from .report import recorded_origin, recorded_stages


def check_run(
    recipe: Recipe, out: Path, images: bool, pretrained: Optional[Path], start_from: Optional[Path], resume: bool
) -> Tuple[List[Tuple[str, Recipe]], List[str], Optional[Origin]]:
    """The stages to be trained, what each hands over, and what the first begins with; looks at no data.

    ConfigurationError or UsageError where that is not to be done, here, or in the folder ``out``.
    """
    stages, handovers, begin = _stages(recipe, images, pretrained, start_from)
    _check_folder(recipe, out, resume)
    check_plan(stages, handovers)
    for name, stage in stages:
        if (out / name / 'last.pt').exists():
            check_same_settings(stage, out / name / 'last.pt')
    return stages, handovers, begin


def _stages(
    recipe: Recipe, images: bool, pretrained: Optional[Path], start_from: Optional[Path]
) -> Tuple[List[Tuple[str, Recipe]], List[str], Optional[Origin]]:
    """The stages to be trained, what each hands over, and what the first begins with."""
    stages, handovers = recipe.stages(), [*(stage.handover for stage in recipe.before), '']
    begin = Origin(start_from, 'weights') if start_from else None
    if learns_images(stages[0][1]):
        if pretrained is not None and start_from is not None:
            raise ConfigurationError(f'{pretrained} and {start_from} cannot both be what the run begins with')
        if pretrained is not None:
            return stages[1:], handovers[1:], Origin(pretrained, 'pretrained')
        if not images:
            raise ConfigurationError(f'{recipe.name} begins with a pre-training and was given no images for it')
    return stages, handovers, begin


def _check_folder(recipe: Recipe, out: Path, resume: bool) -> None:
    """UsageError where the folder holds checkpoints that this run was not asked to go on from.

    ConfigurationError where they are another run's.
    """
    own = ['', *(stage.name for stage in recipe.before)]
    there = [name for name in dict.fromkeys([*own, *recorded_stages(out)]) if (out / name / 'last.pt').exists()]
    if there and not resume:
        raise UsageError(f'{out / there[0] / "last.pt"} exists already; resume the run or choose another folder')
    foreign = [name for name in there if name not in own]
    if foreign:
        raise ConfigurationError(f'{out} holds the stages {", ".join(foreign)} of another run')


def recorded_beginning(out: Path, begun: bool, begin: Optional[Origin]) -> Optional[str]:
    """What the run's first weights are, for its configuration; ConfigurationError where it began with others."""
    told, given = recorded_origin(out), str(begin.path) if begin else None
    if not begun:
        if told and not given:
            raise ConfigurationError(
                f'{out} began with the weights of {told} and has finished no epoch: name them with --start-from'
            )
        return given
    if given and (not told or Path(given).resolve() != Path(told).resolve()):
        pretrained = begin is not None and begin.handover == 'pretrained'  # which such a recipe has to be given
        way = f'with --pretrained {told}' if told and pretrained else 'without naming weights'
        raise ConfigurationError(
            f'{out} has not begun with the weights of {given}, but with {told or "none"}: resume it {way}, or choose '
            'another folder'
        )
    return told


def check_plan(stages: Sequence[Tuple[str, Recipe]], handovers: Sequence[str]) -> None:
    """ConfigurationError, before anything is trained, where stages do not fit each other or this machine."""
    for name, stage in stages:
        try:
            check_spread(stage, world()['size'])
        except ConfigurationError as error:
            raise ConfigurationError(f'stage {name}: {error}' if name else str(error)) from error
    for (_, before), handover, (_, after) in zip(stages, handovers, stages[1:]):
        wide, thin = ({k: v for k, v in s.network_args.items() if k != 'width'} for s in (before, after))
        if handover == 'prune' and (before.network, wide) != (after.network, thin):
            raise ConfigurationError(
                f'pruning keeps all but the width: {before.network} {wide} cannot become {after.network} {thin}'
            )
        _check_handover(before, handover, after)
    _check_machine({stage.precision for _, stage in stages})


def check_beginning(stage: Recipe, classes: ClassSet, begin: Origin) -> None:
    """NotFound, BundleError or ConfigurationError where the first stage cannot begin with these weights."""
    begun(build_network(stage.network, len(classes), aux=True, **stage.network_args), stage, classes, begin)


def _check_handover(before: Recipe, handover: str, after: Recipe) -> None:
    """Hand over what a fresh network has."""
    fresh = build_network(after.network, len(TWO), aux=True, **after.network_args)
    heir = inherit(fresh, after, TWO, Parent.of_stage(asdict(before), TWO), handover).network
    found, wanted = ({k: w.shape for k, w in n.state_dict().items()} for n in (heir, fresh))
    if found != wanted:
        raise ConfigurationError(
            f'what is handed over from {before.network} is no {after.network} {after.network_args}'
        )


TWO = ClassSet('', ('one', 'two'), ((0, 0, 0), (1, 1, 1)), UNLABELLED)


def _check_machine(precisions: Set[str]) -> None:
    device, processes = training_device(), world()['local_size']
    if device.type == 'cpu':
        if 'fp16' in precisions:
            raise ConfigurationError('precision fp16 needs a GPU; on a CPU choose bf16 or fp32')
        return
    gpus = torch.cuda.device_count()
    if processes > gpus:
        raise ConfigurationError(f'{processes} processes on this machine, which has {gpus} GPUs; each needs its own')
    capability = torch.cuda.get_device_capability(device)
    if 'bf16' in precisions and torch.version.hip is None and capability[0] < BF16_SINCE:
        raise ConfigurationError(
            f'{torch.cuda.get_device_name(device)} does not compute in bf16, which NVIDIA GPUs do since Ampere; '
            'choose precision=fp16 or fp32'
        )


BF16_SINCE = 8  # CUDA's compute capability


def check_networks(recipe: Recipe) -> None:
    """UsageError where a stage's network cannot be built with its arguments, or the last one segments nothing."""
    if recipe.network in CLASSIFIERS:
        raise UsageError(f'{recipe.network} classifies whole images: it can be an earlier stage, not the last')
    for name, stage in recipe.stages():
        where = f'stage {name}: ' if name else ''
        try:
            network = build_network(stage.network, 2, aux=True, **stage.network_args)
        except (TypeError, ValueError, ArithmeticError, LookupError, RuntimeError) as error:
            raise UsageError(f'{where}{stage.network} with network_args {stage.network_args}: {error}') from error
        least = int(getattr(network, 'multiple', 1))
        if min(stage.crop) < least:
            raise UsageError(f'{where}crop is {stage.crop!r}; {stage.network} needs sides of {least} pixels or more')


def log_plan(recipe: Recipe, device: torch.device, log: Callable[[str], None]) -> None:
    """Tell how many processes take part, and what is trained on what."""
    size = world()['size']
    if size > 1:
        norms = 'synchronised over' if device.type == 'cuda' else 'separate in each of'
        log(f'{size} processes; batch norm statistics are {norms} the processes')
    log(f'{recipe.name}: {recipe.network} on {hardware(recipe)}')
    if any(arithmetic(stage.precision) != stage.precision for _, stage in recipe.stages()):
        log('this CPU would emulate bf16, at an eighth of the speed: fp32 takes its place')


def check_same_settings(recipe: Recipe, checkpoint: Path) -> None:
    """ConfigurationError where a run would be resumed with other settings than it began with."""
    began = json.loads(read_checkpoint(checkpoint)['recipe'])
    now = json.loads(json.dumps(asdict(recipe)))
    changed = [f'{k} was {began.get(k)!r}, is {now[k]!r}' for k in now if began.get(k) != now[k] and k not in RESUMABLE]
    if changed:
        said = f'{checkpoint} belongs to other settings: {"; ".join(changed)}'
        if began['network'] == recipe.network and not learns_images(recipe):
            said += f'. To go on with these, begin a run in another folder, with --start-from {checkpoint}'
        raise ConfigurationError(said)


def check_same_data(checkpoint: Path, data: Dataset) -> None:
    """ConfigurationError where a run would be resumed with other classes or images than it began with."""
    state = read_checkpoint(checkpoint)
    learnt, classes, samples = state['class_set'], data.class_set, len(data)
    if (learnt.names, learnt.ignore_id) != (classes.names, classes.ignore_id):
        was, given = (f'{", ".join(c.names)} (ignored: {c.ignore_id})' for c in (learnt, classes))
        raise ConfigurationError(f'{checkpoint} belongs to other classes: they were {was}; they are {given}')
    began_with = state['samples']
    if began_with not in (0, samples):
        raise ConfigurationError(f'{checkpoint} belongs to other data: {began_with} samples; there are {samples} now')


RESUMABLE = ('lr', 'accumulate', 'validate_every', 'source')
"""Fields that may change between a run and its resumption."""
