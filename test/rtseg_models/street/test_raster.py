# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Painting of patches: visibility, sides, edges."""

from __future__ import annotations

from typing import List

import cv2
import numpy as np
import pytest

from rtseg_models.street.camera import Pose, camera_matrix
from rtseg_models.street.light import Light, draw_light
from rtseg_models.street.noise import noise_tile
from rtseg_models.street.patch import Patch, light_patches, upright
from rtseg_models.street.raster import Canvas, blend, far_to_near
from rtseg_models.street.texture import Sketch, Texture, flat_texture

HEIGHT, WIDTH = 48, 64
MATRIX = camera_matrix(HEIGHT, WIDTH, 1.0)
POSE = Pose(np.diag([1.0, -1.0, 1.0]), np.array([0.0, 1.5, 0.0]))


@pytest.fixture
def light() -> Light:
    return draw_light(np.random.default_rng(0))


def paint(patches: List[Patch], light: Light, order: List[int]) -> Canvas:
    canvas = Canvas(np.full((HEIGHT, WIDTH, 3), 255, np.uint8), MATRIX, POSE, light)
    lit = light_patches(patches, light)
    canvas.paint(lit, canvas.project(lit), np.array(order))
    return canvas


def wall_at(z: float, width: float = 100.0) -> Patch:
    return Patch(*upright(0.0, z, width, 50.0, -50.0), texture=flat_texture((90, 90, 90)), label=1)


def test_the_nearer_wall_wins_in_any_order(light: Light) -> None:
    walls = [wall_at(10.0), wall_at(5.0, width=2.0)]
    for order in ([0, 1], [1, 0]):
        canvas = paint(walls, light, order)
        assert canvas.surface[HEIGHT // 2, WIDTH // 2] == 1
        assert canvas.surface[HEIGHT // 2, 0] == 0
        assert np.allclose(canvas.inverse_depth[canvas.surface == 1], 1 / 5)
        assert np.allclose(canvas.inverse_depth[canvas.surface == 0], 1 / 10)


def test_far_to_near() -> None:
    light = draw_light(np.random.default_rng(0))
    lit = light_patches([wall_at(5.0), wall_at(20.0), wall_at(10.0)], light)
    assert far_to_near(lit, POSE.position).tolist() == [1, 2, 0]


def test_the_back_of_a_patch_is_not_seen(light: Light) -> None:
    front = wall_at(5.0)
    back = front._replace(origin=front.origin + front.across, across=-front.across)
    assert (paint([front], light, [0]).surface == 0).all()
    assert (paint([back], light, [0]).surface == -1).all()


def test_a_wall_behind_the_camera_is_not_seen(light: Light) -> None:
    assert (paint([wall_at(-5.0)], light, [0]).surface == -1).all()


def test_an_outline_is_filled_to_its_edges(light: Light) -> None:
    """A wall 2 m wide at 8 m spans 2 / 8 of the focal length, to a pixel on either side."""
    canvas = paint([wall_at(8.0, width=2.0)], light, [0])
    columns = np.flatnonzero((canvas.surface == 0).any(axis=0))
    assert abs(len(columns) - 2 / 8 * WIDTH) <= 2
    assert abs(columns.mean() - (WIDTH - 1) / 2) < 0.6


def test_ground_that_passes_below_the_camera(light: Light) -> None:
    """Cut at the near plane, it fills the picture below the horizon with the depth of a level plane."""
    ground = Patch(
        np.array([-50.0, 0.0, 100.0]), np.array([100.0, 0, 0]), np.array([0.0, 0, -200.0]), flat_texture((80,) * 3), 3
    )
    canvas = paint([ground], light, [0])
    bottom = canvas.inverse_depth[-1]
    expected = (HEIGHT - 1 - MATRIX[1, 2]) / MATRIX[1, 1] / 1.5
    assert np.allclose(bottom, expected, rtol=1e-5)
    assert (canvas.surface[: HEIGHT // 2 - 1] == -1).all()


def test_holes_show_what_is_behind(light: Light) -> None:
    pad = Sketch(1.0, 1.0, 64)
    pad.ring((0.5, 0.5), 0.35, 0.15, (200, 30, 30))
    ring = Patch(*upright(0.0, 2.0, 1.0, 2.0, 1.0), texture=pad.finish(), label=6)
    canvas = paint([wall_at(10.0), ring], light, [0, 1])
    middle = (round(MATRIX[1, 2]), round(MATRIX[0, 2]))
    assert canvas.surface[middle] == 0
    assert (canvas.surface == 1).sum() > 50


def test_decals_change_colour_only(light: Light) -> None:
    canvas = paint([wall_at(10.0)], light, [0])
    before = canvas.rgb.copy(), canvas.surface.copy(), canvas.inverse_depth.copy()
    canvas.decal([np.array([[-1.0, 0.0, 4.0], [1.0, 0.0, 4.0], [1.0, 0.0, 8.0], [-1.0, 0.0, 8.0]])], (0, 0, 0), 1.0)
    assert (canvas.rgb != before[0]).any()
    assert np.array_equal(canvas.surface, before[1])
    assert np.array_equal(canvas.inverse_depth, before[2])


def test_noise_has_no_seam() -> None:
    tile = noise_tile(np.random.default_rng(1), 64, 1.5)
    inside = np.abs(np.diff(tile, axis=1)).mean()
    assert np.abs(tile[:, 0] - tile[:, -1]).mean() < 2 * inside
    assert abs(tile.mean()) < 1e-4
    assert abs(tile.std() - 1) < 1e-4


def test_texture_levels() -> None:
    texture = Texture(np.random.default_rng(0).integers(0, 256, (32, 64, 3)).astype(np.uint8))
    assert texture.level(2, 1).shape == (16, 16, 3)
    assert abs(texture.level(2, 1).mean() - texture.pixels.mean()) < 1
    assert texture.mirrored.pixels[0, 0].tolist() == texture.pixels[0, -1].tolist()


@pytest.mark.parametrize('channels', [3, 4])
def test_no_level_is_a_single_pixel(channels: int) -> None:
    """OpenCV 4.5, that of Ubuntu 22.04, refuses colour images of one."""
    pixels = np.random.default_rng(0).integers(0, 256, (8, 16, channels)).astype(np.uint8)
    level = Texture(pixels).level(4, 3)
    assert level.shape == (2, 2, channels)
    assert (level == level[0, 0]).all()


def test_blending_without_opencvs_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """OpenCV 4.2, that of Ubuntu 20.04, has none in Python."""
    rng = np.random.default_rng(0)
    over, under = rng.integers(0, 256, (2, 60, 80, 3), dtype=np.uint8)
    weight = rng.random((60, 80), np.float32)
    weight[:10], weight[10:20] = 0, 1
    expected = np.rint(over * weight[..., None] + under * (1 - weight)[..., None])
    assert np.abs(blend(over, under, weight) - expected).max() <= 1
    monkeypatch.delattr(cv2, 'blendLinear', raising=False)
    mixed = blend(over, under, weight)
    assert mixed.dtype == np.uint8 and np.array_equal(mixed, expected)
