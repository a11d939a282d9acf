# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Facade textures: brick, render and stone with windows, doors and shop fronts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Tuple

import cv2
import numpy as np

from .noise import Grain
from .texture import Texture

PX_PER_M = 40

WALLS = {
    'yellow brick': (168, 146, 110),
    'red brick': (140, 84, 66),
    'brown brick': (112, 84, 68),
    'white render': (212, 208, 198),
    'cream render': (202, 188, 156),
    'stone': (156, 146, 126),
    'concrete': (148, 146, 142),
}
PAINTS = ((30, 60, 42), (26, 34, 74), (96, 28, 30), (34, 34, 36), (190, 184, 170), (120, 96, 60), (48, 92, 110))


@dataclass(frozen=True)
class Facade:
    """A front: its texture with its size in metres, and the bare wall for its other sides."""

    front: Texture
    plain: Texture
    roof: Texture
    width_m: float
    height_m: float
    pitched: bool


def build_facade(rng: np.random.Generator, grain: Grain) -> Facade:
    """A front of two to four storeys."""
    storeys = int(rng.choice([2, 3, 4], p=[0.35, 0.45, 0.2]))
    storey_m = float(rng.uniform(2.9, 3.5))
    width_m = float(rng.uniform(6.0, 13.0))
    height_m = storeys * storey_m + 0.6
    kind = str(rng.choice(list(WALLS), p=[0.26, 0.2, 0.12, 0.14, 0.1, 0.1, 0.08]))
    shape = (round(height_m * PX_PER_M), round(width_m * PX_PER_M))
    image = wall_pixels(rng, grain, kind, shape)
    plain = np.clip(wall_pixels(rng, grain, kind, (240, 240)), 0, 255).astype(np.uint8)
    shop = bool(rng.random() < 0.45)
    _openings(rng, image, storeys, storey_m, shop)
    _weather(rng, grain, image)
    front = np.clip(image, 0, 255).astype(np.uint8)
    slate = np.array([86, 84, 88]) if rng.random() < 0.6 else np.array([126, 84, 66])
    roof = slate + 12.0 * grain.window(rng, grain.rough, 96, 128)[..., None] + _courses(rng, (96, 128), 6, 8, 7.0)
    return Facade(
        front=Texture(front),
        plain=Texture(plain),
        roof=Texture(np.clip(roof, 0, 255).astype(np.uint8)),
        width_m=width_m,
        height_m=height_m,
        pitched=bool(rng.random() < 0.6),
    )


def wall_pixels(rng: np.random.Generator, grain: Grain, kind: str, shape: Tuple[int, int]) -> np.ndarray:
    """Bare wall (h,w,3) float32."""
    colour = np.array(WALLS[kind], np.float32) * rng.uniform(0.8, 1.12)
    colour = colour + rng.uniform(-8, 8, 3)
    stain = grain.window(rng, grain.smooth, *shape)[..., None]
    rough = grain.window(rng, grain.rough, *shape)[..., None]
    image = colour * (1.0 + 0.06 * stain + 0.035 * rough)
    if 'brick' in kind:
        image = image + _courses(rng, shape, 3, 9, 11.0)
    elif kind == 'stone':
        image = image + _courses(rng, shape, 14, 28, 8.0)
    return np.asarray(image, np.float32)


def _courses(rng: np.random.Generator, shape: Tuple[int, int], high: int, long: int, spread: float) -> np.ndarray:
    """Brightness of single bricks (h,w,1): courses ``high`` texels high, every other shifted by half a brick."""
    rows, columns = shape[0] // high + 1, shape[1] // long + 2
    bricks = rng.standard_normal((rows, columns)).astype(np.float32) * spread
    image = np.repeat(np.repeat(bricks, high, axis=0), long, axis=1)
    odd = (np.arange(image.shape[0]) // high) % 2 == 1
    image[odd] = np.roll(image[odd], long // 2, axis=1)
    image[::high] -= spread * 0.8
    return image[: shape[0], : shape[1], None]


def _openings(rng: np.random.Generator, image: np.ndarray, storeys: int, storey_m: float, shop: bool) -> None:
    height, width = image.shape[:2]
    trim = np.array([226, 222, 214]) if rng.random() < 0.7 else np.array([92, 88, 84])
    bays = max(2, round(width / PX_PER_M / rng.uniform(2.2, 3.2)))
    window_m = (rng.uniform(0.9, 1.35), rng.uniform(1.3, 1.9))
    ground = height - round(storey_m * PX_PER_M)
    for storey in range(storeys):
        sill = height - round((storey * storey_m + 0.95) * PX_PER_M)
        if storey == 0 and shop:
            _shop_front(rng, image, ground)
            continue
        door = int(rng.integers(0, bays)) if storey == 0 else -1
        for bay in range(bays):
            centre = (bay + 0.5) / bays * width
            if bay == door:
                _door(rng, image, centre, trim)
            else:
                shrink = 0.85 if storey == storeys - 1 else 1.0
                _window(rng, image, centre, sill, (window_m[0], window_m[1] * shrink), trim)
    if rng.random() < 0.6:  # string course
        cv2.rectangle(image, (0, ground - 5), (width, ground), tuple(map(float, trim * 0.92)), -1)
        image[ground + 1 : ground + 5] *= 0.8
    cornice = round(0.35 * PX_PER_M)
    image[:cornice] = image[:cornice] * 0.5 + trim * 0.42
    image[cornice : cornice + 7] *= 0.66
    if rng.random() < 0.7:  # drain pipe
        x = int(rng.integers(4, width - 8))
        image[cornice:, x : x + 4] = (52, 52, 54)


def _window(
    rng: np.random.Generator,
    image: np.ndarray,
    centre: float,
    sill: int,
    size_m: Tuple[float, float],
    trim: np.ndarray,
) -> None:
    half, high = round(size_m[0] * PX_PER_M / 2), round(size_m[1] * PX_PER_M)
    left, right, top = round(centre) - half, round(centre) + half, sill - high
    frame = tuple(map(float, trim))
    image[top - 9 : top - 2, left - 4 : right + 4] *= 1.12  # lintel
    cv2.rectangle(image, (left - 2, top - 2), (right + 2, sill + 2), frame, -1)
    _glass(rng, image[top + 2 : sill - 1, left + 2 : right - 1])
    middle = (top + sill) // 2
    cv2.line(image, (left, middle), (right, middle), frame, 2)
    cv2.line(image, (round(centre), top), (round(centre), sill), frame, 2)
    image[top + 1 : top + 5, left:right] *= 0.7  # reveal
    cv2.rectangle(image, (left - 5, sill + 2), (right + 5, sill + 5), tuple(map(float, trim * 0.9)), -1)
    image[sill + 6 : sill + 10, left - 5 : right + 5] *= 0.75


def _glass(rng: np.random.Generator, pane: np.ndarray) -> None:
    """Dark panes with some sky in them, or a curtain."""
    if pane.size == 0:
        return
    dark, bright = rng.uniform(22, 60), rng.uniform(50, 130)
    ramp = np.linspace(bright, dark, pane.shape[0])[:, None, None]
    pane[:] = ramp * np.array([0.94, 1.0, 1.06])
    if rng.random() < 0.3:
        pane[: int(pane.shape[0] * rng.uniform(0.3, 1.0))] = rng.uniform(110, 190)


def _door(rng: np.random.Generator, image: np.ndarray, centre: float, trim: np.ndarray) -> None:
    height = image.shape[0]
    left, right = round(centre) - 20, round(centre) + 20
    top = height - round(2.3 * PX_PER_M)
    paint = PAINTS[int(rng.integers(len(PAINTS)))]
    cv2.rectangle(image, (left - 4, top - 4), (right + 4, height), tuple(map(float, trim * 0.95)), -1)
    cv2.rectangle(image, (left, top + 14), (right, height), tuple(map(float, paint)), -1)
    _glass(rng, image[top : top + 12, left:right])


def _shop_front(rng: np.random.Generator, image: np.ndarray, ground: int) -> None:
    height, width = image.shape[:2]
    paint = np.array(PAINTS[int(rng.integers(len(PAINTS)))], float)
    cv2.rectangle(image, (0, ground), (width, height), tuple(map(float, paint)), -1)
    board = ground + round(0.75 * PX_PER_M)
    lettering = (235.0, 230.0, 215.0) if paint.mean() < 130 else (40.0, 36.0, 34.0)
    x = round(width * rng.uniform(0.12, 0.3))
    while x < width * rng.uniform(0.65, 0.85):
        letter = int(rng.integers(6, 12))
        cv2.rectangle(image, (x, ground + 10), (x + letter, board - 8), lettering, 2)
        x += letter + int(rng.integers(3, 7))
    panes = max(2, round(width / PX_PER_M / 1.8))
    for k in range(panes):
        left, right = round(k * width / panes) + 5, round((k + 1) * width / panes) - 5
        glass = image[board + 4 : height - round(0.45 * PX_PER_M), left:right]
        _glass(rng, glass)
        for _ in range(int(rng.integers(2, 6))):  # goods behind the glass
            row, column = int(rng.integers(0, glass.shape[0] - 8)), int(rng.integers(0, max(1, glass.shape[1] - 8)))
            goods = glass[row : row + int(rng.integers(6, 40)), column : column + int(rng.integers(5, 24))]
            goods[:] = goods * 0.4 + rng.uniform(20, 170, 3) * 0.6
    image[ground : ground + 4] *= 1.25
    image[board : board + 6] *= 0.5


def _weather(rng: np.random.Generator, grain: Grain, image: np.ndarray) -> None:
    """Dirt and shade: darker at the foot and in streaks."""
    height, width = image.shape[:2]
    foot = 1.0 - 0.3 * np.exp(-np.arange(height)[::-1] / (0.5 * PX_PER_M))
    streaks = cv2.resize(grain.window(rng, grain.rough, 6, width), (width, height))
    image *= (foot[:, None] * (1.0 + 0.05 * streaks))[..., None]
