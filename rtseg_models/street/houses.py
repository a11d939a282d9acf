# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Houses along the street: front, side wall, roof and chimney."""

from __future__ import annotations

from typing import List, Optional, Tuple

import numpy as np

from ..labels import CAMVID
from .facades import Facade
from .ground import KERB_M
from .patch import BUILDING, Patch, Rect, upright, wall
from .texture import Texture

BUILDING_ID = CAMVID.names.index('building')
DEPTH_M = 9.0
RISE_M = 3.2
TILE_M = 6.0


def house(
    rng: np.random.Generator, side: int, x: float, z: Tuple[float, float], facade: Facade, tint: np.ndarray
) -> List[Patch]:
    """A house with its front at x from z[0] to z[1]; ``side`` -1 stands left of the street, +1 right."""
    top = KERB_M + facade.height_m
    rise = RISE_M if facade.pitched else 0.0
    patches = [
        _masonry(wall(side, x, z[0], z[1], top, KERB_M), facade.front, tint),
        _gable(side, x, z[0], facade, rise, tint),
    ]
    if facade.pitched:
        patches.append(_masonry(_roof(side, x, z, top, rise), facade.roof, tint))
        if rng.random() < 0.8:
            patches += _chimney(side, x, z[0] + 0.6, top + rise, facade.plain, tint)
    return patches


def _masonry(
    rect: Rect, texture: Texture, tint: np.ndarray, outline: Optional[np.ndarray] = None, repeat: bool = False
) -> Patch:
    return Patch(*rect, texture, BUILDING_ID, BUILDING, outline, repeat, tuple(tint))


def _gable(side: int, x: float, z: float, facade: Facade, rise: float, tint: np.ndarray) -> Patch:
    """The side wall that faces the camera, with the roof's triangle."""
    left = x if side > 0 else x - DEPTH_M
    high, wide = facade.height_m / TILE_M, DEPTH_M / TILE_M
    outline = np.array([[0, 0], [wide / 2, -rise / TILE_M], [wide, 0], [wide, high], [0, high]])
    top = KERB_M + facade.height_m
    rect = Rect(np.array([left, top, z]), np.array([TILE_M, 0.0, 0.0]), np.array([0.0, -TILE_M, 0.0]))
    return _masonry(rect, facade.plain, tint, outline, repeat=True)


def _roof(side: int, x: float, z: Tuple[float, float], eaves: float, rise: float) -> Rect:
    """The slope towards the street."""
    ridge = x + side * DEPTH_M / 2
    rect = wall(side, ridge, z[0], z[1], eaves + rise, eaves)
    return rect._replace(down=np.array([x - ridge, -rise, 0.0]))


def _chimney(side: int, x: float, z: float, ridge: float, texture: Texture, tint: np.ndarray) -> List[Patch]:
    middle = x + side * DEPTH_M / 2
    top, foot = ridge + 1.3, ridge - 0.8
    street_side = wall(side, middle - side * 0.4, z, z + 1.4, top, foot)
    return [_masonry(upright(middle, z, 0.8, top, foot), texture, tint), _masonry(street_side, texture, tint)]
