# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""One stage of a recipe as a Lightning module: network, averaged weights, loss, rates, what a checkpoint holds."""

from __future__ import annotations

import copy
import json
import math
import time
from dataclasses import asdict
from typing import Any, Dict, List, Tuple

import lightning
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from ..errors import RtsegError
from ..labels import UNLABELLED, ClassSet
from ..metrics import ConfusionMatrix
from ..networks.deployed import Deployed
from ..networks.prediction import Prediction
from .augment import view_images, view_labels
from .batches import Batch, Batches, Frames
from .losses import over_processes, pixel_weights, segmentation_loss
from .optimisers import learning_rate, optimiser
from .recipe import Recipe

BEGUN_WITH = (
    'lineage',
    'trained_on',
    'learnt_from',
    'licence',
    'torch',
    'git_commit',
)  # what a resumed run does not know better
CHECK_EVERY = 20  # forward passes between looks at the loss, each of which waits for the GPU


class NonFiniteLoss(RtsegError):
    """The loss left the real numbers; the last checkpoint is kept."""


def memory_layout(network: nn.Module, device: torch.device) -> torch.memory_format:
    """Channels last, the faster layout, but on a CPU not where a depthwise layer is dilated.

    There, PyTorch 2.13 computes garbage for such a layer's bf16 weight gradient (docs/decisions.md).
    """
    convolutions = [m for m in network.modules() if isinstance(m, nn.Conv2d)]
    dilated = any(m.groups == m.in_channels > 1 and max(m.dilation) > 1 for m in convolutions)
    return torch.contiguous_format if device.type == 'cpu' and dilated else torch.channels_last


class TrainingModule(lightning.LightningModule):
    """Trains ``network`` by ``recipe`` on ``batches``; ``average`` is what will be shipped.

    ``facts`` (hardware, lineage, what was trained on) go into the checkpoint beside the weights. A subclass says what
    the loss of a batch is and what is measured on a validation split.
    """

    def __init__(
        self, network: nn.Module, recipe: Recipe, classes: ClassSet, batches: Batches, facts: Dict[str, Any]
    ) -> None:
        super().__init__()
        self.network = network
        self.average = copy.deepcopy(network).requires_grad_(False).eval()
        self.deployed = Deployed(nn.Identity(), recipe.mean, recipe.std)
        self.recipe, self.classes, self.batches, self.facts = recipe, classes, batches, facts
        self.history: List[Dict[str, float]] = []  # one entry for each finished epoch
        self.minutes = 0.0
        self.lr = 0.0  # of the present step
        self.augment_s = 0.0  # in this epoch
        self.losses: List[float] = []  # in this epoch, checked
        self.unchecked: List[Tuple[int, float, Tensor]] = []  # step, rate and loss of the latest passes
        self.layout = torch.contiguous_format
        self.stage = ''  # the stage's name; none of the last

    def key(self, field: str) -> str:
        """What ``--set`` calls a field of this stage."""
        return f'{self.stage}.{field}' if self.stage else field

    def loss(self, batch: Batch, batch_idx: int) -> Tensor:
        """The loss of one forward pass."""
        raise NotImplementedError

    def measure(self, val: Frames, process: int, processes: int) -> Dict[str, float]:
        """A figure of the averaged weights for the curves, by its name; each process measures its share of ``val``."""
        raise NotImplementedError

    def crops(self, batch: Batch) -> Tensor:
        """The network's input (N,3,h,w): the batch's random views, normalised."""
        x = view_images(batch.rgbs, batch.views[batch.place], self.recipe)
        return self.deployed.normalise(x).contiguous(memory_format=self.layout)

    def on_fit_start(self) -> None:
        self.layout = memory_layout(self.network, self.device)
        for network in (self.network, self.average):  # alike, for PyTorch to average them in few launches
            network.to(memory_format=self.layout)  # type: ignore[call-overload]
        pairs = list(zip(self.average.state_dict().values(), self.network.state_dict().values()))
        self.averaged = [p for p in pairs if p[0].is_floating_point()]
        self.counters = [p for p in pairs if not p[0].is_floating_point()]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return optimiser(self.network, self.recipe)

    def transfer_batch_to_device(self, batch: Batch, device: torch.device, dataloader_idx: int) -> Batch:
        def moved(tensors: List[Tensor]) -> List[Tensor]:
            return [t.to(device, non_blocking=True) for t in tensors]

        return Batch(moved(batch.rgbs), batch.place, moved(batch.labels), batch.views)

    def on_train_batch_start(self, batch: Batch, batch_idx: int) -> None:
        # Dropout draws from the global generator: give it a state that depends on nothing but the place in the run.
        place = (self.recipe.seed, self.current_epoch, batch_idx, self.global_rank)
        torch.manual_seed(int(np.random.SeedSequence(place).generate_state(1)[0]))
        errors = [h['loss'] for h in self.history]
        self.lr = learning_rate(self.recipe, self.trainer.global_step, self.batches.steps, errors)
        for group in self.optimizers().param_groups:
            group['lr'] = self.lr

    def training_step(self, batch: Batch, batch_idx: int) -> Tensor:
        loss = self.loss(batch, batch_idx)
        self.unchecked.append((self.trainer.global_step, self.lr, loss.detach()))
        if len(self.unchecked) == CHECK_EVERY:
            self.check_losses()
        return loss

    def on_train_epoch_end(self) -> None:
        self.check_losses()

    def check_losses(self) -> None:
        """Log the losses since the last check; NonFiniteLoss tells the first step whose loss is none."""
        if not self.unchecked:
            return
        passes, self.unchecked = self.unchecked, []
        total = over_processes(torch.stack([loss for _, _, loss in passes]))
        values = (total / self.trainer.world_size).tolist()  # the same in every process
        for (step, lr, _), value in zip(passes, values):
            if not math.isfinite(value):
                raise NonFiniteLoss(
                    f'loss {value} at step {step} (epoch {self.current_epoch + 1}), learning rate {lr:.2e}; '
                    f'the checkpoint of the last finished epoch is kept: lower {self.key("lr")}, then --resume'
                )
        self.losses += values
        if self.logger is not None:
            self.logger.log_metrics({'loss': float(np.mean(values)), 'lr': passes[-1][1]}, passes[-1][0])

    def optimizer_step(self, *args: Any, **kwargs: Any) -> None:
        super().optimizer_step(*args, **kwargs)
        step = self.trainer.global_step
        keep = min(self.recipe.ema, step / (step + 9)) if self.recipe.ema else 0.0
        kept, present = zip(*self.averaged)
        get_ema_multi_avg_fn(keep)(kept, present, step)
        for count, now in self.counters:
            count.copy_(now)

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
        state = checkpoint['rtseg']
        self.history, self.minutes = state['history'], state['minutes']
        self.facts.update({k: state[k] for k in BEGUN_WITH if k in state})


class SegmentationModule(TrainingModule):
    """Learns the classes of pixels; ``weights`` (C,) are the classes'."""

    weights: Tensor

    def __init__(
        self,
        network: nn.Module,
        recipe: Recipe,
        classes: ClassSet,
        weights: Tensor,
        batches: Batches,
        facts: Dict[str, Any],
    ) -> None:
        super().__init__(network, recipe, classes, batches, facts)
        self.register_buffer('weights', weights, persistent=False)
        self.labelled = torch.zeros(())  # in all passes of the present step, over all processes

    def loss(self, batch: Batch, batch_idx: int) -> Tensor:
        accumulate, ignore_id = self.recipe.accumulate, self.classes.ignore_id
        started = time.perf_counter()
        with torch.autocast(self.device.type, enabled=False), torch.no_grad():
            x = self.crops(batch)
            labels = self._labels(batch, batch.place)
            if accumulate > 1 and batch_idx % accumulate == 0:
                every = pixel_weights(self._labels(batch, slice(None)), self.weights, ignore_id)
                self.labelled = over_processes(every.sum())
        self.augment_s += time.perf_counter() - started
        return segmentation_loss(
            self.network,
            x,
            labels,
            self.weights,
            ignore_id,
            kind=self.recipe.loss,
            divisor=self.labelled / accumulate if accumulate > 1 else None,  # Lightning divides by the passes again
        )

    def _labels(self, batch: Batch, place: slice) -> Tensor:
        ignore_id = self.classes.ignore_id
        labels = view_labels(batch.labels[place], batch.views[place], self.recipe, ignore_id)
        return torch.where(labels == UNLABELLED, ignore_id, labels)

    @torch.no_grad()
    def measure(self, val: Frames, process: int, processes: int) -> Dict[str, float]:
        """Mean IoU at the labels' size. The figure of a bundle comes from the Pipeline."""
        predict = Prediction(self.average, 'probabilities')
        matrix = ConfusionMatrix(len(self.classes), self.classes.ignore_id)
        for index in range(process, len(val), processes):
            rgb, label = val[index]
            x = F.interpolate(
                rgb[None].to(self.device).float(), self.recipe.input_size, mode='bilinear', align_corners=False
            )
            scores = predict(self.deployed.normalise(x))
            scores = F.interpolate(scores, label.shape, mode='bilinear', align_corners=False)
            matrix.update(label.numpy(), scores[0].argmax(0).to('cpu', torch.uint8).numpy())
        matrix.counts = over_processes(torch.from_numpy(matrix.counts).to(self.device)).cpu().numpy()
        return {'val_miou': matrix.miou()}
