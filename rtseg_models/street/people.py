# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pedestrians and bicyclists as sprites."""

from __future__ import annotations

import math
from typing import List, Tuple

import numpy as np

from .texture import Sketch, Texture

PX_PER_M = 128
PHASES = 4
"""Sprites of one step or turn of the pedals."""

COATS = (
    (30, 32, 40),
    (52, 44, 38),
    (70, 24, 28),
    (36, 48, 74),
    (26, 26, 26),
    (96, 88, 74),
    (44, 58, 44),
    (150, 146, 140),
)
TROUSERS = ((32, 34, 44), (24, 24, 28), (52, 56, 72), (70, 64, 54))
SKIN, HAIR = (
    ((196, 152, 128), (150, 106, 82), (214, 172, 148)),
    ((40, 30, 24), (84, 60, 40), (28, 26, 26), (150, 140, 130)),
)

PEDESTRIAN_SIZE_M = (1.1, 1.9)
CYCLIST_SIZE_M = (2.0, 1.9)


def _pick(rng: np.random.Generator, colours: Tuple[Tuple[int, int, int], ...]) -> np.ndarray:
    return np.array(colours[int(rng.integers(len(colours)))]) * rng.uniform(0.8, 1.3)


def walking_person(rng: np.random.Generator) -> List[Texture]:
    """Sprites of a step, seen from behind or ahead."""
    coat, trousers, skin, hair = (_pick(rng, c) for c in (COATS, TROUSERS, SKIN, HAIR))
    long_coat, bag = rng.random() < 0.4, rng.random() < 0.4
    sprites = []
    for phase in range(PHASES):
        swing = math.sin(2 * math.pi * phase / PHASES)
        pad = Sketch(*PEDESTRIAN_SIZE_M, PX_PER_M)
        x = PEDESTRIAN_SIZE_M[0] / 2
        for side in (-1, 1):
            foot, lift = x + side * 0.10 + 0.10 * swing * side, 0.06 * max(0.0, swing * side)
            pad.line([(x + side * 0.09, 0.9), (x + side * 0.11, 0.48 + lift), (foot, 0.1 + lift)], 0.15, trousers)
            pad.ellipse((foot, 0.05 + lift), (0.07, 0.05), (24, 22, 22))
        hem = 0.62 if long_coat else 0.84
        pad.polygon(
            [(x - 0.20, hem), (x + 0.20, hem), (x + 0.23, 1.42), (x + 0.12, 1.52), (x - 0.12, 1.52), (x - 0.23, 1.42)],
            coat,
        )
        pad.polygon([(x + 0.05, hem), (x + 0.20, hem), (x + 0.23, 1.42), (x + 0.12, 1.5)], coat * 0.75)
        for side in (-1, 1):
            hand = (x + side * (0.29 + 0.03 * swing), 0.86 + 0.04 * swing * side)
            pad.line([(x + side * 0.21, 1.42), (x + side * 0.28, 1.14), hand], 0.10, coat * 0.88)
            pad.ellipse(hand, (0.045, 0.05), skin)
        if bag:
            pad.box(x + 0.22, 0.75, x + 0.42, 1.05, coat * 0.4 + 30)
        pad.ellipse((x, 1.56), (0.06, 0.08), skin)
        pad.ellipse((x, 1.69), (0.10, 0.13), skin)
        pad.ellipse((x, 1.73), (0.11, 0.10), hair)
        sprites.append(pad.finish())
    return sprites


def riding_person(rng: np.random.Generator, sideways: bool) -> List[Texture]:
    """Sprites of a turn of the pedals on a bicycle, from the side or from behind."""
    coat, trousers, skin, hair = (_pick(rng, c) for c in (COATS, TROUSERS, SKIN, HAIR))
    if rng.random() < 0.35:
        coat = np.array([196, 200, 60])  # safety vest
    draw = _from_the_side if sideways else _from_behind
    return [draw(2 * math.pi * phase / PHASES, coat, trousers, skin, hair) for phase in range(PHASES)]


def _from_the_side(angle: float, coat: np.ndarray, trousers: np.ndarray, skin: np.ndarray, hair: np.ndarray) -> Texture:
    pad = Sketch(*CYCLIST_SIZE_M, PX_PER_M)
    rear, front, pedals, saddle, bar = (0.45, 0.34), (1.52, 0.34), (0.92, 0.30), (0.78, 0.92), (1.36, 1.00)
    frame = (60, 40, 44)
    for wheel in (rear, front):
        pad.ring(wheel, 0.32, 0.05, (30, 30, 32))
        pad.ring(wheel, 0.03, 0.05, (80, 80, 80))
    for a, b in ((rear, pedals), (pedals, saddle), (rear, saddle), (saddle, bar), (pedals, bar), (bar, front)):
        pad.line([a, b], 0.045, frame)
    for turn, shade in ((angle + math.pi, 0.7), (angle, 1.0)):
        foot = (pedals[0] + 0.17 * math.cos(turn), pedals[1] + 0.17 * math.sin(turn))
        knee = ((foot[0] + saddle[0]) / 2 + 0.2, (foot[1] + saddle[1]) / 2 + 0.06)
        pad.line([saddle, knee, foot], 0.15, trousers * shade)
        pad.ellipse(foot, (0.12, 0.05), (24, 22, 22))
    shoulder = (1.12, 1.42)
    pad.polygon([(0.64, 0.92), (0.92, 0.90), (1.20, 1.32), (1.14, 1.50), (0.98, 1.46)], coat)
    pad.line([shoulder, (1.26, 1.16), bar], 0.10, coat * 0.85)
    pad.line([bar, (bar[0] + 0.06, bar[1] + 0.08)], 0.06, skin)
    pad.ellipse((1.20, 1.63), (0.11, 0.13), skin)
    pad.ellipse((1.18, 1.68), (0.13, 0.10), hair)
    return pad.finish()


def _from_behind(angle: float, coat: np.ndarray, trousers: np.ndarray, skin: np.ndarray, hair: np.ndarray) -> Texture:
    pad = Sketch(*CYCLIST_SIZE_M, PX_PER_M)
    x = CYCLIST_SIZE_M[0] / 2
    pad.ellipse((x, 0.35), (0.04, 0.34), (26, 26, 28))
    pad.box(x - 0.05, 0.62, x + 0.05, 0.72, (130, 26, 24))
    for side in (-1, 1):
        lift = 0.17 * math.sin(angle) * side
        foot = (x + side * 0.13, 0.30 + lift)
        pad.line([(x + side * 0.10, 0.95), (x + side * 0.17, 0.66 + lift), foot], 0.15, trousers)
        pad.ellipse(foot, (0.07, 0.05), (24, 22, 22))
        pad.line([(x + side * 0.18, 1.40), (x + side * 0.29, 1.16), (x + side * 0.25, 1.0)], 0.10, coat * 0.85)
    pad.polygon(
        [(x - 0.19, 0.88), (x + 0.19, 0.88), (x + 0.22, 1.40), (x + 0.1, 1.5), (x - 0.1, 1.5), (x - 0.22, 1.40)], coat
    )
    pad.ellipse((x, 1.63), (0.11, 0.13), skin)
    pad.ellipse((x, 1.67), (0.12, 0.11), hair)
    return pad.finish()
