# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What happens at the end of an epoch: measure, tell, write the checkpoint in one step."""

from __future__ import annotations

import io
import os
import time
from pathlib import Path
from typing import Any, Callable, Dict, List, Union

import lightning
import numpy as np
import torch
from lightning.pytorch.callbacks import Checkpoint
from lightning.pytorch.plugins.io import TorchCheckpointIO

from ..errors import ConfigurationError, RtsegError
from .batches import Frames
from .launch import mark_of_the_first
from .module import NonFiniteLoss, TrainingModule


class AtomicCheckpoints(TorchCheckpointIO):
    """Checkpoints written beside and renamed: a kill or a full disk leaves the previous one whole."""

    def save_checkpoint(self, checkpoint: Dict[str, Any], path: Union[str, Path], storage_options: Any = None) -> None:
        """Write ``path``; RtsegError tells what the disk said."""
        target = Path(path)
        part = target.with_name(f'{target.name}.part')
        buffer = io.BytesIO()
        torch.save(checkpoint, buffer)
        try:
            with part.open('wb') as file:
                file.write(buffer.getbuffer())
                file.flush()
                os.fsync(file.fileno())
            os.replace(part, target)
        except OSError as error:
            part.unlink(missing_ok=True)
            kept = 'the previous one is kept' if target.exists() else 'there is none yet'
            raise RtsegError(f'{target}: checkpoint not written ({error.strerror}); {kept}') from error

    def load_checkpoint(
        self, path: Union[str, Path], map_location: Any = None, weights_only: Any = True
    ) -> Dict[str, Any]:
        """Tensors and plain data only."""
        state: Dict[str, Any] = torch.load(path, map_location='cpu', weights_only=True)
        return state


class EpochEnd(Checkpoint):
    """Measures ``val`` every ``recipe.validate_every`` epochs, logs one line, writes ``checkpoint``.

    Lightning calls callbacks of this kind last, when all of the epoch is done.
    """

    def __init__(self, checkpoint: Path, val: Frames, log: Callable[[str], None]) -> None:
        self.checkpoint, self.val, self.log_line = checkpoint, val, log
        self.started = 0.0

    def on_train_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        """ConfigurationError where processes begin at different places, as where each has its own output folder."""
        if trainer.world_size == 1:
            return
        places: List[Any] = [None] * trainer.world_size
        folder = self.checkpoint.parent
        mark = mark_of_the_first(folder)
        here = (folder.name, trainer.current_epoch, mark.exists())
        torch.distributed.all_gather_object(places, here)
        if trainer.global_rank == 0:
            mark.unlink()
        if len(set(places)) > 1:
            raise ConfigurationError(
                f'the processes begin at {places} (stage, epochs done, whether a file of the first is seen); the '
                'output folder must be one that all share'
            )

    def on_train_epoch_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        self.started = time.perf_counter()
        pl_module.batches.waited_s = pl_module.augment_s = 0.0
        pl_module.losses = []

    def on_train_epoch_end(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        assert isinstance(pl_module, TrainingModule)
        module, recipe = pl_module, pl_module.recipe
        took = time.perf_counter() - self.started
        epoch = trainer.current_epoch + 1
        waiting, augmenting = module.batches.waited_s / took, module.augment_s / took
        entry = {'epoch': epoch, 'loss': float(np.mean(module.losses)), 'lr': module.lr, 'waiting': waiting}
        line = (
            f'epoch {epoch}/{recipe.epochs}  loss {entry["loss"]:.4f}  lr {entry["lr"]:.2e}  {took:.1f} s, of which '
            f'{100 * waiting:.1f} % waiting for data, {100 * augmenting:.0f} % augmenting'
        )
        if recipe.validate_every and len(self.val) and (epoch % recipe.validate_every == 0 or epoch == recipe.epochs):
            figures = module.measure(self.val, trainer.global_rank, trainer.world_size)
            entry.update(figures)
            line += ''.join(f'  {name} {value:.4f}' for name, value in figures.items())
            if trainer.logger is not None:
                trainer.logger.log_metrics(figures, trainer.global_step)
        module.minutes += (time.perf_counter() - self.started) / 60
        module.history.append(entry)
        check_weights(module)
        trainer.save_checkpoint(self.checkpoint)
        self.log_line(line)


def check_weights(module: TrainingModule) -> None:
    """NonFiniteLoss where the squares of the weights and statistics have no finite sum: the last step wrecked them."""
    tensors = [t.detach() for t in module.network.state_dict().values() if t.is_floating_point()]
    if not torch.stack([t.float().square().sum() for t in tensors]).sum().isfinite():
        raise NonFiniteLoss(
            f'the weights became NaN or infinite in epoch {module.current_epoch + 1}, learning rate {module.lr:.2e}; '
            f'the checkpoint of the epoch before is kept: lower {module.key("lr")}, then --resume'
        )
