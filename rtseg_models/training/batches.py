# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Batches of an epoch, in an order and with views that derive from seed, epoch and step alone."""

from __future__ import annotations

import time
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Callable, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import numpy as np
import torch
from torch import Tensor

from ..datasets.sample import Dataset, Sample
from ..errors import ConfigurationError
from ..machine import CORES
from .augment import View, draw_view
from .launch import world
from .memory import Budget
from .recipe import Recipe

AHEAD_BYTES = 1 << 30  # of samples read for the steps prepared ahead, over the processes of a machine


class Batch(NamedTuple):
    """Sources of one forward pass: rgb (3,H,W) uint8 and their place among the samples of the whole step.

    Labels, ids (H,W) uint8 or an image's class () int64, and the views to take are those of the step: the loss is
    divided by what is labelled in all of it.
    """

    rgbs: List[Tensor]
    place: slice
    labels: List[Tensor]
    views: List[View]


class Frames:
    """Samples as tensors: all held on ``device`` or on the host where they fit, else read when they are asked for.

    ``budget`` is shared with the process's other datasets. ``largest`` is the bytes of the largest sample read so far.
    """

    def __init__(
        self, samples: Sequence[Sample] | Dataset, device: torch.device, budget: Optional[Budget] = None
    ) -> None:
        self.samples, self.largest = samples, 0
        self.held: List[Tuple[Tensor, Tensor]] = []
        budget = budget or Budget()
        for place in dict.fromkeys((device, torch.device('cpu'))):
            if len(samples) and not self.held:
                self.held = self._hold(place, budget)

    def __len__(self) -> int:
        return len(self.samples)

    def __getitem__(self, index: int) -> Tuple[Tensor, Tensor]:
        return self.held[index] if self.held else self._read(index)

    def _hold(self, device: torch.device, budget: Budget) -> List[Tuple[Tensor, Tensor]]:
        """All samples on ``device``; none where they need more than may be had."""
        count, limit, used = len(self.samples), budget.room(device), 0
        if count * _size(*self._read(0)) > limit:
            return []
        held = []
        with ThreadPoolExecutor(readers()) as pool:
            for rgb, label in pool.map(self._read, range(count)):
                used += _size(rgb, label)  # sizes may differ
                if used > limit:
                    return []
                held.append((rgb.to(device), label.to(device)))
        budget.charge(device, used)
        return held

    def _read(self, index: int) -> Tuple[Tensor, Tensor]:
        _, rgb, label = self.samples[index]
        read = torch.from_numpy(np.ascontiguousarray(rgb.transpose(2, 0, 1))), torch.from_numpy(label)
        self.largest = max(self.largest, _size(*read))
        return read


def _size(rgb: Tensor, label: Tensor) -> int:
    return rgb.nbytes + label.nbytes


def readers() -> int:
    """Threads that prepare batches in each of the processes of a machine."""
    return max(2, CORES // world()['local_size'])


def check_spread(recipe: Recipe, processes: int) -> None:
    """ConfigurationError where a batch cannot be shared out evenly."""
    parts = processes * recipe.accumulate
    if recipe.batch % parts:
        raise ConfigurationError(
            f'batch {recipe.batch} cannot be spread over {processes} processes x {recipe.accumulate} passes; '
            f'choose a multiple of {parts}'
        )


class Batches:
    """One process's share of every epoch's batches; ``epoch()`` is asked at the start of each iteration.

    A step's batch holds ``recipe.batch`` samples, ``street_share`` of them from the first ``street_frames`` of
    ``street``; it is spread over ``processes`` and ``accumulate`` forward passes. An epoch's last batch is filled with
    samples of its beginning. ``waited_s`` grows by the time that the taker spent waiting.
    """

    def __init__(
        self,
        frames: Frames,
        street: Frames,
        recipe: Recipe,
        epoch: Callable[[], int],
        process: int = 0,
        processes: int = 1,
    ) -> None:
        check_spread(recipe, processes)
        self.frames, self.street, self.recipe, self.epoch = frames, street, recipe, epoch
        self.process, self.processes = process, processes
        self.streets = min(len(street), recipe.street_frames)
        self.rendered = round(recipe.batch * recipe.street_share) if self.streets else 0
        self.waited_s = 0.0

    @property
    def steps(self) -> int:
        """Steps of the optimiser in an epoch."""
        return -(-len(self.frames) // (self.recipe.batch - self.rendered))

    def __len__(self) -> int:
        return self.steps * self.recipe.accumulate

    def chosen(self, epoch: int) -> np.ndarray:
        """Sample numbers (steps, batch) of an epoch; rendered ones count on from the real ones."""
        rng = np.random.default_rng((self.recipe.seed, epoch))
        real = self.recipe.batch - self.rendered
        order = rng.permutation(len(self.frames))
        order = np.resize(order, self.steps * real).reshape(self.steps, real)
        extra = rng.integers(0, max(self.streets, 1), (self.steps, self.rendered)) + len(self.frames)
        both = np.concatenate([order, extra], axis=1)
        mixed: np.ndarray = rng.permuted(both, axis=1)  # every process sees rendered frames
        return mixed

    def _assemble(self, epoch: int, step: int, numbers: np.ndarray) -> List[Batch]:
        """The share of a step that this process has, a batch for each forward pass."""
        size = self.recipe.batch // (self.processes * self.recipe.accumulate)
        rgbs, labels, views = [], [], []
        for part in range(self.recipe.accumulate):
            first = (part * self.processes + self.process) * size
            for slot in range(first, first + size):
                number = int(numbers[slot])
                real = number < len(self.frames)
                rgb, label = self.frames[number] if real else self.street[number - len(self.frames)]
                rng = np.random.default_rng((self.recipe.seed, epoch, step, slot))
                rgbs.append(rgb)
                labels.append(label)
                views.append(draw_view((rgb.shape[1], rgb.shape[2]), self.recipe, rng))
        places = [slice(i, i + size) for i in range(0, len(rgbs), size)]
        return [Batch(rgbs[place], place, labels, views) for place in places]

    def ahead(self) -> int:
        """Steps to prepare ahead: each reader's and two, as far as what has to be read for them may weigh."""
        read = max((f.largest for f in (self.frames, self.street) if not f.held), default=0)
        share = self.recipe.batch // self.processes * read
        most = AHEAD_BYTES // world()['local_size'] // share if share else self.steps
        return min(max(2, most), readers() + 2, self.steps)

    def __iter__(self) -> Iterator[Batch]:
        epoch, ahead = self.epoch(), self.ahead()
        chosen = self.chosen(epoch)
        with ThreadPoolExecutor(readers()) as pool:

            def submit(step: int) -> Future[List[Batch]]:
                return pool.submit(self._assemble, epoch, step, chosen[step])

            waiting = [submit(step) for step in range(ahead)]
            for step in range(self.steps):
                asked = time.perf_counter()
                batches = waiting.pop(0).result()
                self.waited_s += time.perf_counter() - asked
                if step + ahead < self.steps:
                    waiting.append(submit(step + ahead))
                yield from batches
