# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is measured on every mask: digest, class pixels, flicker and, where there is truth, the confusion counts."""

from __future__ import annotations

import hashlib
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, Iterable, List, Optional, Tuple

import numpy as np

from rtseg_models.card import Card
from rtseg_models.engine import kernels
from rtseg_models.labels import UNLABELLED
from rtseg_models.metrics import ConfusionMatrix


@dataclass(frozen=True)
class FrameRecord:
    """One frame of a run. A frame without a mask has a reason in ``dropped`` and nothing measured.

    ``pixels`` counts mask pixels per class, the unlabelled last. ``flicker`` is the share of pixels whose class differs
    from the topic's frame before; ``steady_flicker`` the same among pixels whose truth is labelled and unchanged
    between the two. ``confusion`` lists [truth, prediction, pixels] with prediction 255 for unlabelled; None without
    truth. ``detail`` says why a frame was dropped or has no truth; ``bad_truth`` tells that its label is there and
    cannot be used.
    """

    bag: str
    topic: str
    stamp_ns: int
    frame_id: str
    index: int
    record_time_ns: int = 0
    size: Tuple[int, int] = (0, 0)
    sha256: str = ''
    pixels: Tuple[int, ...] = ()
    flicker: Optional[float] = None
    steady_flicker: Optional[float] = None
    confusion: Optional[Tuple[Tuple[int, int, int], ...]] = None
    stage_ms: Dict[str, float] = field(default_factory=dict)
    dropped: str = ''
    detail: str = ''
    bad_truth: bool = False

    def to_json(self) -> Dict[str, Any]:
        """Plain values for the journal."""
        return asdict(self)

    @classmethod
    def from_json(cls, facts: Dict[str, Any]) -> FrameRecord:
        """The inverse of ``to_json``."""
        confusion = facts['confusion']
        facts = {**facts, 'size': tuple(facts['size']), 'pixels': tuple(facts['pixels'])}
        facts['confusion'] = None if confusion is None else tuple((t, p, n) for t, p, n in confusion)
        return cls(**facts)

    def matrix(self, classes: int) -> ConfusionMatrix:
        """The frame's confusion counts as a matrix (empty without truth)."""
        matrix = ConfusionMatrix(classes)
        for truth, prediction, pixels in self.confusion or ():
            if prediction == UNLABELLED:
                matrix.unlabelled[truth] += pixels
            else:
                matrix.counts[truth, prediction] += pixels
        return matrix


class FrameMeter:
    """Measures masks as they come. Flicker compares each mask with its topic's last one of the same size."""

    def __init__(self, card: Card) -> None:
        self._classes = card.classes
        self._ignore_id = card.ignore_id
        self._last: Dict[str, Tuple[np.ndarray, Optional[np.ndarray]]] = {}

    def measure(
        self,
        labels: np.ndarray,
        *,
        topic: str,
        stamp_ns: int,
        frame_id: str = '',
        index: int = 0,
        bag: str = '',
        record_time_ns: int = 0,
        truth: Optional[np.ndarray] = None,
        stage_ms: Optional[Dict[str, float]] = None,
    ) -> FrameRecord:
        """Record of a mask (H,W) uint8; ``truth`` (H,W) uint8 is in the bundle's ids.

        ValueError where the truth's size differs or it holds ids that are neither classes nor ignored.
        """
        if truth is not None and truth.shape != labels.shape:
            raise ValueError(f'truth is {truth.shape} and the mask {labels.shape}; they must be equal')
        labels = np.ascontiguousarray(labels)
        truth = None if truth is None else np.ascontiguousarray(truth)
        before, truth_before = self._last.get(topic, (None, None))
        self._last[topic] = (labels, truth)
        if before is None or before.shape != labels.shape:
            before, truth_before = None, None
        joint = np.zeros((256, 256), np.int64)
        changed, steady, restless = kernels.tally_labels(labels, before, truth, truth_before, self._ignore_id, joint)
        pixels = joint.sum(axis=0)
        return FrameRecord(
            bag=bag,
            topic=topic,
            stamp_ns=stamp_ns,
            frame_id=frame_id,
            index=index,
            record_time_ns=record_time_ns,
            size=(labels.shape[0], labels.shape[1]),
            sha256=mask_digest(labels),
            pixels=(*pixels[: self._classes].tolist(), int(pixels[UNLABELLED])),
            flicker=None if before is None else changed / labels.size,
            steady_flicker=restless / steady if steady else None,
            confusion=None if truth is None else self._confusion(joint),
            stage_ms=stage_ms or {},
        )

    def _confusion(self, joint: np.ndarray) -> Tuple[Tuple[int, int, int], ...]:
        matrix = ConfusionMatrix(self._classes, self._ignore_id)
        matrix.add_joint(joint)
        cells = [(int(t), int(p), int(matrix.counts[t, p])) for t, p in zip(*np.nonzero(matrix.counts))]
        cells += [(int(t), UNLABELLED, int(matrix.unlabelled[t])) for t in np.flatnonzero(matrix.unlabelled)]
        return tuple(cells)


def mask_digest(labels: np.ndarray) -> str:
    """sha256 of the packed mask bytes, row by row: what ``Image.data`` of the mask holds."""
    return hashlib.sha256(np.ascontiguousarray(labels).data).hexdigest()


def stream_digest(digests: Iterable[str]) -> str:
    """sha256 of a mask stream: over the frames' binary sha256 values in order, so that parts can be joined."""
    whole = hashlib.sha256()
    for digest in digests:
        whole.update(bytes.fromhex(digest))
    return whole.hexdigest()


def total_matrix(records: Iterable[FrameRecord], classes: int) -> ConfusionMatrix:
    """The confusion counts of many frames together."""
    total = ConfusionMatrix(classes)
    for record in records:
        for truth, prediction, pixels in record.confusion or ():
            if prediction == UNLABELLED:
                total.unlabelled[truth] += pixels
            else:
                total.counts[truth, prediction] += pixels
    return total


def figures(matrix: ConfusionMatrix, evaluable: List[bool]) -> Tuple[float, List[float], float]:
    """MIoU, IoU per class and pixel accuracy; nan where nothing was counted or the truth cannot hold the class."""
    iou = [value if can else float('nan') for value, can in zip(matrix.iou().tolist(), evaluable)]
    seen = [value for value in iou if value == value]
    return (float(np.mean(seen)) if seen else float('nan')), iou, matrix.pixel_accuracy()
