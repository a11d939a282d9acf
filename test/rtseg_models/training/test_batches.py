# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a step is made of, and how processes share it."""

from __future__ import annotations

from dataclasses import replace
from typing import Tuple

import torch
from rendered import TINY

from rtseg_models.training.batches import Batch, Batches


class Numbered:
    """Four samples whose labels are their numbers."""

    def __len__(self) -> int:
        return 4

    def __getitem__(self, index: int) -> Tuple[torch.Tensor, torch.Tensor]:
        return torch.zeros(3, 64, 96, dtype=torch.uint8), torch.full((64, 96), index)


def first_step(process: int, processes: int) -> Batch:
    recipe = replace(TINY, batch=4, street_share=0.0)
    return next(iter(Batches(Numbered(), [], recipe, lambda: 0, process, processes)))  # type: ignore[arg-type]


def test_every_image_of_a_step_has_a_view_of_its_own() -> None:
    assert len({view.noise_seed for view in first_step(0, 1).views}) == 4


def test_processes_share_the_step_of_a_single_one() -> None:
    whole, parts = first_step(0, 1), [first_step(process, 2) for process in range(2)]
    assert [v.noise_seed for part in parts for v in part.views] == [v.noise_seed for v in whole.views]
    assert [int(i[0, 0]) for part in parts for i in part.labels] == [int(i[0, 0]) for i in whole.labels]
