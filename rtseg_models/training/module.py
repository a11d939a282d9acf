# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stage of a recipe as a Lightning module: network, averaged weights, loss, rates, what a checkpoint holds."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict
from typing import Any, Dict, List

import lightning
import numpy as np
import torch
from torch import Tensor, nn

from ..errors import RtsegError
from ..labels import ClassSet
from ..networks.deployed import Deployed
from .augment import apply_views
from .batches import Batch, Batches
from .losses import over_processes, segmentation_loss
from .optimisers import learning_rate, optimiser
from .recipe import Recipe


class NonFiniteLoss(RtsegError):
    """The loss left the real numbers; the last checkpoint is kept."""


def memory_layout(network: nn.Module, device: torch.device) -> torch.memory_format:
    """Channels last, the faster layout, but on a CPU not where a depthwise layer is dilated.

    There, PyTorch 2.13 computes garbage for such a layer's bf16 weight gradient (docs/decisions.md).
    """
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    dilated = any(m.groups == m.in_channels > 1 and max(m.dilation) > 1 for m in convolutions)
    return torch.contiguous_format if device.type == 'cpu' and dilated else torch.channels_last


class SegmentationModule(lightning.LightningModule):
    """Trains ``network`` by ``recipe`` on ``batches``; ``average`` is what will be shipped.

    ``facts`` (hardware, lineage, what was trained on) go into the checkpoint beside the weights.
    """

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        classes: ClassSet,
        weights: Tensor,
        batches: Batches,
        facts: Dict[str, Any],
    ) -> None:
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.deployed = Deployed(nn.Identity(), recipe.mean, recipe.std)
        self.register_buffer('weights', weights, persistent=False)
        self.recipe, self.classes, self.batches, self.facts = recipe, classes, batches, facts
        self.history: List[Dict[str, float]] = []  # one entry for each finished epoch
        self.minutes = 0.0
        self.lr = 0.0  # of the present step
        self.augment_s = 0.0  # in this epoch
        self.losses: List[float] = []  # in this epoch
        self.layout = torch.contiguous_format

    def on_fit_start(self) -> None:
        self.layout = memory_layout(self.network, self.device)
        self.network.to(memory_format=self.layout)  # type: ignore[call-overload]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimiser(self.network, self.recipe)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        def moved(tensors: List[Tensor]) -> List[Tensor]:
            return [t.to(device, non_blocking=True) for t in tensors]

        return Batch(moved(batch.rgbs), moved(batch.labels), batch.views)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout draws from the global generator: give it a state that depends on nothing but the place in the run.
        place = (self.recipe.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
        errors = [h['loss'] for h in self.history]
        self.lr = learning_rate(self.recipe, self.trainer.global_step, self.batches.steps, errors)
        for group in self.optimizers().param_groups:
            group['lr'] = self.lr

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        started = time.perf_counter()
        with torch.autocast(self.device.type, enabled=False), torch.no_grad():
            crops, labels = apply_views(batch.rgbs, batch.labels, batch.views, self.recipe, self.classes.ignore_id)
            x = self.deployed.normalise(crops).contiguous(memory_format=self.layout)
        self.augment_s += time.perf_counter() - started
        labels = torch.where(labels == 255, self.classes.ignore_id, labels)
        hard_only = self.recipe.loss == 'ohem'
        loss = segmentation_loss(self.network, x, labels, self.weights, self.classes.ignore_id, hard_only)
        value = float(over_processes(loss.detach())) / self.trainer.world_size  # the same in every process
        if not math.isfinite(value):
            raise NonFiniteLoss(
                f'loss {value} at step {self.trainer.global_step} (epoch {self.current_epoch + 1}), learning rate '
                f'{self.lr:.2e}; the checkpoint of the last finished epoch is kept: lower lr, then --resume'
            )
        self.losses.append(value)
        self.log('loss', value)
        self.log('lr', self.lr)
        return loss

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        step = self.trainer.global_step
        keep = min(self.recipe.ema, step / (step + 9)) if self.recipe.ema else 0.0
        with torch.no_grad():
            for kept, present in zip(self.average.state_dict().values(), self.network.state_dict().values()):
                if kept.is_floating_point():
                    kept.lerp_(present, 1 - keep)
                else:
                    kept.copy_(present)

    def on_save_checkpoint(self, checkpoint: Dict[str, Any]) -> None:
        checkpoint['rtseg'] = {
            'ema': self.average.state_dict(),
            'epoch': len(self.history),
            'minutes': self.minutes,
            'recipe': json.dumps(asdict(self.recipe)),
            'class_set': asdict(self.classes),
            'history': self.history,
            **self.facts,
        }

    def on_load_checkpoint(self, checkpoint: Dict[str, Any]) -> None:
        self.history, self.minutes = checkpoint['rtseg']['history'], checkpoint['rtseg']['minutes']
