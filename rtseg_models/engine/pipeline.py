# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The only way from pixels to labels: ``Pipeline(rgb) -> Segmentation``."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from typing import Dict, List, Optional, Sequence, Union

import numpy as np

from ..bundle import Bundle
from ..card import Size
from ..errors import BundleError, RtsegError
from . import kernels
from .backends import Backend, LabellingBackend, Options, open_backend, with_engine_cache
from .postprocess import Grid, cells_of, confidence_of, lazy_labels
from .preprocess import stretch
from .timing import StageClock

_log = logging.getLogger('rtseg')
_LEAST_AGREEMENT = {'fp32': 0.999, 'int8': 0.95}  # of the golden sample's pixels; 0.99 in half precision


class NonFiniteLogits(RtsegError):
    """The network put out NaN or infinity; its labels would mean nothing."""


@dataclass(frozen=True)
class Segmentation:
    """Labels (H,W) uint8, 255 = unlabelled; confidence (H,W) uint8 = round(255 x max softmax) where it was asked for;
    milliseconds of the stages preprocess, network and postprocess.
    """

    labels: np.ndarray
    confidence: Optional[np.ndarray]
    stage_ms: Dict[str, float]


class Pipeline:
    """A bundle on a backend. Not thread-safe: one caller at a time. A context manager, which closes it."""

    def __init__(
        self,
        bundle: Bundle,
        *,
        backend: Union[str, Backend] = 'auto',
        input_size: Optional[Size] = None,
        options: Options = Options(),
    ) -> None:
        """Open the backend by its name, or take one that is open; ``input_size`` overrides the card's.

        Errors are those of ``open_backend``.
        """
        self.bundle = bundle
        self.input_size = input_size or bundle.card.input_size
        if isinstance(backend, str):
            backend = open_backend(bundle, self.input_size, backend, options)
        self.backend = backend
        self._labeller = self.backend if isinstance(self.backend, LabellingBackend) else None
        self._inputs: Dict[int, np.ndarray] = {}
        kernels.announce()

    @property
    def takes_batches(self) -> bool:
        """Whether ``batch`` runs several images at once; else it runs them in turn."""
        return self._labeller is not None

    def __call__(
        self,
        rgb: np.ndarray,
        *,
        confidence: bool = False,
        threshold: float = 0.0,
        size: Optional[Size] = None,
        out: Optional[np.ndarray] = None,
    ) -> Segmentation:
        """Segment an image rgb (H,W,3) uint8; labels come at its size unless ``size`` says otherwise.

        Pixels whose confidence is below ``threshold`` become 255. The labels are a fresh array, or ``out`` (uint8,
        C-contiguous, of the labels' size) where given. NonFiniteLogits where the network fails.
        """
        clock = StageClock()
        image = stretch(rgb, self.input_size, self._input(1))
        clock.lap('preprocess')
        target = size or (rgb.shape[0], rgb.shape[1])
        grid = self._grid(target)
        if self._labeller is not None and out is None and not confidence and threshold <= 0:
            (labels,) = self._finite(self._labeller.label(image, grid))
            clock.lap('network')
            return Segmentation(labels, None, {**clock.stage_ms, 'postprocess': 0.0})
        logits = self._logits(image, grid)
        clock.lap('network')
        labels = self._finite(lazy_labels(logits, grid, out))
        sureness = confidence_of(logits, grid, labels, threshold) if confidence or threshold > 0 else None
        clock.lap('postprocess')
        return Segmentation(labels, sureness if confidence else None, clock.stage_ms)

    def batch(
        self,
        images: Sequence[np.ndarray],
        *,
        confidence: bool = False,
        threshold: float = 0.0,
        size: Optional[Size] = None,
    ) -> List[Segmentation]:
        """Segment the newest image of each of several cameras: at once where the backend takes batches, else in turn.

        Images are rgb (H,W,3) uint8; those of different sizes go in turn, and so do all where ``confidence`` or a
        ``threshold`` is wanted. Results of a batch carry its times. NonFiniteLogits where the network fails on any.
        """
        at_once = len(images) > 1 and not confidence and threshold <= 0 and len({i.shape for i in images}) == 1
        if self._labeller is None or not at_once:
            return [self(image, confidence=confidence, threshold=threshold, size=size) for image in images]
        clock = StageClock()
        stacked = self._input(len(images))
        for i, image in enumerate(images):
            row = stacked[i : i + 1]
            stretched = stretch(image, self.input_size, row)
            if stretched is not row:
                row[:] = stretched
        clock.lap('preprocess')
        grid = self._grid(size or (images[0].shape[0], images[0].shape[1]))
        labels = self._finite(self._labeller.label(stacked, grid))
        clock.lap('network')
        return [Segmentation(each, None, {**clock.stage_ms, 'postprocess': 0.0}) for each in labels]

    def _input(self, count: int) -> np.ndarray:
        if count not in self._inputs:
            self._inputs[count] = np.empty((count, *self.input_size, 3), np.uint8)
        return self._inputs[count]

    def _grid(self, target: Size) -> Grid:
        card = self.bundle.card
        cells = cells_of(self.input_size, card.output_stride)
        return Grid.between(target, self.input_size, card.output_stride, cells, card.align_corners)

    def _logits(self, image: np.ndarray, grid: Grid) -> np.ndarray:
        """Logits (C,h,w) of an image; BundleError where the card expects others, which not every graph tells."""
        logits: np.ndarray = self.backend.infer(image)[0]
        if logits.shape[1:] != grid.cells:
            stride, (h, w), found = self.bundle.card.output_stride, grid.cells, 'x'.join(map(str, logits.shape[1:]))
            raise BundleError(
                f"{self.bundle.path / 'card.json'}: field 'output_stride' is {stride}, which makes {h}x{w} logits of "
                f'{self.input_size[0]}x{self.input_size[1]} pixels; the network puts out {found}'
            )
        return logits

    def _finite(self, labels: Optional[np.ndarray]) -> np.ndarray:
        if labels is None:
            raise NonFiniteLogits(f'{self.bundle.name} on {self.backend.name}: logits hold NaN or infinity')
        return labels

    def self_test(self) -> float:
        """Share of the golden sample's pixels that come out as stored; BundleError below the bound of the precision."""
        rgb, expected = self.bundle.golden()
        agreement = float((self(rgb).labels == expected).mean())
        bound = _LEAST_AGREEMENT.get(self.backend.precision, 0.99)
        if not agreement >= bound:
            raise BundleError(
                f'{self.bundle.path}: golden sample agrees on {100 * agreement:.2f} % of the pixels with '
                f'{self.backend.name} {self.backend.precision}; at least {100 * bound:.1f} % is expected'
            )
        return agreement

    def warm_up(self, iterations: int, cameras: int = 1) -> None:
        """Run the network on grey images ``iterations`` times, and batches of up to ``cameras`` where it takes any."""
        grey = np.full((*self.input_size, 3), 128, np.uint8)
        for count in range(1, cameras + 1 if self.takes_batches else 2):
            for _ in range(iterations):
                self.batch([grey] * count)

    def close(self) -> None:
        """Release the backend; harmless when done before."""
        self.backend.close()

    def __enter__(self) -> Pipeline:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def open_for_command(
    bundle: Bundle, *, backend: str = 'auto', input_size: Optional[Size] = None, options: Options = Options()
) -> Pipeline:
    """A Pipeline as commands open it: with the user's engine cache where TensorRT may be chosen, and a warning where a
    GPU is there that no runtime can use.
    """
    options = with_engine_cache(bundle, input_size or bundle.card.input_size, backend, options)
    pipeline = Pipeline(bundle, backend=backend, input_size=input_size, options=options)
    if pipeline.backend.fallback:
        _log.warning('running on the CPU: %s', pipeline.backend.fallback)
    return pipeline
