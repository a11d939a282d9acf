# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Holds ``target_rate_hz``: feeds a ladder of input sizes with what frames take, and says when another size is due."""

from __future__ import annotations

import threading
from concurrent import futures
from typing import TYPE_CHECKING, Any, Dict, Optional, Set

from rtseg_models.card import Size
from rtseg_models.engine.rate import RateLadder

from .loader import Loader, Stopping
from .model import Model, configured_size, ladder_sizes, resized

if TYPE_CHECKING:
    from .serving import Serving


class RateControl:
    """Without a target the network belongs at its configured size, with one at the ladder's.

    Only the size that serves and, while it is being changed, the next one are in memory: engines are cached on disk, so
    that opening one again takes a fraction of a second, and each holds memory for weights and activations of its own.

    The worker's thread calls ``add``, the executor's everything else.
    """

    def __init__(self, logger: Any) -> None:
        self.warning = ''
        self._logger = logger
        self._lock = threading.Lock()
        self._subject: Any = None
        self._ladder: Optional[RateLadder] = None
        self._refused: Set[Size] = set()
        self._next: Optional[Size] = None
        self._changing: Optional[futures.Future[Any]] = None
        self._changes = 0
        self._why = self._last_change = ''

    def add(self, size: Size, frame_ms: float) -> None:
        """Take in what a frame took on a network of ``size``."""
        with self._lock:
            ladder = self._ladder
            if ladder is None or ladder.size != size:
                return
            slow_ms = ladder.slow_ms
            if ladder.add(frame_ms) != size:
                self._why = f'frames took {slow_ms:.1f} ms, {ladder.budget_ms:.1f} ms are allowed'

    def follow(self, serving: Serving, loader: Loader, target_rate_hz: float) -> None:
        """Have the network replaced where it should run at another size; call it often."""
        model, size = serving.model, serving.model.pipeline.input_size
        self._conclude()
        with self._lock:
            self._adapt(model, target_rate_hz)
            self._judge()
            wanted = configured_size(model) if self._ladder is None else self._ladder.size
        if wanted == size or wanted in self._refused or loader.busy:
            return

        def open_(stopping: Stopping) -> Model:
            return resized(model, wanted, self._logger.info, self._logger.warning, stopping)

        self._next, self._last_change = wanted, f'{_text(size)} to {_text(wanted)}: {self._why}'
        self._logger.info(f'changing the input size from {self._last_change}')
        self._changing = loader.replace(serving, open_)

    def report(self) -> Dict[str, str]:
        """For the diagnostics."""
        values = {'size_changes': str(self._changes), 'last_size_change': self._last_change}
        with self._lock:
            ladder = self._ladder
            if ladder is not None:
                values.update(
                    target_rate_hz=f'{ladder.target_rate_hz:g}',
                    input_sizes=', '.join(_text(size) for size in ladder.sizes),
                    frame_p90_ms=f'{ladder.slow_ms:.1f}',
                    frame_allowed_ms=f'{ladder.budget_ms:.1f}',
                    holds_target_rate=str(ladder.holds).lower(),
                )
        return values

    def _conclude(self) -> None:
        """Look at how the last change ended; a size that cannot be had is not tried again."""
        if self._changing is None or not self._changing.done():
            return
        if self._changing.exception() is None:
            self._changes += 1
        elif self._next is not None:
            self._refused.add(self._next)
            self._ladder = None
        self._changing = None

    def _adapt(self, model: Model, target_rate_hz: float) -> None:
        """Begin anew where the target or the network is another."""
        subject = (target_rate_hz, model.bundle, model.settings)
        if subject != self._subject:
            self._subject, self._ladder, self._refused = subject, None, set()
            self.warning, self._why = '', 'target_rate_hz is 0'
        if self._ladder is None and target_rate_hz > 0:
            size = model.pipeline.input_size
            sizes = {size, *ladder_sizes(model.bundle, model.settings, model.pipeline.backend.name)} - self._refused
            self._ladder = RateLadder(sorted(sizes), target_rate_hz, start=size)

    def _judge(self) -> None:
        """Warn where even the smallest size is too slow."""
        ladder, before = self._ladder, self.warning
        if ladder is None or ladder.holds:
            self.warning = ''
            return
        self.warning = (
            f'no input size holds target_rate_hz {ladder.target_rate_hz:g}: frames take {ladder.slow_ms:.1f} ms at '
            f'{_text(ladder.size)}, {ladder.budget_ms:.1f} ms are allowed'
        )
        if not before:
            self._logger.warning(self.warning)


def _text(size: Size) -> str:
    return f'{size[0]}x{size[1]}'
