# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a step is made of, and how processes share it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Tuple

import numpy as np
import pytest
import torch
from rendered import TINY

from rtseg_models.datasets.sample import Sample
from rtseg_models.labels import CAMVID
from rtseg_models.training import batches as batches_module
from rtseg_models.training import memory
from rtseg_models.training.batches import Batch, Batches, Frames
from rtseg_models.training.memory import Budget, host_memory
from rtseg_models.training.street_frames import rendered_samples


class Numbered:
    """Samples whose labels are their numbers."""

    class_set = CAMVID

    def __init__(self, count: int = 4, size: Tuple[int, int] = (64, 96)) -> None:
        self.count, self.size = count, size

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), np.zeros((*self.size, 3), np.uint8), np.full(self.size, index % 256, np.uint8))


CPU = torch.device('cpu')
NONE = Frames([], CPU)


def first_step(process: int, processes: int) -> Batch:
    recipe = replace(TINY, batch=4, street_share=0.0)
    return next(iter(Batches(Frames(Numbered(), CPU), NONE, recipe, lambda: 0, process, processes)))


def test_every_image_of_a_step_has_a_view_of_its_own() -> None:
    assert len({view.noise_seed for view in first_step(0, 1).views}) == 4


def test_processes_share_the_step_of_a_single_one() -> None:
    whole, parts = first_step(0, 1), [first_step(process, 2) for process in range(2)]
    assert [v.noise_seed for part in parts for v in part.views] == [v.noise_seed for v in whole.views]
    assert [int(i[0, 0]) for part in parts for i in part.labels] == [int(i[0, 0]) for i in whole.labels]


def test_frames_of_many_sizes_are_held_by_what_they_weigh() -> None:
    small, large = (Sample('', np.zeros((n, n, 3), np.uint8), np.zeros((n, n), np.uint8)) for n in (10, 100))
    budget = Budget(50_000)
    assert len(Frames([small, large], CPU, budget).held) == 2
    assert budget.left == 50_000 - 400 - 40_000
    other = Frames([small, large], CPU, budget)  # there is one budget for all datasets
    assert not other.held and other[1][0].shape == (3, 100, 100) and other.largest == 40_000
    mixed = Frames([small, large, large], CPU, Budget(50_000))
    assert not mixed.held and mixed[2][0].shape == (3, 100, 100)


def test_steps_are_prepared_ahead_by_what_they_weigh(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches_module, 'CORES', 32)
    recipe = replace(TINY, batch=10)

    def ahead(size: Tuple[int, int], left: int, processes: int = 1) -> int:
        frames = Frames(Numbered(1000, size), CPU, Budget(left))
        return Batches(frames, NONE, recipe, lambda: 0, 0, processes).ahead()

    assert ahead((8, 8), 0) == ahead((8, 8), 1 << 30) == 34  # small, or held anyway
    assert ahead((1000, 1000), 0) == (1 << 30) // 40_000_000
    assert ahead((6000, 8000), 0) == 2
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '2')
    assert (ahead((8, 8), 0, 2), ahead((1000, 1000), 0, 2)) == (18, 18)
    assert ahead((1000, 1000), 0) == (1 << 29) // 40_000_000


def test_datasets_may_take_a_quarter_of_what_the_machine_can_give(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def write(path: str, text: str) -> None:
        file = tmp_path / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)

    write('proc/meminfo', 'MemTotal: 64 kB\nMemAvailable:   32000000 kB\n')
    assert host_memory(tmp_path) == 32_000_000 * 1024
    write('proc/self/cgroup', '1:cpu:/\n0::/job/step\n')
    write('sys/fs/cgroup/job/step/memory.max', 'max\n')
    write('sys/fs/cgroup/job/step/memory.current', '1000000\n')
    assert host_memory(tmp_path) == 32_000_000 * 1024
    write('sys/fs/cgroup/job/memory.max', '9000000\n')
    write('sys/fs/cgroup/job/memory.current', '3000000\n')
    write('sys/fs/cgroup/job/memory.stat', 'anon 5\ninactive_file 2000000\n')
    assert host_memory(tmp_path) == 8_000_000
    write('proc/self/cgroup', '4:memory:/box\n')
    write('sys/fs/cgroup/memory/box/memory.limit_in_bytes', '5000000')
    write('sys/fs/cgroup/memory/box/memory.usage_in_bytes', '1000000')
    assert host_memory(tmp_path) == 4_000_000
    monkeypatch.setattr(memory, 'host_memory', lambda: 4_000_000)
    assert Budget().left == 1_000_000
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '4')
    assert Budget().left == 250_000


def test_rendered_frames_are_among_the_real_ones() -> None:
    samples = rendered_samples(7, 1, height=64, width=96)
    assert len({sample.name for sample in samples}) == 7
    recipe = replace(TINY, batch=4, street_share=0.5, street_frames=7)
    batches = Batches(Frames(Numbered(), CPU), Frames(samples, CPU), recipe, lambda: 0)
    numbers, first = batches.chosen(0)[0], next(iter(batches))
    assert (numbers >= 4).sum() == 2
    for number, label in zip(numbers, first.labels):
        expected = samples[number - 4].label if number >= 4 else np.full((64, 96), number, np.uint8)
        assert np.array_equal(label.numpy(), expected)


def test_the_time_spent_waiting_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Samples that take a second each to read, by a clock that stands still otherwise."""
    now_s = [0.0]

    class Slow(Numbered):
        def __getitem__(self, index: int) -> Sample:
            now_s[0] += 1.0
            return super().__getitem__(index)

    class AtOnce:
        """In place of a pool: work is done when its result is asked for."""

        def __init__(self, threads: int) -> None:
            self.threads = threads

        def __enter__(self) -> AtOnce:
            return self

        def __exit__(self, *_: Any) -> None:
            return None

        def submit(self, work: Any, *arguments: Any) -> Any:
            return SimpleNamespace(result=lambda: work(*arguments))

    frames = Frames(Slow(8), CPU, Budget(0))
    monkeypatch.setattr(batches_module, 'ThreadPoolExecutor', AtOnce)
    monkeypatch.setattr(batches_module.time, 'perf_counter', lambda: now_s[0])
    batches = Batches(frames, NONE, replace(TINY, batch=4, street_share=0.0), lambda: 0)
    for _ in batches:
        now_s[0] += 10.0  # a step
    assert not frames.held and batches.waited_s == 8.0
