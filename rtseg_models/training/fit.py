# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Train by a recipe, stage after stage, in a folder with checkpoints that a killed run resumes from."""

from __future__ import annotations

import fcntl
import gc
import logging
import os
import warnings
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Callable, Iterator, NamedTuple, Optional, Sequence, Union

import lightning
import numpy as np
import torch
from lightning.fabric.plugins.environments import LightningEnvironment
from lightning.pytorch.loggers import TensorBoardLogger

from ..datasets.sample import Dataset, Sample
from ..errors import ConfigurationError, RtsegError, UsageError
from ..networks import build_network
from .batches import Batches, Frames
from .checkpoint import read_checkpoint
from .epochs import AtomicCheckpoints, EpochEnd
from .launch import arithmetic, training_device, world
from .losses import class_weights
from .memory import Budget
from .module import SegmentationModule, TrainingModule
from .origin import Origin, Parent, begun
from .plan import check_beginning, check_run, check_same_data, log_plan, recorded_beginning
from .pretraining import ClassificationModule, learns_images
from .provenance import facts
from .recipe import Recipe
from .report import write_configuration
from .termination import EndsAfterEpoch

PRECISIONS = {'fp32': '32-true', 'bf16': 'bf16-mixed', 'fp16': '16-mixed'}


class OutOfMemory(RtsegError):
    """A step of the training does not fit the memory of its device; the last checkpoint is kept."""


@dataclass(frozen=True)
class Data:
    """What a run learns from: a checked dataset, its pixels (or classified images) per class (C,), rendered frames;
    ``val`` for the curves.
    """

    train: Dataset
    counts: np.ndarray
    street: Sequence[Sample] = ()
    val: Union[Sequence[Sample], Dataset] = field(default=())


def train(
    recipe: Recipe,
    data: Data,
    out: Path,
    *,
    images: Optional[Data] = None,
    pretrained: Optional[Path] = None,
    start_from: Optional[Path] = None,
    resume: bool = False,
    log: Callable[[str], None] = print,
    callbacks: Sequence[lightning.Callback] = (),
) -> Path:
    """Train every stage of the recipe and return the last checkpoint, ``out/last.pt``.

    A pre-training learns from ``images``, or ``pretrained`` (see ``load_pretrained``) takes its place;
    ConfigurationError where there is neither. The first stage begins with the weights of ``start_from``, a
    checkpoint or a bundle, not beside ``pretrained``. ``resume`` goes on after the last finished epoch; without it,
    UsageError where the folder holds a checkpoint. ``out/configuration.json`` tells the settings from the start.
    NonFiniteLoss and OutOfMemory keep the last checkpoint; SIGTERM to any process ends all of them after the epoch,
    with exit status 143. One process logs. The processes of several machines need ``out`` to be one folder that
    they share.
    """
    log = log if world()['rank'] == 0 else _silent
    stages, handovers, begin = check_run(recipe, out, images is not None, pretrained, start_from, resume)

    def learnt_by(stage: Recipe) -> Data:
        return images if images is not None and learns_images(stage) else data

    for name, stage in stages:
        if (out / name / 'last.pt').exists():
            check_same_data(out / name / 'last.pt', learnt_by(stage).train)
    begins_with = recorded_beginning(out, (out / stages[0][0] / 'last.pt').exists(), begin)
    if begin is not None and not (out / stages[0][0] / 'last.pt').exists():
        check_beginning(stages[0][1], learnt_by(stages[0][1]).train.class_set, begin)
    with _alone_in(out):
        if world()['rank'] == 0:
            write_configuration(recipe, data.train.class_set, data.counts, len(data.train), begins_with, out)
        log_plan(recipe, training_device(), log)
        sources: Optional[Sources] = None
        for (name, stage), handover in zip(stages, handovers):
            if name:
                log(f'stage {name}')
            checkpoint = out / name / 'last.pt'
            if not checkpoint.exists() or read_checkpoint(checkpoint)['epoch'] < stage.epochs:
                if sources is None or sources.data is not learnt_by(stage):
                    sources = None
                    _free_memory()
                    sources = Sources.of(learnt_by(stage), any(s.validate_every for _, s in stages))
                first = None if checkpoint.exists() else begin  # a checkpoint holds the weights and their lineage
                _train_stage(name, stage, sources, checkpoint, first, log, callbacks)
            begin = Origin(checkpoint, handover)
    return out / 'last.pt'


@contextmanager
def _alone_in(out: Path) -> Iterator[None]:
    """Keep others from training in a folder; UsageError where they do. The first of several processes does so."""
    if world()['rank'] != 0:
        yield
        return
    out.mkdir(parents=True, exist_ok=True)
    folder = os.open(out, os.O_RDONLY)
    try:
        try:
            fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise UsageError(f'{out}: another run is training there; wait for it or choose another folder') from None
        except OSError:  # as on a file system without locks
            pass
        yield
    finally:
        os.close(folder)


def _free_memory() -> None:
    """Give back what an earlier stage held: its trainer is part of a cycle, and PyTorch keeps a GPU's memory."""
    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()


def _silent(line: str) -> None:
    """What the other processes log with."""


class Sources(NamedTuple):
    """Data with its samples as tensors."""

    data: Data
    train: Frames
    street: Frames
    val: Frames

    @classmethod
    def of(cls, data: Data, validated: bool) -> Sources:
        """Training samples on the device, validation samples, where they are wanted, on the host."""
        device, host, budget = training_device(), torch.device('cpu'), Budget()
        train, street = Frames(data.train, device, budget), Frames(data.street, device, budget)
        return cls(data, train, street, Frames(data.val if validated else (), host, budget))


def _train_stage(
    name: str,
    recipe: Recipe,
    sources: Sources,
    checkpoint: Path,
    begin: Optional[Origin],
    log: Callable[[str], None],
    callbacks: Sequence[lightning.Callback],
) -> None:
    place, classes = world(), sources.data.train.class_set
    torch.manual_seed(recipe.seed)
    network = build_network(recipe.network, len(classes), aux=True, **recipe.network_args)
    parent: Optional[Parent] = None
    if begin is not None:
        network, parent, anew = begun(network, recipe, classes, begin)
        log(f'begins with the weights of {begin.path}' + (f'; anew: {", ".join(anew)}' if anew else ''))
    trainer: Optional[lightning.Trainer] = None
    batches = Batches(
        sources.train,
        sources.street,
        recipe,
        lambda: trainer.current_epoch if trainer else 0,
        place['rank'],
        place['size'],
    )
    told = {**facts(recipe, classes, parent), 'samples': len(sources.data.train)}
    module: TrainingModule
    if learns_images(recipe):
        module = ClassificationModule(network.train(), recipe, classes, batches, told)
    else:
        weights = class_weights(sources.data.counts, recipe.class_weight_c)
        module = SegmentationModule(network.train(), recipe, classes, weights, batches, told)
    module.stage = name
    checkpoint.parent.mkdir(parents=True, exist_ok=True)
    ending = EndsAfterEpoch(checkpoint, log)
    trainer = _trainer(recipe, checkpoint.parent, [EpochEnd(checkpoint, sources.val, log), ending, *callbacks])
    resumed = checkpoint if checkpoint.exists() else None
    if resumed is not None:
        log(f'resumed after epoch {read_checkpoint(resumed)["epoch"]}')
    with warnings.catch_warnings(), ending, _in_a_sentence(module):
        # Lightning advises worker processes and a logging interval; neither fits samples that are held in memory.
        warnings.filterwarnings('ignore', module='lightning')
        trainer.fit(module, train_dataloaders=batches, ckpt_path=resumed)


@contextmanager
def _in_a_sentence(module: TrainingModule) -> Iterator[None]:
    """Say what PyTorch raises where a step does not fit the machine or the network."""
    recipe, key = module.recipe, module.key
    try:
        yield
    except (MemoryError, RuntimeError) as error:
        short = isinstance(error, (MemoryError, torch.cuda.OutOfMemoryError))
        if not short and "can't allocate memory" not in str(error):  # what a CPU's allocator says
            raise
        raise OutOfMemory(
            f'memory ran out in a step of {recipe.batch} crops of {recipe.crop[0]}x{recipe.crop[1]} in '
            f'{recipe.accumulate} passes: raise {key("accumulate")}, then --resume, or begin anew with a lower '
            f'{key("batch")} or {key("crop")} ({str(error).splitlines()[0] if str(error) else type(error).__name__})'
        ) from error
    except ValueError as error:
        if 'more than 1 value per channel' not in str(error):
            raise
        raise ConfigurationError(
            f'{recipe.network} pools to a single pixel, whose batch norm needs two images or more in a forward pass; '
            f'batch {recipe.batch} over {world()["size"]} processes x {recipe.accumulate} passes gives one'
        ) from error


def _trainer(recipe: Recipe, folder: Path, callbacks: Sequence[lightning.Callback]) -> lightning.Trainer:
    place, gpu = world(), torch.cuda.is_available()
    for part in ('lightning.pytorch', 'lightning.fabric'):  # their lines on devices and versions say nothing new
        logging.getLogger(part).setLevel(logging.WARNING)
    # Without torchrun there is one process: Lightning is not to look for more of them among srun's variables.
    surroundings = [] if 'RANK' in os.environ else [LightningEnvironment()]
    # TF32 would round fp32 to 10 bits: of ERFNet's gradient at the beginning, a cosine of 0.74 would be left.
    torch.backends.cudnn.allow_tf32 = recipe.precision != 'fp32'
    trainer = lightning.Trainer(
        accelerator='gpu' if gpu else 'cpu',
        devices=place['local_size'],
        num_nodes=place['size'] // place['local_size'],
        strategy='ddp' if place['size'] > 1 else 'auto',
        sync_batchnorm=gpu and place['size'] > 1,
        precision=PRECISIONS[arithmetic(recipe.precision)],
        max_epochs=recipe.epochs,
        accumulate_grad_batches=recipe.accumulate,
        callbacks=list(callbacks),
        plugins=[AtomicCheckpoints(), *surroundings],
        logger=TensorBoardLogger(folder, name='tensorboard', version=''),
        enable_checkpointing=True,
        enable_model_summary=False,
        use_distributed_sampler=False,
        num_sanity_val_steps=0,
        benchmark=gpu,  # inputs keep their size: let cuDNN choose by measuring
    )
    return trainer
