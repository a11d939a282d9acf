# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning from classified images, such as ImageNet's, before learning from labelled pixels."""

from __future__ import annotations

import textwrap
import time
from typing import Dict

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..errors import ConfigurationError
from ..networks import CLASSIFIERS
from .batches import Batch, Frames
from .losses import over_processes
from .module import TrainingModule
from .recipe import Recipe


def learns_images(recipe: Recipe) -> bool:
    """Whether the recipe trains a classifier of whole images."""
    return recipe.network in CLASSIFIERS


class ClassificationModule(TrainingModule):
    """Learns the classes of whole images by their cross-entropy."""

    def loss(self, batch: Batch, batch_idx: int) -> Tensor:
        started = time.perf_counter()
        with torch.autocast(self.device.type, enabled=False), torch.no_grad():
            x = self.crops(batch)
            labels = torch.stack(batch.labels[batch.place])
        self.augment_s += time.perf_counter() - started
        return F.cross_entropy(self.network(x).float(), labels)

    @torch.no_grad()
    def measure(self, val: Frames, process: int, processes: int) -> Dict[str, float]:
        """Share of images whose class comes first, from the middle of the image at the recipe's input size."""
        height, width = self.recipe.crop
        top, left = ((size - crop) // 2 for size, crop in zip(self.recipe.input_size, self.recipe.crop))
        right = torch.zeros((), dtype=torch.int64, device=self.device)
        for index in range(process, len(val), processes):
            rgb, label = val[index]
            x = F.interpolate(
                rgb[None].to(self.device).float(), self.recipe.input_size, mode='bilinear', align_corners=False
            )
            scores = self.average(self.deployed.normalise(x[..., top : top + height, left : left + width]))
            right += scores[0].argmax() == label.to(self.device)
        return {'val_top1': float(over_processes(right)) / len(val)}


def load_encoder(network: nn.Module, weights: Dict[str, Tensor], name: str) -> None:
    """Give ``network`` the encoder of the network ``name``; ConfigurationError where it does not fit."""
    try:
        network.load_encoder(weights)  # type: ignore[operator]
    except (AttributeError, RuntimeError) as error:
        raise ConfigurationError(
            f'a checkpoint of {name} does not fit {type(network).__name__}: {first_words(error)}'
        ) from error


def first_words(error: Exception) -> str:
    """The beginning of the last line of an error: of weights that do not fit, PyTorch lists every one."""
    return textwrap.shorten(str(error).splitlines()[-1], 160, placeholder=' …')
