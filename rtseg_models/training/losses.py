# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loss: cross-entropy over the labelled pixels of all processes, auxiliary heads, hard-pixel mining."""

from __future__ import annotations

from typing import Optional

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..networks.blocks import resize

OHEM_PROBABILITY = 0.7  # pixels whose class is given less than this are hard (DABNet's published code)
OHEM_SHARE = 1 / 16  # at least this share of the pixels is kept, the hardest


def class_weights(counts: np.ndarray, c: float) -> Tensor:
    """ENet's weights 1 / ln(c + share) (C,), or ones for c = 0."""
    if c == 0:
        return torch.ones(len(counts))
    return torch.tensor(1.0 / np.log(c + counts / counts.sum()), dtype=torch.float32)


def over_processes(value: Tensor) -> Tensor:
    """The sum of ``value`` over all processes; itself where there is one."""
    if not (dist.is_available() and dist.is_initialized()):
        return value
    total = value.detach().clone()
    dist.all_reduce(total)
    return total


def pixel_weights(labels: Tensor, weights: Tensor, ignore_id: int) -> Tensor:
    """The weight of each pixel's class, 0 where no class is labelled; the shape of ``labels``."""
    labelled = labels != ignore_id
    return torch.where(labelled, weights[torch.where(labelled, labels, 0)], 0.0)


def _hard(entropy: Tensor, labelled: Tensor) -> Tensor:
    """Whether each labelled pixel is among the hard ones; unlabelled pixels are undecided."""
    given = torch.where(labelled, torch.exp(-entropy), 2.0)  # 2: after all labelled ones
    least = max(1, int(given.numel() * OHEM_SHARE))
    bound = torch.kthvalue(given.flatten(), least).values.clamp(min=OHEM_PROBABILITY)
    return given <= bound


def segmentation_loss(
    network: nn.Module,
    x: Tensor,
    labels: Tensor,
    weights: Tensor,
    ignore_id: int,
    *,
    hard_only: bool = False,
    divisor: Optional[Tensor] = None,
) -> Tensor:
    """Weighted cross-entropy of logits resized to the labels' size (N,h,w), plus the auxiliary heads' at their weight.

    The sum over this process's pixels is divided by ``divisor``, by default the number of labelled pixels of all
    processes (each counted with its class's weight), and multiplied by the number of processes: averaging the gradients
    over processes, which distributed data parallel does, then gives the gradient of the mean over the whole batch.
    With ``hard_only`` each head's hard pixels are chosen and counted in this pass. Zero where no pixel is labelled.
    """
    processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    labelled = labels != ignore_id
    targets = torch.where(labelled, labels, 0)
    weight = pixel_weights(labels, weights, ignore_id)
    total = over_processes(weight.sum()) if divisor is None else divisor

    def entropy(logits: Tensor) -> Tensor:
        logits = resize(logits.float(), (int(labels.shape[-2]), int(labels.shape[-1])))
        each = F.cross_entropy(logits, targets, reduction='none')
        if not hard_only:
            return (each * weight).sum() * processes / total.clamp(min=1e-6)
        chosen = weight * _hard(each.detach(), labelled)
        return (each * chosen).sum() * processes / over_processes(chosen.sum()).clamp(min=1e-6)

    if not hasattr(network, 'aux_heads'):
        return entropy(network(x))
    logits, aux = network.forward_with_aux(x)  # type: ignore[operator]
    share: float = network.aux_weight  # type: ignore[assignment]
    return entropy(logits) + share * torch.stack([entropy(a) for a in aux]).sum()
