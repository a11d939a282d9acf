# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Views: the same numbers give the same bytes, and labels stay on their pixels."""

from __future__ import annotations

import colorsys
from dataclasses import replace
from typing import Any, Callable, Dict, List, Tuple

import cv2
import numpy as np
import pytest
import torch
from rendered import PLAIN, TINY

from rtseg_models.training.augment import View, draw_view, label_size, view_images, view_labels
from rtseg_models.training.recipe import Recipe

IGNORE = 11
WARPING = {'scale': (0.5, 2.0), 'rotation': 10.0, 'aspect': 0.3, 'flip': 0.5, 'shift': 2}


def blocks(height: int = 80, width: int = 112) -> Tuple[torch.Tensor, torch.Tensor]:
    """An image whose red tells its label: 16-pixel blocks of ids 0 to 10, red = 20 x id."""
    ids = np.random.default_rng(0).integers(0, 11, (height // 16, width // 16))
    label = np.kron(ids, np.ones((16, 16))).astype(np.uint8)
    rgb = np.stack([label * 20, label * 10, 255 - label * 20])
    return torch.from_numpy(rgb), torch.from_numpy(label)


def seen(
    rgbs: List[torch.Tensor], labels: List[torch.Tensor], drawn: List[View], recipe: Recipe
) -> Tuple[torch.Tensor, torch.Tensor]:
    return view_images(rgbs, drawn, recipe), view_labels(labels, drawn, recipe, IGNORE)


def views(recipe: Recipe, count: int, size: Tuple[int, int] = (80, 112)) -> Tuple[torch.Tensor, torch.Tensor]:
    rgb, label = blocks(*size)
    drawn = [draw_view(size, recipe, np.random.default_rng((recipe.seed, 0, 0, slot))) for slot in range(count)]
    return seen([rgb] * count, [label] * count, drawn, recipe)


def test_a_view_depends_on_its_seed_alone() -> None:
    torch.manual_seed(1)
    first = views(TINY, 4)
    torch.manual_seed(2)
    torch.rand(7)
    second = views(TINY, 4)
    assert torch.equal(first[0], second[0]) and torch.equal(first[1], second[1])
    assert not torch.equal(first[0], views(replace(TINY, seed=2), 4)[0])


def test_a_view_does_not_depend_on_its_neighbours() -> None:
    """So a batch may be spread over any number of processes."""
    for i in range(4):
        rgb, label = blocks()
        drawn = draw_view((80, 112), TINY, np.random.default_rng((TINY.seed, 0, 0, i)))
        alone = seen([rgb], [label], [drawn], TINY)
        together = views(TINY, 4)
        assert torch.allclose(alone[0][0], together[0][i], atol=1e-3)
        assert torch.equal(alone[1][0], together[1][i])


@pytest.mark.parametrize('label_scale', [1.0, 0.5, 2.0])
def test_labels_stay_on_their_pixels(label_scale: float) -> None:
    recipe = replace(PLAIN, label_scale=label_scale, **WARPING)
    crops, labels = views(recipe, 8)
    assert labels.shape[1:] == label_size(recipe)
    told = torch.nn.functional.interpolate(crops[:, :1], labels.shape[1:], mode='nearest-exact')[:, 0] / 20
    inside = labels != IGNORE
    # Bilinear red is between two labels on the borders of blocks only; a shift by one block would miss far more.
    agree = (told - labels).abs() < 0.3
    assert inside.float().mean() > 0.3
    assert float(agree[inside].float().mean()) > 0.8
    shifted = torch.roll(labels, int(8 * label_scale), dims=2)
    assert float(((told - shifted).abs() < 0.3)[inside].float().mean()) < 0.8


def test_without_changes_a_view_is_the_image() -> None:
    size = (64, 96)
    crops, labels = views(PLAIN, 1, size)
    rgb, label = blocks(*size)
    assert torch.allclose(crops[0], rgb.float(), atol=0.01)
    assert torch.equal(labels[0], label.long())


def test_outside_the_image_is_mean_and_ignored() -> None:
    recipe = replace(PLAIN, scale=(0.5, 0.5), input_size=(64, 96))
    crops, labels = views(recipe, 2)
    outside = labels == IGNORE
    assert 0.6 < float(outside.float().mean()) < 0.85  # a quarter of the crop shows the image
    mean = torch.tensor(recipe.mean).view(3, 1) * 255
    deep = outside & (torch.nn.functional.max_pool2d((~outside).float(), 5, 1, 2) == 0)
    assert torch.allclose(crops.permute(1, 0, 2, 3)[:, deep], mean, atol=0.01)


def test_flip_mirrors_both() -> None:
    size = (64, 96)
    crops, labels = views(replace(PLAIN, flip=1.0), 1, size)
    rgb, label = blocks(*size)
    assert torch.allclose(crops[0], rgb.float().flip(2), atol=0.01)
    assert torch.equal(labels[0], label.long().flip(1))


def test_scales_are_among_those_listed() -> None:
    recipe = replace(PLAIN, scales=(0.75, 1.5))
    found = {round(float(draw_view((64, 96), recipe, np.random.default_rng(i)).image[1, 1]), 6) for i in range(30)}
    assert found == {0.75, 1.5}


@pytest.mark.parametrize('change', ['brightness', 'contrast', 'saturation', 'hue', 'cast', 'gamma', 'noise', 'blur'])
def test_each_colour_change_changes_colours_only(change: str) -> None:
    value = {'noise': 20.0, 'blur': 1.0}.get(change, 0.3)
    plain, labels = views(PLAIN, 2)
    changed, same = views(replace(PLAIN, **{change: value}), 2)
    assert torch.equal(labels, same)
    assert float((plain - changed).abs().mean()) > 0.2
    assert float(changed.min()) >= 0 and float(changed.max()) <= 255


GREY = np.array([0.299, 0.587, 0.114])


def turned(rgb: np.ndarray, by: float) -> np.ndarray:
    pixels = [colorsys.rgb_to_hsv(*pixel) for pixel in rgb.reshape(-1, 3)]
    turned = [colorsys.hsv_to_rgb((hue + by / (2 * np.pi)) % 1, *rest) for hue, *rest in pixels]
    return np.array(turned).reshape(rgb.shape)


@pytest.mark.parametrize(
    'change, formula',
    [
        ({'brightness': 0.1}, lambda x: x + 0.1),
        ({'contrast': 1.3}, lambda x: (x - (x @ GREY).mean()) * 1.3 + (x @ GREY).mean()),
        ({'saturation': 0.6}, lambda x: 0.6 * x + 0.4 * (x @ GREY)[..., None]),
        ({'hue': 0.5}, lambda x: turned(x, 0.5)),
        ({'gamma': 1.4}, lambda x: x**1.4),
        ({'cast': (0.9, 1.0, 1.1)}, lambda x: x * (0.9, 1.0, 1.1)),
        ({'blur_sigma': 1.2}, lambda x: cv2.GaussianBlur(x, (7, 7), 1.2)),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else '',
)
def test_colours_change_by_their_formulas(change: Dict[str, Any], formula: Callable[[np.ndarray], np.ndarray]) -> None:
    rgb = np.random.default_rng(0).uniform(0.2, 0.7, (64, 96, 3)).astype(np.float32)
    source = torch.from_numpy(np.rint(rgb * 255).astype(np.uint8)).permute(2, 0, 1)
    view = replace(draw_view((64, 96), PLAIN, np.random.default_rng(0)), **change)
    changed = view_images([source], [view], PLAIN)[0].permute(1, 2, 0).numpy() / 255
    expected = np.clip(formula(source.permute(1, 2, 0).numpy() / 255.0), 0, 1)
    np.testing.assert_allclose(changed, expected, atol=2e-3)


def test_noise_is_grey_and_as_strong_as_it_says() -> None:
    source = torch.full((3, 64, 96), 128, dtype=torch.uint8)
    view = replace(draw_view((64, 96), PLAIN, np.random.default_rng(0)), noise_sigma=0.05)
    grain = view_images([source], [view], PLAIN)[0] / 255 - 128 / 255
    assert torch.allclose(grain[0], grain[1], atol=1e-5) and torch.allclose(grain[0], grain[2], atol=1e-5)
    assert 0.045 < float(grain.std()) < 0.055 and abs(float(grain.mean())) < 0.005


def test_sources_of_several_sizes_keep_their_order() -> None:
    sizes = [(80, 112), (64, 96), (80, 112)]
    sources = [blocks(*size) for size in sizes]
    drawn = [draw_view(size, TINY, np.random.default_rng(i)) for i, size in enumerate(sizes)]
    crops, labels = seen([r for r, _ in sources], [i for _, i in sources], drawn, TINY)
    for (rgb, label), view, crop, ids in zip(sources, drawn, crops, labels):
        alone = seen([rgb], [label], [view], TINY)
        assert torch.allclose(alone[0][0], crop, atol=1e-3) and torch.equal(alone[1][0], ids)


def drawn(**changes: float) -> List[View]:
    """200 views of a recipe that changes nothing else."""
    return [draw_view((64, 96), replace(PLAIN, **changes), np.random.default_rng(i)) for i in range(200)]  # type: ignore


@pytest.mark.parametrize(
    'change, field, unit, low, high',
    [
        ('noise', 'noise_sigma', 255, 0.0, 0.2),
        ('hue', 'hue', 1, -0.2, 0.2),
        ('saturation', 'saturation', 1, 0.8, 1.2),
        ('contrast', 'contrast', 1, 0.8, 1.2),
        ('brightness', 'brightness', 1, -0.2, 0.2),
    ],
)
def test_changes_are_as_large_as_the_recipe_says(change: str, field: str, unit: int, low: float, high: float) -> None:
    values = np.array([getattr(view, field) for view in drawn(**{change: 0.2})]) * unit
    assert low <= values.min() < low + 0.02 and high - 0.02 < values.max() <= high


def test_the_cast_is_drawn_for_each_channel() -> None:
    casts = np.array([view.cast for view in drawn(cast=0.2)])
    assert (np.abs(np.corrcoef(casts.T) - np.eye(3)) < 0.3).all()


def test_rotation_and_aspect_are_drawn() -> None:
    turns = np.rad2deg([np.arctan2(v.image[1, 0], v.image[0, 0]) for v in drawn(rotation=10.0)])
    assert 9 < np.abs(turns).max() <= 10.001 and turns.min() < 0 < turns.max()
    shares = np.log([v.image[0, 0] / v.image[1, 1] for v in drawn(aspect=0.3)])
    assert 0.27 < np.abs(shares).max() <= 0.3001
