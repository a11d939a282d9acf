# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from rtseg_models.card import Size
from rtseg_models.engine.postprocess import cells_of, source_positions
from rtseg_models.training import losses
from rtseg_models.training.losses import class_weights, lovasz_softmax, over_labels, segmentation_loss


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


@pytest.mark.parametrize('crop, size', [((90, 122), (135, 183)), ((352, 490), (469, 653))])
@pytest.mark.parametrize('stride', [8, 32])
def test_logits_lie_over_the_labels_as_in_inference(stride: int, crop: Size, size: Size) -> None:
    """Also where the stride does not divide the crop, or divides one of its sides."""
    cells = cells_of(crop, stride)
    logits = torch.randn((1, 4, *cells), generator=torch.Generator().manual_seed(0))
    expected = logits.double()
    for axis in (2, 3):
        at = torch.from_numpy(source_positions(size[axis - 2], crop[axis - 2], stride, cells[axis - 2], False))
        low = at.long()
        share = (at - low).reshape([-1 if a == axis else 1 for a in range(4)])
        high = (low + 1).clamp(max=cells[axis - 2] - 1)
        expected = expected.index_select(axis, low) * (1 - share) + expected.index_select(axis, high) * share
    assert torch.allclose(over_labels(logits, crop, size).double(), expected, atol=3e-4)


def test_nothing_labelled_is_zero_and_finite(case: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = case
    network = Fixed(logits)
    for kind in ('cross_entropy', 'ohem', 'lovasz'):
        loss = segmentation_loss(network, logits, torch.full_like(labels, 5), weights, 5, kind=kind)
        loss.backward()
        assert float(loss.detach()) == 0.0 and torch.isfinite(network.logits.grad).all()


def test_hard_pixels_only() -> None:
    """Pixels surer than 0.7 are left out, unless fewer than a sixteenth were left."""
    logits = torch.zeros((1, 2, 4, 8))
    logits[:, 0] = 5.0  # sure of class 0
    labels = torch.zeros((1, 4, 8), dtype=torch.long)
    labels[0, 0, :3] = 1  # three pixels are wrong
    weights = torch.ones(2)
    loss = segmentation_loss(Fixed(logits), logits, labels, weights, 255, kind='ohem')
    assert float(loss.detach()) == pytest.approx(np.log1p(np.exp(5.0)), rel=1e-5)
    labels[:] = 0
    logits[0, 0, 0, 0] = 3.0  # the hardest of all sure ones
    logits[0, 0, 0, 1] = 4.0  # the second: a sixteenth of 32 pixels is two
    loss = segmentation_loss(Fixed(logits), logits, labels, weights, 255, kind='ohem')
    assert float(loss.detach()) == pytest.approx((np.log1p(np.exp(-3.0)) + np.log1p(np.exp(-4.0))) / 2, rel=1e-5)


def jaccard_surrogate(logits: torch.Tensor, labels: torch.Tensor, ignore_id: int) -> float:
    """The Lovász extension of each class's Jaccard loss by its definition: sets grow pixel by pixel, worst first."""
    shares = logits.double().softmax(1).permute(0, 2, 3, 1).reshape(-1, logits.shape[1]).numpy()
    ids = labels.flatten().numpy()
    shares, ids = shares[ids != ignore_id], ids[ids != ignore_id]
    losses = []
    for label in np.unique(ids):
        belongs = ids == label
        errors = np.abs(belongs - shares[:, label])
        wrong, before, loss = np.zeros(len(ids), bool), 0.0, 0.0
        for pixel in np.argsort(-errors, kind='stable'):
            wrong[pixel] = True
            predicted = belongs ^ wrong
            jaccard = 1 - (predicted & belongs).sum() / (predicted | belongs).sum()
            loss += errors[pixel] * (jaccard - before)
            before = jaccard
        losses.append(loss)
    return float(np.mean(losses))


def test_the_surrogate_of_the_iou_equals_its_definition(case: tuple[torch.Tensor, ...]) -> None:
    logits, labels, weights = case
    labels = torch.where(labels == 3, 5, labels)  # a class without a pixel does not count
    found = lovasz_softmax(logits, labels, 5)
    assert float(found) == pytest.approx(jaccard_surrogate(logits, labels, 5), rel=1e-5)
    network = WithAux(logits)
    both = segmentation_loss(network, logits, labels, weights, 5, kind='lovasz')
    entropy = segmentation_loss(network, logits, labels, weights, 5)
    assert float((both - entropy).detach()) == pytest.approx(float(found), rel=1e-5)  # not of the auxiliary heads


def test_errors_are_sorted_by_their_exact_values() -> None:
    generator = torch.Generator().manual_seed(0)
    errors = torch.rand((3, 50_000), generator=generator)
    errors[0, ::7] = errors[0, 3]  # ties
    errors[1, ::5], errors[1, 1::5], errors[1, 2::5] = 0.0, 1.0, 1e-40
    order = losses._descending(errors)
    assert torch.equal(errors.gather(1, order), errors.sort(1, descending=True).values)
    assert torch.equal(order.sort(1).values, torch.arange(50_000).expand(3, -1))


def test_an_error_that_is_not_finite_does_not_hide(case: tuple[torch.Tensor, ...]) -> None:
    logits, labels, _ = case
    logits = logits.detach().clone()
    logits[0, 1, 0, 0] = float('nan')
    assert not torch.isfinite(lovasz_softmax(logits, torch.where(labels == 5, 0, labels), 5))


def test_passes_and_processes_are_averaged(case: tuple[torch.Tensor, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    logits, labels, weights = case
    labelled = weights[labels[labels != 5]].sum()
    halves = [slice(0, 1), slice(1, 2)]  # Lightning divides the sum of their losses by two

    def mean_of_passes(kind: str) -> torch.Tensor:
        passes = [(Fixed(logits[half]), labels[half]) for half in halves]
        found = [segmentation_loss(n, n.logits, y, weights, 5, kind=kind, divisor=labelled / 2) for n, y in passes]
        return torch.stack(found).detach().sum() / 2

    surrogate = torch.stack([lovasz_softmax(logits[half], labels[half], 5) for half in halves]).mean()
    assert torch.allclose(mean_of_passes('lovasz') - mean_of_passes('cross_entropy'), surrogate, atol=1e-6)

    alone = segmentation_loss(Fixed(logits), logits, labels, weights, 5, kind='lovasz')
    monkeypatch.setattr(losses.dist, 'is_initialized', lambda: True)
    monkeypatch.setattr(losses.dist, 'get_world_size', lambda: 2)
    monkeypatch.setattr(losses.dist, 'all_reduce', lambda value: value.mul_(2))  # the other process has the same
    assert torch.allclose(segmentation_loss(Fixed(logits), logits, labels, weights, 5, kind='lovasz'), alone)


def test_the_surrogate_of_sure_labels_is_one_minus_their_iou() -> None:
    generator = torch.Generator().manual_seed(0)
    labels, found = (torch.randint(0, 3, (2, 16, 24), generator=generator) for _ in range(2))
    logits = 100.0 * F.one_hot(found, 3).permute(0, 3, 1, 2).float()
    ious = [((found == c) & (labels == c)).sum() / ((found == c) | (labels == c)).sum() for c in range(3)]
    assert float(lovasz_softmax(logits, labels, 255)) == pytest.approx(1 - float(sum(ious)) / 3, rel=1e-5)


def test_the_surrogate_of_many_pixels_is_that_of_some_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn((1, 4, 64, 99), generator=generator, requires_grad=True)
    labels = torch.randint(0, 4, (1, 64, 99), generator=generator)
    whole = float(lovasz_softmax(logits, labels, 255).detach())
    monkeypatch.setattr(losses, 'JACCARD_PIXELS', 1000)
    some = lovasz_softmax(logits, labels, 255)
    some.backward()
    assert logits.grad is not None
    assert 500 < int((logits.grad != 0).any(1).sum()) <= 1000
    assert float(some.detach()) == pytest.approx(whole, abs=0.03)


def test_class_weights() -> None:
    weights = class_weights(np.array([90, 10, 0]), 1.10)
    assert weights.tolist() == pytest.approx([1 / np.log(2.0), 1 / np.log(1.2), 1 / np.log(1.1)], rel=1e-6)
    assert class_weights(np.array([1, 2]), 0).tolist() == [1, 1]
