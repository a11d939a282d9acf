# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Confusion matrix and the figures drawn from it, defined as Cityscapes' evaluation script defines them."""

from __future__ import annotations

import numpy as np

from .labels import UNLABELLED


class ConfusionMatrix:
    """Pixel counts ``counts[truth, prediction]`` over a whole dataset (int64, C x C).

    Pixels whose truth is ``ignore_id`` or 255 do not count. A labelled pixel that the network left unlabelled (255)
    is a miss of its class: it stands in ``unlabelled`` (C,) and lowers IoU and accuracy, as in Cityscapes.
    """

    def __init__(self, classes: int, ignore_id: int = UNLABELLED) -> None:
        self.classes = classes
        self.ignore_id = ignore_id
        self.counts = np.zeros((classes, classes), np.int64)
        self.unlabelled = np.zeros(classes, np.int64)

    def update(self, truth: np.ndarray, prediction: np.ndarray) -> None:
        """Add one label image and its prediction, both (H,W) uint8.

        ValueError where shapes differ or an id is outside the class set; the message lists the ids.
        """
        if truth.shape != prediction.shape:
            raise ValueError(f'truth is {truth.shape} and prediction {prediction.shape}; they must be equal')
        # One pass over both images: the joint histogram of (truth, prediction) byte pairs.
        pairs = truth.astype(np.uint16).ravel() << 8
        pairs |= prediction.ravel()
        self.add_joint(np.bincount(pairs, minlength=1 << 16).reshape(256, 256))

    def add_joint(self, joint: np.ndarray) -> None:
        """Add pixel counts (256,256) of [truth, prediction] ids.

        ValueError where an id is outside the class set; the message lists the ids.
        """
        ignored = {self.ignore_id, UNLABELLED}
        present = joint.sum(axis=1)
        unknown = [int(i) for i in np.flatnonzero(present) if i >= self.classes and i not in ignored]
        if unknown:
            raise ValueError(
                f'ground truth holds ids {unknown}, outside the {self.classes} classes (ignored: {sorted(ignored)})'
            )
        strange = [int(i) for i in np.flatnonzero(joint.sum(axis=0)) if i >= self.classes and i != UNLABELLED]
        if strange:
            raise ValueError(f'prediction holds ids {strange}, outside the {self.classes} classes')
        rows = joint[: self.classes].copy()
        for i in ignored:
            if i < self.classes:
                rows[i] = 0
        self.counts += rows[:, : self.classes]
        self.unlabelled += rows[:, UNLABELLED]

    def __iadd__(self, other: ConfusionMatrix) -> ConfusionMatrix:
        self.counts += other.counts
        self.unlabelled += other.unlabelled
        return self

    def iou(self) -> np.ndarray:
        """Intersection over union per class (C,), nan for a class that neither truth nor prediction holds."""
        hit = np.diag(self.counts)
        union = self.counts.sum(axis=0) + self.counts.sum(axis=1) + self.unlabelled - hit
        with np.errstate(invalid='ignore'):
            return np.where(union > 0, hit / union, np.nan)

    def miou(self) -> float:
        """Mean IoU over the classes that occur; nan where nothing was counted."""
        iou = self.iou()
        seen = ~np.isnan(iou)
        return float(iou[seen].mean()) if seen.any() else float('nan')

    def pixel_accuracy(self) -> float:
        """Share of labelled pixels that are right; nan where nothing was counted."""
        total = self.counts.sum() + self.unlabelled.sum()
        return float(np.diag(self.counts).sum() / total) if total else float('nan')
