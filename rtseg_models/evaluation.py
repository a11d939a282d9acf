# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""IoU of a pipeline over a dataset, at the labels' own resolution."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Callable, Dict, List, Optional, Sequence

import numpy as np

from .card import Card
from .datasets.sample import Dataset
from .engine import Pipeline
from .engine.timing import percentiles
from .errors import BundleError, ConfigurationError
from .labels import ClassSet
from .metrics import ConfusionMatrix


@dataclass
class Evaluation:
    """What was measured: counts over all frames and milliseconds per stage and frame."""

    class_names: Sequence[str]
    confusion: ConfusionMatrix
    categories: Sequence[str] = ()
    frames: int = 0
    stage_ms: Dict[str, List[float]] = field(default_factory=dict)

    def to_json(self) -> Dict[str, Any]:
        """The keys of the command's JSON; null where nothing was counted."""
        return {
            'miou': _number(self.confusion.miou()),
            'iou': {n: _number(v) for n, v in zip(self.class_names, self.confusion.iou())},
            'category_miou': _number(self.category_miou()),
            'pixel_accuracy': _number(self.confusion.pixel_accuracy()),
            'frames': self.frames,
            'confusion': self.confusion.counts.tolist(),
            'unlabelled': self.confusion.unlabelled.tolist(),
            'stage_ms': {k: percentiles(v) for k, v in self.stage_ms.items()},
        }

    def category_miou(self) -> float:
        """Mean IoU over categories as Cityscapes defines it; nan where the class set has none."""
        if not self.categories:
            return math.nan
        return merged(self.confusion, self.categories).miou()


def merged(confusion: ConfusionMatrix, categories: Sequence[str]) -> ConfusionMatrix:
    """The confusion matrix of the categories, classes of one category counted as one."""
    names = list(dict.fromkeys(categories))
    member = np.zeros((len(names), confusion.classes), np.int64)
    member[[names.index(c) for c in categories], range(confusion.classes)] = 1
    result = ConfusionMatrix(len(names))
    result.counts = member @ confusion.counts @ member.T
    result.unlabelled = member @ confusion.unlabelled
    return result


def check_classes(card: Card, class_set: ClassSet) -> None:
    """ConfigurationError unless the bundle's classes are the dataset's, in the same order."""
    if tuple(card.class_names) != tuple(class_set.names):
        raise ConfigurationError(
            f'the bundle knows the classes {", ".join(card.class_names)}; the dataset {class_set.name} has '
            f'{", ".join(class_set.names)}'
        )


def evaluate(pipeline: Pipeline, data: Dataset, progress: Optional[Callable[[int, int], None]] = None) -> Evaluation:
    """Run every sample through the pipeline; ``progress(done, total)`` is called after each.

    ConfigurationError where bundle and dataset differ in their classes, BundleError for labels of none
    and for a label image that is no scaled form of its image.
    """
    card = pipeline.bundle.card
    check_classes(card, data.class_set)
    result = Evaluation(
        card.class_names, ConfusionMatrix(card.classes, data.class_set.ignore_id), data.class_set.categories
    )
    for index in range(len(data)):
        name, rgb, label = data[index]
        (height, width), size = rgb.shape[:2], (label.shape[0], label.shape[1])
        if abs(height * size[1] - width * size[0]) > max(height, width):  # more than rounding to whole pixels
            raise BundleError(f'{name}: image {height}x{width}, label {size[0]}x{size[1]}: not of one shape')
        segmentation = pipeline(rgb, size=size)
        try:
            result.confusion.update(label, segmentation.labels)
        except ValueError as error:
            raise BundleError(f'{name}: {error}') from error
        result.frames += 1
        for stage, ms in segmentation.stage_ms.items():
            result.stage_ms.setdefault(stage, []).append(ms)
        if progress is not None:
            progress(index + 1, len(data))
    return result


def _number(value: float) -> Optional[float]:
    return None if math.isnan(value) else float(value)
