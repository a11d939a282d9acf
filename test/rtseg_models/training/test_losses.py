# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rtseg_models.training.losses import class_weights, segmentation_loss


class Fixed(torch.nn.Module):
    """A network whose logits are its parameter."""

    def __init__(self, logits: torch.Tensor) -> None:
        super().__init__()
        self.logits = torch.nn.Parameter(logits)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.logits


class WithAux(Fixed):
    aux_weight = 0.4
    aux_heads = ()

    def forward_with_aux(self, x: torch.Tensor) -> tuple[torch.Tensor, list[torch.Tensor]]:
        return self.logits, [self.logits * 2, self.logits * 3]


@pytest.fixture
def case() -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((2, 5, 8, 12), generator=generator)
    labels = torch.randint(0, 6, (2, 8, 12), generator=generator)  # 5 is ignored
    return logits, labels, torch.rand(5, generator=generator) + 0.5


def test_weighted_mean_equals_pytorch(case: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = case
    loss = segmentation_loss(Fixed(logits), logits, labels, weights, 5)
    assert torch.allclose(loss, F.cross_entropy(logits, labels, weights, ignore_index=5))


def test_auxiliary_heads_count_with_their_weight(case: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = case
    parts = [F.cross_entropy(logits * k, labels, weights, ignore_index=5) for k in (1, 2, 3)]
    loss = segmentation_loss(WithAux(logits), logits, labels, weights, 5)
    assert torch.allclose(loss, parts[0] + 0.4 * (parts[1] + parts[2]))


def test_logits_are_resized_to_the_labels(case: tuple[torch.Tensor, ...]) -> None:
    logits, _, weights = case
    labels = torch.zeros((2, 16, 24), dtype=torch.long)
    large = F.interpolate(logits, (16, 24), mode='bilinear', align_corners=False)
    loss = segmentation_loss(Fixed(logits), logits, labels, weights, 5)
    assert torch.allclose(loss, F.cross_entropy(large, labels))


def test_nothing_labelled_is_zero_and_finite(case: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = case
    network = Fixed(logits)
    for hard_only in (False, True):
        loss = segmentation_loss(network, logits, torch.full_like(labels, 5), weights, 5, hard_only=hard_only)
        loss.backward()
        assert float(loss.detach()) == 0.0 and torch.isfinite(network.logits.grad).all()


def test_hard_pixels_only() -> None:
    """Pixels surer than 0.7 are left out, unless fewer than a sixteenth were left."""
    logits = torch.zeros((1, 2, 4, 8))
    logits[:, 0] = 5.0  # sure of class 0
    labels = torch.zeros((1, 4, 8), dtype=torch.long)
    labels[0, 0, :3] = 1  # three pixels are wrong
    weights = torch.ones(2)
    loss = segmentation_loss(Fixed(logits), logits, labels, weights, 255, hard_only=True)
    assert float(loss.detach()) == pytest.approx(np.log1p(np.exp(5.0)), rel=1e-5)
    labels[:] = 0
    logits[0, 0, 0, 0] = 3.0  # the hardest of all sure ones
    logits[0, 0, 0, 1] = 4.0  # the second: a sixteenth of 32 pixels is two
    loss = segmentation_loss(Fixed(logits), logits, labels, weights, 255, hard_only=True)
    assert float(loss.detach()) == pytest.approx((np.log1p(np.exp(-3.0)) + np.log1p(np.exp(-4.0))) / 2, rel=1e-5)


def test_class_weights() -> None:
    weights = class_weights(np.array([90, 10, 0]), 1.10)
    assert weights.tolist() == pytest.approx([1 / np.log(2.0), 1 / np.log(1.2), 1 / np.log(1.1)], rel=1e-6)
    assert class_weights(np.array([1, 2]), 0).tolist() == [1, 1]
