# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From settings to a network that is ready to serve: load, choose the input size, warm up, self-test."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, List, Optional, Tuple

from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.card import Size
from rtseg_models.engine import NonFiniteLogits, Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.engine.backends.graphs import quantised_graph
from rtseg_models.errors import BundleError, ConfigurationError, Unavailable

from ..paints import Paints
from ..parameters import Settings
from .engine_build import built_aside

Tell = Callable[[str], None]
_SHARES = (0.25, 0.375, 0.5, 0.75, 1.0)
"""Sides of the ladder's sizes by those of the card's, where a runtime needs no graph."""


@dataclass(frozen=True)
class Model:
    """A bundle's pipeline, ready to serve, and the settings that it was opened with.

    ``agreement`` is what ``self_test`` found then.
    """

    pipeline: Pipeline
    agreement: Optional[float]
    paints: Paints
    settings: Settings

    @property
    def bundle(self) -> Bundle:
        """The bundle behind the pipeline."""
        return self.pipeline.bundle

    def self_test(self) -> Optional[float]:
        """Share of the golden sample's pixels that come out as stored; None where it belongs to another input size.

        BundleError where fewer pixels agree than the precision warrants. At another size the sample's image is still
        run: NonFiniteLogits where the network computes nonsense.
        """
        if self.pipeline.input_size != self.bundle.card.input_size:
            self.pipeline(self.bundle.golden()[0])
            return None
        return self.pipeline.self_test()

    def describe(self) -> str:
        """One line for the log."""
        backend, (height, width) = self.pipeline.backend, self.pipeline.input_size
        tested = '' if self.agreement is None else f', self-test {100 * self.agreement:.2f} %'
        return f'{self.bundle.name} {height}x{width} on {backend.name} {backend.device} {backend.precision}{tested}'


def open_model(
    settings: Settings, tell: Tell, warn: Tell, stopping: Callable[[], bool], size: Optional[Size] = None
) -> Model:
    """Load, warm up and self-test what ``settings`` name; every failure is an RtsegError with its exit code.

    With a target rate it comes at ``size``, where that is one of the ladder's, else at the largest that holds the rate.
    """
    bundle = load_bundle(settings.model, settings.weights_root)
    card = bundle.card
    tell(f'{bundle.path}: {card.network}, {card.classes} classes, weights {card.weights_sha256[:12]}')
    opener = _Opener(bundle, settings, tell, warn, stopping)
    if settings.target_rate_hz <= 0:
        model = opener.open(_requested_size(settings))
    elif size in ladder_sizes(bundle, settings, settings.backend):
        model = opener.open(size)
    else:
        model = opener.open_largest_that_holds()
    if model.pipeline.backend.fallback:
        warn(f'running on the CPU: {model.pipeline.backend.fallback}')
    return model


def resized(model: Model, size: Size, tell: Tell, warn: Tell, stopping: Callable[[], bool]) -> Model:
    """The same network with the same settings at another input size; errors are those of ``open_model``.

    BundleError where the files are others by now, Unavailable where only a lesser device than the model's can be had.
    """
    settings = model.settings
    if load_bundle(settings.model, settings.weights_root) != model.bundle:
        raise BundleError(f'{model.bundle.path}: it has changed since it was loaded; ~/reload_model takes the new one')
    found = _Opener(model.bundle, settings, tell, warn, stopping).open(size)
    fallback = found.pipeline.backend.fallback
    if fallback and not model.pipeline.backend.fallback:
        found.pipeline.close()
        raise Unavailable(f'at another input size only the CPU can be had: {fallback}')
    return found


def configured_size(model: Model) -> Size:
    """The input size that the model's settings ask for, by default its card's."""
    return _requested_size(model.settings) or model.bundle.card.input_size


def ladder_sizes(bundle: Bundle, settings: Settings, backend: str) -> List[Size]:
    """The input sizes that a target rate may choose from, smallest first, and the configured one among them.

    Those with a graph (for int8, a quantised one); PyTorch, which needs none, has shares of the card's size. A size
    that scored below a smaller one on ``val``, as the card tells, is left out: it would take time for nothing.
    """
    card, sizes = bundle.card, set(bundle.sizes())
    if backend == 'torch':
        step = card.output_stride
        scaled = {tuple(round(side * share / step) * step for side in card.input_size) for share in _SHARES}
        sizes = {(h, w) for h, w in scaled if min(h, w) >= 32}
    if settings.precision == 'int8':
        sizes = {size for size in sizes if quantised_graph(bundle, size).is_file()}
    ladder: List[Size] = []
    best = 0.0
    for size in sorted(sizes, key=_pixels):
        scored = card.miou.get(card.figure_name('val', size), best)
        if scored >= best:
            ladder.append(size)
            best = scored
    requested = _requested_size(settings)
    return sorted({*ladder, *([requested] if requested else [])}, key=_pixels)


def _pixels(size: Size) -> Tuple[int, Size]:
    return size[0] * size[1], size


@dataclass(frozen=True)
class _Opener:
    """Opens a bundle at one input size or another."""

    bundle: Bundle
    settings: Settings
    tell: Tell
    warn: Tell
    stopping: Callable[[], bool]

    def open(self, size: Optional[Size]) -> Model:
        bundle, settings = self.bundle, self.settings
        wanted = size or bundle.card.input_size
        asked = self._options()
        with built_aside(bundle, wanted, settings.backend, asked, self.tell, self.warn, self.stopping) as options:
            pipeline = Pipeline(bundle, backend=settings.backend, input_size=wanted, options=options)
        try:
            pipeline.warm_up(settings.warmup_iterations, len(settings.cameras))
            model = Model(pipeline, None, Paints(bundle.card), settings)
            return replace(model, agreement=model.self_test()) if settings.self_test else model
        except (
            BaseException
        ) as error:  # whatever it is: the memory that this one holds is wanted by the one that serves
            with suppress(Exception):
                pipeline.close()
            if isinstance(error, NonFiniteLogits):  # here it is the bundle's fault, and a new process would not help
                raise BundleError(f'{bundle.path}: {error}') from error
            raise

    def open_largest_that_holds(self) -> Model:
        """The largest size at which each camera has a frame in 1 / target_rate_hz; else the smallest, with WARN."""
        settings = self.settings
        sizes = ladder_sizes(self.bundle, settings, settings.backend)
        for size in reversed(sizes):
            model = self.open(size)
            try:
                frame_ms = _frame_ms(model)
            except BaseException:  # as above
                model.pipeline.close()
                raise
            self.tell(f'input size {size[0]}x{size[1]}: {frame_ms:.1f} ms a frame')
            if frame_ms * len(settings.cameras) * settings.target_rate_hz <= 1000:
                return model
            if size == sizes[0]:
                self.warn(f'no input size holds target_rate_hz {settings.target_rate_hz:g}; serving the smallest')
                return model
            model.pipeline.close()
        raise ConfigurationError(f'{self.bundle.path}: no graph of any size; make one with: rtseg export --size HxW')

    def _options(self) -> Options:
        settings = self.settings
        return Options(
            device=settings.device,
            precision='fp32' if settings.deterministic and settings.precision == 'auto' else settings.precision,
            threads=1 if settings.deterministic else 0,
            cache_dir=cache_folder(settings.cache_dir, self.warn),
            deterministic=settings.deterministic,
        )


def _requested_size(settings: Settings) -> Optional[Size]:
    if (settings.input_height == 0) != (settings.input_width == 0):
        raise ConfigurationError(
            f'input_height is {settings.input_height} and input_width {settings.input_width}; set both, or neither to '
            'have the size of the bundle'
        )
    return (settings.input_height, settings.input_width) if settings.input_height else None


def _frame_ms(model: Model) -> float:
    """Median milliseconds of a frame at the size of the golden sample."""
    rgb, _ = model.bundle.golden()
    durations = []
    for _ in range(5):
        began = time.perf_counter()
        model.pipeline(rgb)
        durations.append(time.perf_counter() - began)
    return sorted(durations)[2] * 1e3


def cache_folder(text: str, warn: Tell) -> Optional[Path]:
    """The folder for compiled engines, made for its owner only; None, with a warning, where it cannot be written."""
    if not text:
        return None
    try:
        path = Path(text).expanduser()
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(f'{path} is not writable')
    except (OSError, RuntimeError) as error:  # RuntimeError: ~ of a user whose home is not known
        warn(f'running without an engine cache: {error}')
        return None
    return path
