# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From settings to a network that is ready to serve: load, choose the input size, warm up, self-test."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Callable, Optional

from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.card import Size
from rtseg_models.engine import NonFiniteLogits, Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.errors import BundleError, ConfigurationError, RtsegError

from ..paints import Paints
from ..parameters import Settings

Tell = Callable[[str], None]


@dataclass(frozen=True)
class Model:
    """A bundle's pipeline, ready to serve; ``agreement`` is what ``self_test`` found at configure."""

    pipeline: Pipeline
    agreement: Optional[float]
    paints: Paints

    @property
    def bundle(self) -> Bundle:
        """The bundle behind the pipeline."""
        return self.pipeline.bundle

    def self_test(self) -> Optional[float]:
        """Share of the golden sample's pixels that come out as stored; None where it belongs to another input size.

        BundleError where fewer pixels agree than the precision warrants.
        """
        if self.pipeline.input_size != self.bundle.card.input_size:
            return None
        return self.pipeline.self_test()

    def describe(self) -> str:
        """One line for the log."""
        backend, (height, width) = self.pipeline.backend, self.pipeline.input_size
        tested = '' if self.agreement is None else f', self-test {100 * self.agreement:.2f} %'
        return f'{self.bundle.name} {height}x{width} on {backend.name} {backend.device} {backend.precision}{tested}'


def open_model(settings: Settings, tell: Tell, warn: Tell) -> Model:
    """Load, warm up and self-test what ``settings`` name; every failure is an RtsegError with its exit code."""
    bundle = load_bundle(settings.model, settings.weights_root)
    card = bundle.card
    tell(f'{bundle.path}: {card.network}, {card.classes} classes, weights {card.weights_sha256[:12]}')
    options = Options(
        device=settings.device,
        precision='fp32' if settings.deterministic and settings.precision == 'auto' else settings.precision,
        threads=1 if settings.deterministic else 0,
        cache_dir=cache_folder(settings.cache_dir, warn),
    )
    if settings.target_rate_hz > 0:
        model = _largest_that_holds(bundle, settings, options, tell, warn)
    else:
        model = _opened(bundle, settings, options, _requested_size(settings))
    if model.pipeline.backend.fallback:
        warn(f'running on the CPU: {model.pipeline.backend.fallback}')
    return model


def _opened(bundle: Bundle, settings: Settings, options: Options, size: Optional[Size]) -> Model:
    pipeline = Pipeline(bundle, backend=settings.backend, input_size=size, options=options)
    try:
        pipeline.warm_up(settings.warmup_iterations)
        model = Model(pipeline, None, Paints(bundle.card))
        return replace(model, agreement=model.self_test()) if settings.self_test else model
    except RtsegError as error:
        pipeline.close()
        if isinstance(error, NonFiniteLogits):  # here it is the bundle's fault, and a new process would not help
            raise BundleError(f'{bundle.path}: {error}') from error
        raise


def _requested_size(settings: Settings) -> Optional[Size]:
    if (settings.input_height == 0) != (settings.input_width == 0):
        raise ConfigurationError(
            f'input_height is {settings.input_height} and input_width {settings.input_width}; set both, or neither to '
            'have the size of the bundle'
        )
    return (settings.input_height, settings.input_width) if settings.input_height else None


def _largest_that_holds(bundle: Bundle, settings: Settings, options: Options, tell: Tell, warn: Tell) -> Model:
    """The largest size with a graph at which a frame takes at most 1 / target_rate_hz; else the smallest, with WARN."""
    sizes = bundle.sizes()
    for size in reversed(sizes):
        model = _opened(bundle, settings, options, size)
        frame_ms = _frame_ms(model)
        tell(f'input size {size[0]}x{size[1]}: {frame_ms:.1f} ms a frame')
        if frame_ms * settings.target_rate_hz <= 1000:
            return model
        if size == sizes[0]:
            warn(f'no input size holds target_rate_hz {settings.target_rate_hz:g}; serving the smallest')
            return model
        model.pipeline.close()
    raise ConfigurationError(f'{bundle.path}: no graph of any size; make one with: rtseg export --size HxW')


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
    path = Path(text).expanduser()
    try:
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not os.access(path, os.W_OK | os.X_OK):
            raise PermissionError(f'{path} is not writable')
    except OSError as error:
        warn(f'running without an engine cache: {error}')
        return None
    return path
