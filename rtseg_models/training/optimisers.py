# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Optimisers and learning rates of the recipes."""

from __future__ import annotations

from typing import Any, Dict, List, Sequence

import torch
from torch import nn

from .recipe import Recipe

STAGNANT = 1e-3  # a training error within this share of the best is no better


def parameter_groups(network: nn.Module, weight_decay: float, decay_on: str) -> List[Dict[str, Any]]:
    """Weight decay on all parameters, or on dense convolutions only: not on depthwise ones (ContextNet and
    Fast-SCNN, sections 3.1), norms and biases.
    """
    decayed: List[nn.Parameter] = []
    free: List[nn.Parameter] = []
    for module in network.modules():
        for name, parameter in module.named_parameters(recurse=False):
            wanted = decay_on == 'all' or (name == 'weight' and _is_dense(module))
            (decayed if wanted else free).append(parameter)
    return [{'params': decayed, 'weight_decay': weight_decay}, {'params': free, 'weight_decay': 0.0}]


def _is_dense(module: nn.Module) -> bool:
    if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d)):
        return module.groups == 1 or module.groups < module.in_channels
    return isinstance(module, nn.Linear)


def optimiser(network: nn.Module, recipe: Recipe) -> torch.optim.Optimizer:
    """The recipe's optimiser over the network's parameters."""
    groups = parameter_groups(network, recipe.weight_decay, recipe.decay_on)
    if recipe.optimiser == 'sgd':
        return torch.optim.SGD(groups, lr=recipe.lr, momentum=recipe.momentum)
    if recipe.optimiser == 'rmsprop':
        return torch.optim.RMSprop(
            groups, lr=recipe.lr, alpha=recipe.second_momentum, eps=recipe.epsilon, momentum=recipe.momentum
        )
    betas = (recipe.momentum, recipe.second_momentum)
    return torch.optim.Adam(groups, lr=recipe.lr, betas=betas, eps=recipe.epsilon)


def learning_rate(recipe: Recipe, step: int, steps_per_epoch: int, errors: Sequence[float]) -> float:
    """The rate at ``step`` (from 0) of the run; ``errors`` are the mean training losses of the finished epochs."""
    if recipe.schedule == 'poly':
        share = (1 - step / (recipe.epochs * steps_per_epoch)) ** recipe.power
    elif recipe.schedule == 'step':
        share = recipe.factor ** (step // steps_per_epoch // recipe.patience)
    else:
        share = recipe.factor ** stagnations(errors, recipe.patience)
    return recipe.lr * share * min(1.0, (step + 1) / max(recipe.warmup_steps, 1))


def stagnations(errors: Sequence[float], patience: int) -> int:
    """How often ``patience`` epochs have passed without a better error; each time the count begins anew."""
    found, waited, best = 0, 0, float('inf')
    for error in errors:
        if error < best * (1 - STAGNANT):
            best, waited = error, 0
        else:
            waited += 1
        if waited == patience:
            found, waited = found + 1, 0
    return found
