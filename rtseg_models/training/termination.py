# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIGTERM to any process of a training ends all of them together, behind a finished epoch."""

from __future__ import annotations

import signal
import threading
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Optional, Type

import lightning
import torch
from lightning.pytorch.callbacks import Checkpoint

from .losses import over_processes

STATUS = 128 + signal.SIGTERM


class EndsAfterEpoch(Checkpoint):
    """Notes a SIGTERM and ends every process behind the epoch and its checkpoint, with exit status 143.

    Lightning's own handler ends a run between two batches, and broadcasts within the handler, which hangs where one of
    several processes gets the signal. It is set just before the training starts: the signal waits until it is replaced.
    To be entered round ``Trainer.fit``, and listed behind the callback that writes ``checkpoint``. Without effect
    outside of the main thread, which alone may handle signals.
    """

    def __init__(self, checkpoint: Path, log: Callable[[str], None]) -> None:
        self.checkpoint, self.log_line = checkpoint, log
        self.asked = self.ended = False
        self.before: Any = None
        self.main = threading.current_thread() is threading.main_thread()

    def __enter__(self) -> EndsAfterEpoch:
        self.before = signal.getsignal(signal.SIGTERM)
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if self.main:
            signal.signal(signal.SIGTERM, signal.SIG_DFL if self.before is None else self.before)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})
        if self.ended:  # told when Lightning's progress bar is gone
            self.log_line(f'ended by SIGTERM; go on from {self.checkpoint} with --resume')

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.main:
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        if self.main:
            signal.signal(signal.SIGTERM, self._note)
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _note(self, number: int, frame: Any) -> None:
        self.asked = True

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        asked = over_processes(torch.tensor(float(self.asked), device=pl_module.device))  # how many were asked
        self.ended = bool(asked)
        if self.ended:
            raise SystemExit(STATUS)
