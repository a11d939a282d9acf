# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""IoU as Cityscapes defines it: by hand, and integer for integer against the official script where it is installed."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any, List, Tuple

import cv2
import numpy as np
import pytest

from rtseg_models.bundle import Bundle
from rtseg_models.datasets import open_dataset
from rtseg_models.datasets.cityscapes import LABEL_IDS
from rtseg_models.datasets.sample import Sample
from rtseg_models.engine import Pipeline
from rtseg_models.errors import BundleError, ConfigurationError
from rtseg_models.evaluation import Evaluation, evaluate
from rtseg_models.labels import CAMVID, CITYSCAPES
from rtseg_models.metrics import ConfusionMatrix

ROAD, SIDEWALK, BUILDING, SKY, CAR, BUS = (
    CITYSCAPES.names.index(n) for n in ('road', 'sidewalk', 'building', 'sky', 'car', 'bus')
)

OFFICIAL = 'cityscapesscripts.evaluation.evalPixelLevelSemanticLabeling'


class Scripted:
    """Stands for a pipeline: gives the label images it was told to, in order, at the size asked for."""

    def __init__(self, answers: list[np.ndarray]) -> None:
        self.answers = iter(answers)
        names = CITYSCAPES.names
        self.bundle = SimpleNamespace(card=SimpleNamespace(class_names=names, classes=len(names)))

    def __call__(self, rgb: np.ndarray, size: Tuple[int, int]) -> Any:
        labels = next(self.answers)
        assert labels.shape == size
        return SimpleNamespace(labels=labels, stage_ms={'network': 1.0})


def write_pair(root: Path, name: str, label_ids: np.ndarray) -> Path:
    image = root / 'leftImg8bit' / 'val' / 'town' / f'{name}_leftImg8bit.png'
    label = root / 'gtFine' / 'val' / 'town' / f'{name}_gtFine_labelIds.png'
    for path, content in ((image, np.zeros((*label_ids.shape, 3), np.uint8)), (label, label_ids)):
        path.parent.mkdir(parents=True, exist_ok=True)
        assert cv2.imwrite(str(path), content)
    return label


def test_by_hand(tmp_path: Path) -> None:
    """Two rows of eight pixels; ids 7 road, 8 sidewalk, 11 building, 23 sky, 26 car, 28 bus, 4 static (ignored)."""
    write_pair(tmp_path, 'town_0_0', np.array([[7, 7, 7, 7, 8, 8, 4, 4], [11, 11, 23, 23, 26, 26, 28, 28]], np.uint8))
    answer = np.array(
        [
            [ROAD, ROAD, ROAD, SIDEWALK, SIDEWALK, 255, CAR, ROAD],
            [BUILDING, SKY, SKY, SKY, CAR, BUS, BUS, CAR],
        ],
        np.uint8,
    )
    result = evaluate(Scripted([answer]), open_dataset('cityscapes', tmp_path, 'val')).to_json()  # type: ignore[arg-type]
    iou = {k: v for k, v in result['iou'].items() if v is not None}
    assert iou == pytest.approx(
        {
            'road': 3 / 4,  # one of four called sidewalk; the ignored pixel called road costs nothing
            'sidewalk': 1 / 3,  # one right, one unlabelled, one road called sidewalk
            'building': 1 / 2,
            'sky': 2 / 3,
            'car': 1 / 3,
            'bus': 1 / 3,
        }
    )
    assert result['miou'] == pytest.approx((3 / 4 + 1 / 3 + 1 / 2 + 2 / 3 + 1 / 3 + 1 / 3) / 6)
    # Categories: flat 5 of 6 (one unlabelled), construction 1 of 2, sky 2 of 3, vehicle 4 of 4.
    assert result['category_miou'] == pytest.approx((5 / 6 + 1 / 2 + 2 / 3 + 1) / 4)
    assert result['pixel_accuracy'] == pytest.approx(9 / 14)
    assert sum(map(sum, result['confusion'])) == 13 and sum(result['unlabelled']) == 1
    assert result['frames'] == 1


def test_no_categories_no_category_figure() -> None:
    result = Evaluation(CAMVID.names, ConfusionMatrix(len(CAMVID), CAMVID.ignore_id), CAMVID.categories).to_json()
    assert result['category_miou'] is None and result['miou'] is None


def test_other_classes_are_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    write_pair(tmp_path, 'town_0_0', np.full((4, 4), 7, np.uint8))
    pipeline = Pipeline(tiny_bundle, backend='torch')
    with pytest.raises(ConfigurationError, match='the dataset cityscapes has road'):
        evaluate(pipeline, open_dataset('cityscapes', tmp_path, 'val'))


def test_a_label_outside_the_classes_is_named(tiny_bundle: Bundle, tmp_path: Path) -> None:
    class Odd(List[Sample]):
        class_set = CAMVID

    rgb = np.zeros((64, 96, 3), np.uint8)
    odd = Odd([Sample('fine', rgb, np.zeros((64, 96), np.uint8)), Sample('odd', rgb, np.full((64, 96), 77, np.uint8))])
    with pytest.raises(BundleError, match=r'odd: ground truth holds ids \[77\]'):
        evaluate(Pipeline(tiny_bundle, backend='torch'), odd)


def test_a_label_of_another_shape_than_its_image_is_named(tiny_bundle: Bundle) -> None:
    """Labels may be larger or smaller than their images, at the same ratio of the sides within a pixel."""

    class Odd(List[Sample]):
        class_set = CAMVID

    pipeline = Pipeline(tiny_bundle, backend='torch')
    rgb = np.zeros((65, 97, 3), np.uint8)
    scaled = Odd([Sample('scaled', rgb, np.zeros(size, np.uint8)) for size in ((130, 194), (32, 48), (33, 49))])
    assert evaluate(pipeline, scaled).frames == 3
    with pytest.raises(BundleError, match='turned: image 65x97, label 97x65: not of one shape'):
        evaluate(pipeline, Odd([Sample('turned', rgb, np.zeros((97, 65), np.uint8))]))


def test_equals_the_official_script(tmp_path: Path) -> None:
    """Random label and prediction images, ignored ids, unlabelled predictions and absent classes among them."""
    official = pytest.importorskip(OFFICIAL, reason='the official evaluation (cityscapesscripts) is not installed')

    rng = np.random.default_rng(0)
    truth_files, prediction_files, answers = [], [], []
    for i in range(3):
        label_ids = rng.integers(0, 34, (40, 60)).astype(np.uint8)
        label_ids[label_ids == LABEL_IDS[16]] = 0  # no train in the truth
        answer = rng.integers(0, 19, label_ids.shape).astype(np.uint8)
        same = rng.random(label_ids.shape) < 0.6
        table = np.full(256, 255, np.uint8)
        table[list(LABEL_IDS)] = range(19)
        answer[same] = table[label_ids][same]  # right in most places; unlabelled where the truth is ignored
        answer[answer == 16] = 0
        answer[:3] = 255
        truth_files.append(str(write_pair(tmp_path, f'town_{i}_0', label_ids)))
        as_label_ids = np.zeros(256, np.uint8)
        as_label_ids[: len(LABEL_IDS)] = LABEL_IDS
        path = tmp_path / f'prediction_{i}.png'
        cv2.imwrite(str(path), as_label_ids[answer])
        prediction_files.append(str(path))
        answers.append(answer)
    args = official.args
    args.evalInstLevelScore, args.quiet, args.JSONOutput, args.evalPixelAccuracy = False, True, False, False
    expected = official.evaluateImgLists(prediction_files, truth_files, args)
    matrix = np.asarray(expected['confMatrix'])
    result = evaluate(Scripted(answers), open_dataset('cityscapes', tmp_path, 'val')).to_json()  # type: ignore[arg-type]
    ids = list(LABEL_IDS)
    assert np.array_equal(matrix[np.ix_(ids, ids)], np.array(result['confusion']))
    others = [i for i in range(matrix.shape[1]) if i not in ids]
    assert np.array_equal(matrix[np.ix_(ids, others)].sum(axis=1), np.array(result['unlabelled']))
    for name, value in result['iou'].items():
        wanted = expected['classScores'][name]
        assert (value is None and np.isnan(wanted)) or value == pytest.approx(wanted, abs=1e-12)
    assert result['miou'] == pytest.approx(expected['averageScoreClasses'], abs=1e-12)
    assert result['category_miou'] == pytest.approx(expected['averageScoreCategories'], abs=1e-12)
