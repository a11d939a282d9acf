# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

from rtseg_models.metrics import ConfusionMatrix


def test_iou_of_a_case_worked_by_hand() -> None:
    truth = np.array([[0, 0, 1, 1], [1, 2, 2, 9]], np.uint8)
    prediction = np.array([[0, 1, 1, 1], [255, 2, 0, 0]], np.uint8)
    matrix = ConfusionMatrix(4, ignore_id=9)
    matrix.update(truth, prediction)
    assert matrix.counts.tolist() == [[1, 1, 0, 0], [0, 2, 0, 0], [1, 0, 1, 0], [0, 0, 0, 0]]
    assert matrix.unlabelled.tolist() == [0, 1, 0, 0]
    assert matrix.iou()[:3].tolist() == [1 / 3, 2 / 4, 1 / 2]
    assert np.isnan(matrix.iou()[3])
    assert matrix.miou() == pytest.approx((1 / 3 + 1 / 2 + 1 / 2) / 3)
    assert matrix.pixel_accuracy() == pytest.approx(4 / 7)


def test_agrees_with_a_count_pixel_by_pixel() -> None:
    rng = np.random.default_rng(3)
    truth = rng.choice(np.array([0, 1, 2, 3, 4, 11, 255], np.uint8), (37, 53))
    prediction = rng.choice(np.array([0, 1, 2, 3, 4, 255], np.uint8), (37, 53))
    matrix = ConfusionMatrix(5, ignore_id=11)
    matrix.update(truth, prediction)
    for c in range(5):
        kept = (truth != 11) & (truth != 255)
        union = kept & ((truth == c) | (prediction == c))
        assert matrix.iou()[c] == (kept & (truth == c) & (prediction == c)).sum() / union.sum()


def test_matrices_add() -> None:
    rng = np.random.default_rng(4)
    images = [rng.integers(0, 3, (2, 8, 9), np.uint8) for _ in range(4)]
    whole, parts = ConfusionMatrix(3), [ConfusionMatrix(3) for _ in images]
    for (truth, prediction), part in zip(images, parts):
        whole.update(truth, prediction)
        part.update(truth, prediction)
    total = parts[0]
    for part in parts[1:]:
        total += part
    assert (total.counts == whole.counts).all()


def test_ignore_id_inside_the_class_range_does_not_count() -> None:
    matrix = ConfusionMatrix(3, ignore_id=1)
    matrix.update(np.array([[0, 1]], np.uint8), np.array([[0, 2]], np.uint8))
    assert matrix.counts.sum() == 1


@pytest.mark.parametrize('truth,prediction,said', [(7, 0, '[7]'), (0, 6, '[6]')])
def test_ids_outside_the_class_set_are_listed(truth: int, prediction: int, said: str) -> None:
    matrix = ConfusionMatrix(5, ignore_id=11)
    with pytest.raises(ValueError, match=said.replace('[', r'\[')):
        matrix.update(np.full((2, 2), truth, np.uint8), np.full((2, 2), prediction, np.uint8))


def test_shapes_must_be_equal() -> None:
    with pytest.raises(ValueError, match=r'\(2, 2\).*\(2, 3\)'):
        ConfusionMatrix(2).update(np.zeros((2, 2), np.uint8), np.zeros((2, 3), np.uint8))


def test_nothing_counted_is_nan() -> None:
    assert np.isnan(ConfusionMatrix(2).miou())
    assert np.isnan(ConfusionMatrix(2).pixel_accuracy())


def test_unlabelled_pixels_add_up():
    truth, prediction = np.array([[0, 1]], np.uint8), np.array([[255, 1]], np.uint8)
    whole, part = ConfusionMatrix(2), ConfusionMatrix(2)
    part.update(truth, prediction)
    whole += part
    assert whole.unlabelled.tolist() == [1, 0] and whole.pixel_accuracy() == 0.5
