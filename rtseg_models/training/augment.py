# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Random views of labelled images: one affine warp, then colour, blur and noise."""

from __future__ import annotations

from typing import Tuple

import cv2
import numpy as np

from .recipes import Recipe


def random_view(
    rgb: np.ndarray, label: np.ndarray, ignore_id: int, recipe: Recipe, rng: np.random.Generator
) -> Tuple[np.ndarray, np.ndarray]:
    """A random crop (h,w,3) uint8 of the image stretched to the recipe's input size, and its labels.

    Scale, aspect, flip and crop are one warp, so image and label are each sampled once; the labels come out at
    ``loss_stride`` of the crop, nearest neighbour, and hold ``ignore_id`` outside the image.
    """
    crop_h, crop_w = recipe.crop
    scale = np.exp(rng.uniform(*np.log(recipe.scale)))
    sy = scale * recipe.input_size[0] / rgb.shape[0]
    sx = scale * np.exp(rng.uniform(-recipe.aspect, recipe.aspect)) * recipe.input_size[1] / rgb.shape[1]
    top = _offset(rgb.shape[0] * sy, crop_h, rng)
    left = _offset(rgb.shape[1] * sx, crop_w, rng)
    flip = rng.random() < 0.5
    image = cv2.warpAffine(
        rgb,
        _matrix(sx, sy, left, top, 1, flip, crop_w),
        (crop_w, crop_h),
        flags=cv2.INTER_LINEAR,
        borderValue=tuple(255 * m for m in recipe.mean),
    )
    stride = recipe.loss_stride
    ids = cv2.warpAffine(
        label,
        _matrix(sx, sy, left, top, stride, flip, crop_w),
        (crop_w // stride, crop_h // stride),
        flags=cv2.INTER_NEAREST,
        borderValue=ignore_id,
    )
    return _recolour(image, recipe, rng), ids


def _offset(length: float, crop: int, rng: np.random.Generator) -> float:
    """Where the crop starts: anywhere inside a longer image, centred at random on a shorter one."""
    slack = length - crop
    return rng.uniform(min(slack, 0.0), max(slack, 0.0))


def _matrix(sx: float, sy: float, left: float, top: float, stride: int, flip: bool, crop_w: int) -> np.ndarray:
    """Affine map (2,3) from source pixel indices to output pixel indices, pixel centres at half-integers."""
    ax, bx = sx / stride, (0.5 * sx - left) / stride - 0.5
    ay, by = sy / stride, (0.5 * sy - top) / stride - 0.5
    if flip:
        ax, bx = -ax, crop_w / stride - 1 - bx
    return np.array([[ax, 0.0, bx], [0.0, ay, by]])


def _recolour(rgb: np.ndarray, recipe: Recipe, rng: np.random.Generator) -> np.ndarray:
    """Brightness, contrast, saturation, colour cast, gamma, blur and noise."""
    c = recipe.colour
    x = rgb.astype(np.float32) * (1.0 / 255.0)
    if c > 0:
        grey = x @ np.array([0.299, 0.587, 0.114], np.float32)
        x = grey[..., None] + (x - grey[..., None]) * np.float32(1 + rng.uniform(-c, c))
        x = (x - grey.mean()) * np.float32(1 + rng.uniform(-c, c)) + grey.mean()
        x = x * (1 + rng.uniform(-0.3 * c, 0.3 * c, 3)).astype(np.float32) + np.float32(rng.uniform(-0.4 * c, 0.4 * c))
        np.clip(x, 0, 1, out=x)
        x = cv2.pow(x, float(np.exp(rng.uniform(-c, c))))
    if rng.random() < recipe.blur:
        x = cv2.GaussianBlur(x, (0, 0), float(rng.uniform(0.4, 1.6)))
    if recipe.noise > 0:
        sigma = rng.uniform(0, recipe.noise) / 255.0
        x += rng.standard_normal(x.shape[:2], np.float32)[..., None] * np.float32(sigma)
    return (np.clip(x, 0, 1) * 255 + 0.5).astype(np.uint8)
