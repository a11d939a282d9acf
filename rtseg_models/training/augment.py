# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random views of labelled images on the training device: one affine warp, then colour, blur and noise.

The numbers are drawn on the host from a generator that the caller derives from seed, epoch, step and place in the
batch, so a view is the same on any device and in any number of processes; kornia only applies them. The noise alone is
drawn on the device, from a seed among these numbers: the same on one device, another on another kind of device.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple, Union

import kornia
import numpy as np
import torch
from torch import Tensor

from .recipe import Recipe

BLUR_KERNEL = 7  # pixels; holds a standard deviation of 1.6


@dataclass(frozen=True)
class View:
    """One view. ``image`` and ``label`` (2,3) map source pixel indices (x, y, 1) to the crop's and its labels'."""

    image: np.ndarray
    label: np.ndarray
    brightness: float
    contrast: float
    saturation: float
    hue: float
    gamma: float
    cast: Tuple[float, float, float]
    blur_sigma: float  # 0 = none
    noise_sigma: float
    noise_seed: int


def draw_view(size: Tuple[int, int], recipe: Recipe, rng: np.random.Generator) -> View:
    """A random view of an image of ``size`` (H, W) that is stretched to the recipe's input size.

    As many numbers are drawn whatever the recipe, so that switching one change off leaves the others as they are.
    """
    log_scale = rng.uniform(*np.log(recipe.scale))
    chosen = rng.integers(max(len(recipe.scales), 1))
    scale = recipe.scales[chosen] if recipe.scales else np.exp(log_scale)
    sy = scale * recipe.input_size[0] / size[0]
    sx = scale * np.exp(rng.uniform(-1, 1) * recipe.aspect) * recipe.input_size[1] / size[1]
    crop_h, crop_w = recipe.crop
    top = _offset(size[0] * sy, crop_h, rng) + rng.integers(-recipe.shift, recipe.shift + 1)
    left = _offset(size[1] * sx, crop_w, rng) + rng.integers(-recipe.shift, recipe.shift + 1)
    turn = np.deg2rad(rng.uniform(-1, 1) * recipe.rotation)
    flip = rng.random() < recipe.flip
    matrix = _translate(-left, -top) @ np.diag([sx, sy, 1.0]) @ _translate(0.5, 0.5)
    rotate = np.array([[np.cos(turn), -np.sin(turn), 0.0], [np.sin(turn), np.cos(turn), 0.0], [0.0, 0.0, 1.0]])
    matrix = _translate(crop_w / 2, crop_h / 2) @ rotate @ _translate(-crop_w / 2, -crop_h / 2) @ matrix
    if flip:
        matrix = np.array([[-1.0, 0.0, crop_w], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0]]) @ matrix
    to_index = _translate(-0.5, -0.5)
    label_h, label_w = label_size(recipe)
    shrink = np.diag([label_w / crop_w, label_h / crop_h, 1.0])
    colour = rng.uniform(-1, 1, 8)
    blurred, sigma = rng.random() < recipe.blur, rng.uniform(0.4, 1.6)
    return View(
        image=(to_index @ matrix)[:2],
        label=(to_index @ shrink @ matrix)[:2],
        brightness=float(colour[0] * recipe.brightness),
        contrast=float(1 + colour[1] * recipe.contrast),
        saturation=float(1 + colour[2] * recipe.saturation),
        hue=float(colour[3] * recipe.hue),
        gamma=float(np.exp(colour[4] * recipe.gamma)),
        cast=(
            float(1 + colour[5] * recipe.cast),
            float(1 + colour[6] * recipe.cast),
            float(1 + colour[7] * recipe.cast),
        ),
        blur_sigma=float(sigma) if blurred else 0.0,
        noise_sigma=float(rng.uniform(0, 1) * recipe.noise / 255.0),
        noise_seed=int(rng.integers(2**62)),
    )


def label_size(recipe: Recipe) -> Tuple[int, int]:
    """Size (H, W) of the labels that the loss is taken on."""
    return max(1, round(recipe.crop[0] * recipe.label_scale)), max(1, round(recipe.crop[1] * recipe.label_scale))


def view_images(rgbs: Sequence[Tensor], views: Sequence[View], recipe: Recipe) -> Tensor:
    """Crops (N,3,h,w) float32 in 0..255 of rgb images (3,H,W) uint8 of any sizes, on the device of the sources.

    Each is sampled once; outside its source a crop holds the recipe's mean.
    """
    mean = _on_device(recipe.mean, rgbs[0].device).view(3, 1, 1)

    def prepared(rgb: Tensor) -> Tensor:
        return rgb.float() / 255.0 - mean  # what lies outside is zero, which is the mean

    crops = _warp([prepared(rgb) for rgb in rgbs], [v.image for v in views], recipe.crop, 'bilinear') + mean
    return _recolour(crops, views).clamp(0.0, 1.0) * 255.0


def view_labels(labels: Sequence[Tensor], views: Sequence[View], recipe: Recipe, ignore_id: int) -> Tensor:
    """The crops' labels (N,h',w') int64 of ids (H,W) uint8, at the nearest pixel; ``ignore_id`` outside the source."""
    shifted = [label[None].float() - ignore_id for label in labels]
    ids = _warp(shifted, [v.label for v in views], label_size(recipe), 'nearest') + ignore_id
    return ids[:, 0].round().long()


def _warp(sources: Sequence[Tensor], matrices: Sequence[np.ndarray], size: Tuple[int, int], mode: str) -> Tensor:
    """Each (C,H,W) through its matrix to ``size``, stacked (N,C,h,w); sources of equal size go in one call."""
    warped: List[Tensor] = list(sources)
    for shape in {s.shape for s in sources}:
        alike = [i for i, s in enumerate(sources) if s.shape == shape]
        affine = _on_device(np.stack([matrices[i] for i in alike]), sources[0].device)
        x = torch.stack([sources[i] for i in alike])
        found = kornia.geometry.transform.warp_affine(x, affine, size, mode=mode, align_corners=True)
        for i, crop in zip(alike, found):
            warped[i] = crop
    return torch.stack(warped)


def _on_device(values: Union[Sequence[float], np.ndarray], device: torch.device) -> Tensor:
    """float32 numbers on the device, which is not waited for."""
    return torch.as_tensor(values, dtype=torch.float32).to(device, non_blocking=True)


def _recolour(x: Tensor, views: Sequence[View]) -> Tensor:
    """Colour, blur and noise on crops (N,3,h,w) in 0..1; a change that no view asks for is skipped."""

    def per_view(values: Sequence[float]) -> Tensor:
        return _on_device(values, x.device)

    enhance = kornia.enhance
    if any(v.saturation != 1 for v in views):
        x = enhance.adjust_saturation_with_gray_subtraction(x, per_view([v.saturation for v in views]))
    if any(v.hue != 0 for v in views):
        x = enhance.adjust_hue(x.clamp(0.0, 1.0), per_view([v.hue for v in views]))
    if any(v.contrast != 1 for v in views):
        x = enhance.adjust_contrast_with_mean_subtraction(x, per_view([v.contrast for v in views]))
    if any(v.cast != (1, 1, 1) for v in views):
        x = x * _on_device(np.array([v.cast for v in views]), x.device).view(-1, 3, 1, 1)
    if any(v.brightness != 0 for v in views):
        x = enhance.adjust_brightness(x, per_view([v.brightness for v in views]))
    if any(v.gamma != 1 for v in views):
        x = enhance.adjust_gamma(x.clamp(0.0, 1.0), per_view([v.gamma for v in views]))
    blurred = [i for i, v in enumerate(views) if v.blur_sigma > 0]
    if blurred:
        sigma = torch.tensor([views[i].blur_sigma for i in blurred])[:, None].expand(-1, 2)  # kornia looks at it here
        place = torch.tensor(blurred).to(x.device, non_blocking=True)
        x = x.index_copy(0, place, kornia.filters.gaussian_blur2d(x[place], BLUR_KERNEL, sigma))
    if any(v.noise_sigma > 0 for v in views):
        generator = torch.Generator(x.device)
        grain = [
            torch.randn(x.shape[-2:], generator=generator.manual_seed(v.noise_seed), device=x.device) * v.noise_sigma
            for v in views
        ]
        x = x + torch.stack(grain)[:, None]
    return x


def _offset(length: float, crop: int, rng: np.random.Generator) -> float:
    """Where the crop starts: anywhere inside a longer image, anywhere round a shorter one."""
    slack = length - crop
    return float(rng.uniform(min(slack, 0.0), max(slack, 0.0)))


def _translate(x: float, y: float) -> np.ndarray:
    return np.array([[1.0, 0.0, x], [0.0, 1.0, y], [0.0, 0.0, 1.0]])
