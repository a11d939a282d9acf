# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes: all that decides a training run, as plain data."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Dict, Tuple


@dataclass(frozen=True)
class Recipe:
    """One training run. Sizes are (height, width); rates are per step of ``batch`` images."""

    name: str
    network: str
    dataset: str
    network_args: Dict[str, Any] = field(default_factory=dict)
    input_size: Tuple[int, int] = (512, 1024)  # images are stretched to it, as the Pipeline does
    crop: Tuple[int, int] = (352, 704)
    loss_stride: int = 2  # the loss is taken on labels sampled at this stride of the crop
    epochs: int = 30
    batch: int = 8
    lr: float = 0.045
    power: float = 0.9  # poly schedule: lr x (1 - step / steps) ^ power
    warmup_steps: int = 100
    momentum: float = 0.9
    weight_decay: float = 4e-5  # not on depthwise convolutions, norms and biases
    class_weight_c: float = 1.10  # class weights 1 / ln(c + share); 0 = unweighted
    scale: Tuple[float, float] = (0.5, 2.0)
    aspect: float = 0.25  # width scaled by exp(+-aspect) on top
    colour: float = 0.35  # strength of brightness, contrast, saturation and hue changes
    noise: float = 6.0  # standard deviation bound of pixel noise, in grey values
    blur: float = 0.2  # probability of a slight blur
    ema: float = 0.998  # decay per step of the averaged weights that are shipped
    street_frames: int = 0  # rendered frames mixed in
    street_share: float = 0.0  # share of each batch that is rendered
    mean: Tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: Tuple[float, float, float] = (0.229, 0.224, 0.225)
    seed: int = 1


RECIPES: Dict[str, Recipe] = {
    r.name: r
    for r in (
        Recipe(name='fast_scnn-camvid-only', network='fast_scnn', dataset='camvid'),
        Recipe(
            name='fast_scnn-camvid',
            network='fast_scnn',
            dataset='camvid',
            epochs=26,
            lr=0.03,
            street_frames=600,
            street_share=0.25,
        ),
    )
}
