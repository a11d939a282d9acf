# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loss: cross-entropy over the labelled pixels of all processes, auxiliary heads, hard-pixel mining, and
a surrogate of the mean IoU itself.
"""

from __future__ import annotations

import math
from typing import Optional

import numpy as np
import torch
import torch.distributed as dist
import torch.nn.functional as F
from torch import Tensor, nn

from ..card import Size
from ..networks.blocks import resize

OHEM_PROBABILITY = 0.7  # pixels whose class is given less than this are hard (DABNet's published code)
OHEM_SHARE = 1 / 16  # at least this share of the pixels is kept, the hardest
JACCARD_PIXELS = 200_000  # of a pass that the surrogate of the IoU sorts, for each class


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


def _descending(errors: Tensor) -> Tensor:
    """The places of each row's values (C,P), all at least 0, largest first.

    The bits of such floats are in the floats' order, and PyTorch sorts integers on a CPU by their digits, 7 times as
    fast (docs/decisions.md).
    """
    if errors.device.type != 'cpu':
        return errors.argsort(1, descending=True)
    keys = torch.iinfo(torch.int32).max - errors.float().view(torch.int32)
    return torch.stack([row.argsort() for row in keys])


def lovasz_softmax(logits: Tensor, labels: Tensor, ignore_id: int) -> Tensor:
    """The convex surrogate of 1 - IoU, averaged over the classes that are labelled; 0 where none is.

    ``logits`` (N,C,h,w), ``labels`` (N,h,w); of more than ``JACCARD_PIXELS`` pixels evenly spread ones are taken.
    Berman, Rannen Triki, Blaschko: The Lovász-Softmax loss, CVPR 2018, equations 9 to 12.
    """
    spacing = -(-labels.numel() // JACCARD_PIXELS)
    ids = labels.flatten()[::spacing]
    shares = logits.transpose(0, 1).flatten(1)[:, ::spacing].softmax(0)  # (C, pixels)
    belongs = (ids == torch.arange(len(shares), device=ids.device)[:, None]).float()
    errors = torch.where(ids == ignore_id, 0.0, (belongs - shares).abs())
    order = _descending(errors.detach())
    sorted_belongs = belongs.gather(1, order)
    total = belongs.sum(1, keepdim=True)
    loss = 1 - (total - sorted_belongs.cumsum(1)) / (total + (1 - sorted_belongs).cumsum(1))
    slopes = torch.empty_like(loss).scatter_(1, order, loss.diff(dim=1, prepend=torch.zeros_like(total)))
    per_class = (errors * slopes).sum(1)
    present = total[:, 0] > 0
    return torch.where(present, per_class, 0.0).sum() / present.sum().clamp(min=1)


def over_labels(logits: Tensor, crop: Size, size: Size) -> Tensor:
    """Logits of a ``crop`` upsampled to labels of ``size``, each cell as wide as inference takes it to be.

    That is the network's stride, a power of two, also where the last cells reach beyond the crop.
    """
    cells = (logits.shape[-2], logits.shape[-1])
    strides = [2 ** max(0, math.ceil(math.log2(side / count))) for side, count in zip(crop, cells)]
    if all(side % stride == 0 for side, stride in zip(crop, strides)):
        return resize(logits, size)
    over = 1 + 1e-9  # what comes out is rounded down
    factors = [stride * out / side * over for stride, side, out in zip(strides, crop, size)]
    wide = F.interpolate(logits, scale_factor=factors, mode='bilinear', align_corners=False)
    return wide[..., : size[0], : size[1]]


def segmentation_loss(
    network: nn.Module,
    x: Tensor,
    labels: Tensor,
    weights: Tensor,
    ignore_id: int,
    *,
    kind: str = 'cross_entropy',
    divisor: Optional[Tensor] = None,
) -> Tensor:
    """Weighted cross-entropy of logits upsampled to the labels (N,h,w), plus the auxiliary heads' at their weight.

    The sum over this process's pixels is divided by ``divisor``, by default the number of labelled pixels of all
    processes (each counted with its class's weight), and multiplied by the number of processes: averaging the gradients
    over processes, which distributed data parallel does, then gives the gradient of the mean over the whole batch.
    ``kind`` is the recipe's ``loss``. 'ohem': each head's hard pixels are chosen and counted in this pass. 'lovasz':
    the surrogate of this pass's IoU comes on top, without the auxiliary heads'; processes and passes are averaged.
    Zero where no pixel is labelled.
    """
    processes = dist.get_world_size() if dist.is_available() and dist.is_initialized() else 1
    labelled = labels != ignore_id
    targets = torch.where(labelled, labels, 0)
    weight = pixel_weights(labels, weights, ignore_id)
    total = over_processes(weight.sum()) if divisor is None else divisor

    def resized(logits: Tensor) -> Tensor:
        return over_labels(logits.float(), (x.shape[-2], x.shape[-1]), (labels.shape[-2], labels.shape[-1]))

    def entropy(logits: Tensor) -> Tensor:
        each = F.cross_entropy(logits, targets, reduction='none')
        if kind != 'ohem':
            return (each * weight).sum() * processes / total.clamp(min=1e-6)
        chosen = weight * _hard(each.detach(), labelled)
        return (each * chosen).sum() * processes / over_processes(chosen.sum()).clamp(min=1e-6)

    def main(logits: Tensor) -> Tensor:
        logits = resized(logits)
        return entropy(logits) + (lovasz_softmax(logits, labels, ignore_id) if kind == 'lovasz' else 0.0)

    if not hasattr(network, 'aux_heads'):
        return main(network(x))
    logits, aux = network.forward_with_aux(x)  # type: ignore[operator]
    share: float = network.aux_weight  # type: ignore[assignment]
    return main(logits) + share * torch.stack([entropy(resized(a)) for a in aux]).sum()
