# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ground: road, pavements and verges as bands of increasing distance, and what is painted on the road."""

from __future__ import annotations

from typing import List, Tuple

import cv2
import numpy as np

from ..labels import CAMVID
from .noise import Grain
from .patch import GROUND, Patch, wall
from .texture import Texture

ROAD, PAVEMENT, TREE = (CAMVID.names.index(n) for n in ('road', 'pavement', 'tree'))
KERB_M = 0.12
TILE_M = 8.0
BANDS_M = (-3.0, 2.5, 6.0, 12.0, 24.0, 50.0, 110.0, 230.0)
FAR_M = 300.0
SETBACK_M = 0.4
"""How far pavement reaches beyond the building line, below the fronts that stand back."""
DASH_M, DASH_EVERY_M = 2.5, 8.0


def asphalt_tile(rng: np.random.Generator, grain: Grain) -> Texture:
    """Eight metres of asphalt, seamless: grain, cracks, patches, tyre tracks left to the markings."""
    size = grain.SIZE
    grey = rng.uniform(84, 122)
    colour = np.array([grey, grey * 1.01, grey * rng.uniform(1.0, 1.06)], np.float32)
    image = 1.0 + 0.05 * grain.smooth + 0.05 * grain.rough + 0.07 * np.roll(grain.white, 100, axis=0)
    for _ in range(int(rng.integers(1, 4))):  # repaired places
        row, column = rng.integers(0, size - 150, 2)
        high, wide = rng.integers(30, 140, 2)
        image[row : row + high, column : column + wide] *= rng.uniform(0.84, 0.93)
    for _ in range(int(rng.integers(1, 4))):
        start = rng.integers(60, size - 60, 2).astype(float)
        walk = start + np.cumsum(rng.normal(0, 9, (24, 2)) + rng.normal(0, 7, 2), axis=0)
        cv2.polylines(image, [np.rint(np.clip(walk, 2, size - 3)).astype(np.int32)], False, 0.72, 1)
    return Texture(np.clip(colour * image[..., None], 0, 255).astype(np.uint8))


def slab_tile(rng: np.random.Generator, grain: Grain) -> Texture:
    """Eight metres of paving slabs or tarmac, seamless."""
    size = grain.SIZE
    base = rng.uniform(112, 158)
    colour = np.array([base * rng.uniform(1.0, 1.08), base, base * rng.uniform(0.9, 0.98)], np.float32)
    image = 1.0 + 0.05 * grain.smooth + 0.05 * grain.rough + 0.05 * np.roll(grain.white, 50, axis=1)
    if rng.random() < 0.7:
        slab = size // int(rng.choice([8, 16]))
        tone = 1.0 + 0.05 * rng.standard_normal((size // slab, size // slab)).astype(np.float32)
        image *= np.kron(tone, np.ones((slab, slab), np.float32))
        image[::slab] *= 0.78
        image[:, ::slab] *= 0.78
    return Texture(np.clip(colour * image[..., None], 0, 255).astype(np.uint8))


def strip(
    x: Tuple[float, float], z: Tuple[float, float], y: float, texture: Texture, label: int, tile_m: float = TILE_M
) -> Patch:
    """Level rectangle at height y, its texture repeating every ``tile_m`` metres and fixed to the world."""
    shift = np.floor(z[0] / tile_m) * tile_m  # whole tiles: keeps texture coordinates small
    left, right = x[0] / tile_m, x[1] / tile_m
    near, far = -(z[0] - shift) / tile_m, -(z[1] - shift) / tile_m
    return Patch(
        origin=np.array([0.0, y, shift]),
        across=np.array([tile_m, 0.0, 0.0]),
        down=np.array([0.0, 0.0, -tile_m]),
        texture=texture,
        label=label,
        layer=GROUND,
        outline=np.array([[left, far], [right, far], [right, near], [left, near]]),
        repeat=True,
    )


def ground_patches(
    along: float, kerbs: Tuple[float, float], fronts: Tuple[float, float], tiles: Tuple[Texture, Texture, Texture]
) -> List[Patch]:
    """Road, pavements, kerbs and verges round a camera ``along`` the street; each pair is left, right; x in metres."""
    asphalt, slabs, grass = tiles
    patches = []
    for low, high in zip(BANDS_M[:-1], BANDS_M[1:]):
        z = (along + low, along + high)
        patches.append(strip((fronts[0] - FAR_M, fronts[0] - SETBACK_M), z, KERB_M, grass, TREE))
        patches.append(strip((fronts[1] + SETBACK_M, fronts[1] + FAR_M), z, KERB_M, grass, TREE))
        patches.append(strip((kerbs[0], kerbs[1]), z, 0.0, asphalt, ROAD))
        patches.append(strip((fronts[0] - SETBACK_M, kerbs[0]), z, KERB_M, slabs, PAVEMENT))
        patches.append(strip((kerbs[1], fronts[1] + SETBACK_M), z, KERB_M, slabs, PAVEMENT))
        for side, kerb in zip((-1, 1), kerbs):
            edges = wall(side, kerb, z[0], z[1], KERB_M, 0.0)
            patches.append(Patch(*edges, texture=slabs, label=PAVEMENT, layer=GROUND, tint=(0.8, 0.8, 0.8)))
    return patches


def rectangle(x0: float, x1: float, z0: float, z1: float, y: float = 0.0) -> np.ndarray:
    """World corners (4,3) of a level rectangle."""
    return np.array([[x0, y, z0], [x1, y, z0], [x1, y, z1], [x0, y, z1]])


def centre_dashes(along: float, x: float, reach_m: float = 120.0) -> List[np.ndarray]:
    """The broken line between the lanes."""
    first = int(np.floor(along / DASH_EVERY_M))
    starts = (first + np.arange(int(reach_m / DASH_EVERY_M))) * DASH_EVERY_M
    return [rectangle(x - 0.06, x + 0.06, z, z + DASH_M) for z in starts]


def edge_lines(along: float, x: float, doubled: bool, reach_m: float = 150.0) -> List[np.ndarray]:
    """One or two continuous lines beside a kerb, ``x`` the middle."""
    offsets = (-0.1, 0.1) if doubled else (0.0,)
    return [rectangle(x + o - 0.04, x + o + 0.04, along + 0.5, along + reach_m) for o in offsets]


def zebra(z: float, kerbs: Tuple[float, float]) -> List[np.ndarray]:
    """Stripes of a crossing that starts at z."""
    return [rectangle(x, x + 0.5, z, z + 2.8) for x in np.arange(kerbs[0] + 0.3, kerbs[1] - 0.6, 1.0)]


def stop_line(z: float, x0: float, x1: float) -> List[np.ndarray]:
    """The line at which to wait, from x0 to x1."""
    return [rectangle(x0, x1, z, z + 0.3)]
