# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: a network, a recipe, a folder with checkpoints that a killed run resumes from."""

from __future__ import annotations

import json
import math
import os
import platform
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Optional, Sequence, Tuple

import cv2
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..datasets.sample import Dataset, Sample
from ..errors import BundleError, RtsegError
from ..networks import build_network
from ..networks.blocks import resize
from ..networks.deployed import Deployed
from .augment import random_view
from .recipes import Recipe

Batch = Tuple[Tensor, Tensor]


class NonFiniteLoss(RtsegError):
    """The loss left the real numbers; the last checkpoint is kept."""


def check_labels(samples: Sequence[Sample], classes: int, ignore_id: int) -> np.ndarray:
    """Pixel counts per class (C,) over the samples; BundleError lists every sample with a wrong size or id."""
    counts = np.zeros(256, np.int64)
    faults: List[str] = []
    for name, rgb, label in samples:
        here = np.bincount(label.ravel(), minlength=256)
        strange = [int(i) for i in np.flatnonzero(here) if i >= classes and i not in (ignore_id, 255)]
        if strange:
            faults.append(f'{name}: ids {strange}')
        if rgb.shape[:2] != label.shape:
            faults.append(f'{name}: image {rgb.shape[:2]}, label {label.shape}')
        counts += here
    if faults:
        raise BundleError('labels that do not fit the class set: ' + '; '.join(faults))
    return counts[:classes]


def class_weights(counts: np.ndarray, c: float) -> Tensor:
    """ENet's weights 1 / ln(c + share) (C,), or ones for c = 0."""
    if c == 0:
        return torch.ones(len(counts))
    return torch.tensor(1.0 / np.log(c + counts / counts.sum()), dtype=torch.float32)


def parameter_groups(network: nn.Module, weight_decay: float) -> List[Dict[str, Any]]:
    """Weight decay on dense convolutions only: not on depthwise ones (Fast-SCNN, section 4.1), norms and biases."""
    decayed, free = [], []
    for module in network.modules():
        dense = isinstance(module, nn.Conv2d) and (module.groups == 1 or module.groups < module.in_channels)
        for name, parameter in module.named_parameters(recurse=False):
            (decayed if dense and name == 'weight' else free).append(parameter)
    return [{'params': decayed, 'weight_decay': weight_decay}, {'params': free, 'weight_decay': 0.0}]


def segmentation_loss(network: nn.Module, x: Tensor, labels: Tensor, weights: Tensor, ignore_id: int) -> Tensor:
    """Weighted cross-entropy at the labels' size, plus the auxiliary heads' at the paper's weight."""
    size = (int(labels.shape[-2]), int(labels.shape[-1]))

    def entropy(logits: Tensor) -> Tensor:
        return F.cross_entropy(resize(logits.float(), size), labels, weight=weights, ignore_index=ignore_id)

    if not hasattr(network, 'aux_heads'):
        return entropy(network(x))
    logits, aux = network.forward_with_aux(x)
    return entropy(logits) + network.aux_weight * sum(entropy(a) for a in aux)


def batches(
    samples: Sequence[Sample], street: Sequence[Sample], recipe: Recipe, ignore_id: int, epoch: int
) -> Iterator[Batch]:
    """The epoch's batches, prepared ahead by threads; random numbers derive from seed, epoch and position alone."""
    rng = np.random.default_rng((recipe.seed, epoch))
    from_street = round(recipe.batch * recipe.street_share) if street else 0
    real = recipe.batch - from_street
    order = rng.permutation(len(samples))
    order = np.concatenate([order, order[: -len(order) % real]])
    rendered = rng.integers(0, max(len(street), 1), (len(order) // real, from_street))

    def view(sample: Sample, step: int, slot: int) -> Tuple[np.ndarray, np.ndarray]:
        own = np.random.default_rng((recipe.seed, epoch, step, slot))
        return random_view(sample.rgb, sample.label, ignore_id, recipe, own)

    def assemble(step: int) -> Batch:
        chosen = [samples[i] for i in order[step * real : (step + 1) * real]] + [street[i] for i in rendered[step]]
        views = [view(s, step, slot) for slot, s in enumerate(chosen)]
        rgb = torch.from_numpy(np.stack([v[0] for v in views])).permute(0, 3, 1, 2)
        return rgb, torch.from_numpy(np.stack([v[1] for v in views])).long()

    steps = len(order) // real
    with ThreadPoolExecutor(2) as pool:
        ahead = [pool.submit(assemble, s) for s in range(min(4, steps))]
        for step in range(steps):
            ready = ahead.pop(0).result()
            if step + 4 < steps:
                ahead.append(pool.submit(assemble, step + 4))
            yield ready


def train(
    recipe: Recipe,
    data: Dataset,
    out: Path,
    *,
    street: Sequence[Sample] = (),
    start_from: Optional[Path] = None,
    resume: bool = False,
    log: Callable[[str], None] = print,
) -> Path:
    """Train by the recipe and return the checkpoint ``out/last.pt``, written at the end of every epoch.

    ``start_from`` is a checkpoint whose averaged weights the run begins with. A run killed at any moment resumes at its
    last finished epoch. NonFiniteLoss tells step and learning rate and leaves the last checkpoint as it was.
    """
    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / 'last.pt'
    cv2.setNumThreads(1)
    torch.manual_seed(recipe.seed)
    classes, ignore_id = len(data.class_set), data.class_set.ignore_id
    samples = [data[i] for i in range(len(data))]
    counts = check_labels(samples, classes, ignore_id)
    weights = class_weights(counts, recipe.class_weight_c)
    network = build_network(recipe.network, classes, aux=True, **recipe.network_args)
    lineage: List[str] = []
    if start_from is not None:
        parent = torch.load(start_from, weights_only=True)
        network.load_state_dict(parent['ema'])
        lineage = [*parent['lineage'], f'{json.loads(parent["recipe"])["name"]}, {parent["epoch"]} epochs']
    network.train()
    deployed = Deployed(network, recipe.mean, recipe.std)
    ema = {k: v.detach().clone() for k, v in network.state_dict().items()}
    optimiser = torch.optim.SGD(parameter_groups(network, recipe.weight_decay), lr=recipe.lr, momentum=recipe.momentum)
    first, minutes = 0, 0.0
    if resume and checkpoint.is_file():
        state = torch.load(checkpoint, weights_only=True)
        network.load_state_dict(state['network'])
        optimiser.load_state_dict(state['optimiser'])
        ema, first, minutes, lineage = state['ema'], state['epoch'], state['minutes'], state['lineage']
        log(f'resumed after epoch {first}')
    elif checkpoint.exists():
        raise RtsegError(f'{checkpoint} exists already; resume the run or choose another folder')
    (out / 'recipe.json').write_text(json.dumps(asdict(recipe), indent=2) + '\n', encoding='utf-8')
    real = recipe.batch - (round(recipe.batch * recipe.street_share) if street else 0)
    steps = recipe.epochs * math.ceil(len(samples) / real)
    step = first * math.ceil(len(samples) / real)
    for epoch in range(first, recipe.epochs):
        started, total, waited, seen = time.perf_counter(), 0.0, 0.0, 0
        torch.manual_seed(recipe.seed * 100_003 + epoch)
        source = batches(samples, street, recipe, ignore_id, epoch)
        while True:
            asked = time.perf_counter()
            batch = next(source, None)
            waited += time.perf_counter() - asked
            if batch is None:
                break
            lr = recipe.lr * (1 - step / steps) ** recipe.power * min(1.0, (step + 1) / max(recipe.warmup_steps, 1))
            for group in optimiser.param_groups:
                group['lr'] = lr
            # Channels first: in channels last, the bf16 weight gradient of dilated depthwise convolutions is garbage.
            x = deployed.normalise(batch[0])
            with torch.autocast('cpu', torch.bfloat16):
                loss = segmentation_loss(network, x, batch[1], weights, ignore_id)
            if not math.isfinite(loss.item()):
                raise NonFiniteLoss(f'loss {loss.item()} at step {step}, learning rate {lr:.2e}; kept {checkpoint}')
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
            decay = min(recipe.ema, (step + 1) / (step + 10))
            for key, value in network.state_dict().items():
                if value.is_floating_point():
                    ema[key].lerp_(value, 1 - decay)
                else:
                    ema[key].copy_(value)
            total, seen, step = total + loss.item(), seen + 1, step + 1
        took = time.perf_counter() - started
        minutes += took / 60
        _save(
            checkpoint,
            {
                'network': network.state_dict(),
                'ema': ema,
                'optimiser': optimiser.state_dict(),
                'epoch': epoch + 1,
                'minutes': minutes,
                'recipe': json.dumps(asdict(recipe)),
                'class_set': data.class_set.name,
                'lineage': lineage,
                'hardware': f'{platform.machine()} CPU, {os.cpu_count()} cores, bf16 autocast',
            },
        )
        share = 100 * waited / took
        log(f'epoch {epoch + 1}/{recipe.epochs}  loss {total / seen:.3f}  {took:.0f} s, {share:.0f} % waiting for data')
    return checkpoint


def _save(path: Path, state: Dict[str, Any]) -> None:
    """Write beside, then rename: a full disk or a kill leaves the previous checkpoint whole."""
    part = path.with_suffix('.part')
    torch.save(state, part)
    os.replace(part, path)
