# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Street furniture: lamp posts, signs, traffic lights, bollards, fences."""

from __future__ import annotations

from typing import List

import numpy as np

from ..labels import CAMVID
from .noise import Grain
from .patch import Patch, upright, wall
from .texture import Sketch, Texture

POLE, SIGN, FENCE = (CAMVID.names.index(n) for n in ('pole', 'sign_symbol', 'fence'))
FENCE_M = 6.0
"""Length of one fence section."""


def pole_texture(grey: float) -> Texture:
    """A round shaft: bright on the left, dark on the right."""
    shade = np.array([0.8, 1.1, 1.25, 1.1, 0.9, 0.7, 0.55, 0.5]) * grey
    return Texture(np.clip(np.repeat(np.repeat(shade[None, :, None], 4, 0), 3, 2), 0, 255).astype(np.uint8))


def pole(x: float, z: float, height: float, width: float, texture: Texture, ground: float) -> Patch:
    """A shaft of a height and width in metres, standing at ``ground``."""
    return Patch(*upright(x, z, width, ground + height, ground), texture=texture, label=POLE, matt=True)


def lamp_post(x: float, z: float, towards: int, texture: Texture, ground: float, height: float) -> List[Patch]:
    """Shaft, arm over the road (``towards`` +1 right, -1 left) and lamp."""
    arm = 1.6
    top = ground + height
    parts = [pole(x, z, 2.2, 0.20, texture, ground), pole(x, z - 0.01, height, 0.15, texture, ground)]
    for reach, thick in ((arm, 0.08), (0.65, 0.17)):
        middle = x + towards * (arm / 2 if reach == arm else arm + 0.2)
        edges = upright(middle, z - 0.02, reach, top + 0.05, top + 0.05 - thick)
        parts.append(Patch(*edges, texture=texture, label=POLE, matt=True))
    return parts


def sign_textures(rng: np.random.Generator) -> List[Texture]:
    """Speed limit, keep left, no entry, warning triangle, and boards with names on them."""
    red, white, blue, black = (176, 28, 32), (222, 222, 216), (30, 70, 150), (24, 24, 24)
    signs = []
    for face, ring in ((white, red), (blue, white), (red, red)):
        pad = Sketch(0.8, 0.8, 128)
        pad.ellipse((0.4, 0.4), (0.37, 0.37), ring)
        pad.ellipse((0.4, 0.4), (0.29, 0.29), face)
        if face == white:
            pad.text(str(rng.choice(['20', '30', '40'])), 0.22, 0.29, 0.22, black)
        elif face == blue:
            pad.line([(0.56, 0.56), (0.26, 0.26)], 0.07, white)
            pad.line([(0.44, 0.22), (0.24, 0.24), (0.26, 0.44)], 0.07, white)
        else:
            pad.box(0.19, 0.35, 0.61, 0.45, white)
        signs.append(pad.finish())
    pad = Sketch(0.8, 0.8, 128)
    pad.polygon([(0.03, 0.08), (0.77, 0.08), (0.4, 0.74)], red)
    pad.polygon([(0.17, 0.16), (0.63, 0.16), (0.4, 0.58)], white)
    pad.box(0.37, 0.2, 0.43, 0.42, black)
    signs.append(pad.finish())
    for ground, ink in (((20, 84, 60), white), (white, black), (blue, white), ((190, 160, 50), black)):
        pad = Sketch(0.9, 0.9, 96)
        pad.box(0.03, 0.03, 0.87, 0.87, ink)
        pad.box(0.06, 0.06, 0.84, 0.84, ground)
        for row in range(3):
            word = ''.join(rng.choice(list('ABCDEHILNORSTU'), int(rng.integers(3, 6))))
            pad.text(word, 0.12, 0.15 + 0.25 * row, 0.14, ink)
        signs.append(pad.finish())
    return signs


def sign(
    x: float, z: float, pole_grey: Texture, face: Texture, size: float, height: float, ground: float
) -> List[Patch]:
    """A sign with its upper edge ``height`` above the ground, on its pole."""
    edges = upright(x, z - 0.06, size, ground + height, ground + height - size)
    return [pole(x, z, height - 0.05, 0.08, pole_grey, ground), Patch(*edges, texture=face, label=SIGN, matt=True)]


def light_texture(lit: int) -> Texture:
    """Traffic light; ``lit`` 0 red, 1 amber, 2 green."""
    pad = Sketch(0.5, 1.1, 96)
    pad.box(0.03, 0.03, 0.47, 1.07, (24, 25, 26))
    colours = ((250, 60, 40), (250, 180, 50), (70, 250, 170))
    for k in range(3):
        colour = colours[k] if k == lit else (52, 46, 44)
        pad.ellipse((0.25, 0.86 - 0.31 * k), (0.11, 0.11), colour)
    return pad.finish()


def traffic_light(x: float, z: float, pole_grey: Texture, face: Texture, ground: float) -> List[Patch]:
    """A signal head on its pole."""
    edges = upright(x, z - 0.07, 0.5, ground + 3.4, ground + 2.3)
    return [pole(x, z, 3.2, 0.11, pole_grey, ground), Patch(*edges, texture=face, label=SIGN, matt=True)]


def fence_textures(rng: np.random.Generator, grain: Grain) -> List[Texture]:
    """A section of wooden panels, of railings with wire mesh, and of a dark iron fence."""
    height, width = 72, 288
    wood = np.array([112, 88, 62]) * rng.uniform(0.7, 1.15)
    plank = 1.0 + 0.1 * np.repeat(rng.standard_normal(width // 6), 6)[None, :, None]
    shade = plank * (1.0 + 0.08 * grain.window(rng, grain.rough, height, width)[..., None])
    shade[:, ::6] *= 0.7
    shade[:, ::96] *= 0.6
    shade[:4] *= 0.75
    panels = Texture(np.clip(wood * shade, 0, 255).astype(np.uint8))
    return [panels, _railing(np.array([128.0, 132.0, 134.0]), 60), _railing(np.array([44.0, 48.0, 46.0]), 70)]


def _railing(colour: np.ndarray, mesh: int) -> Texture:
    """Bars and rails over a mesh that covers ``mesh`` / 255 of the view behind."""
    height, width = 72, 288
    image = np.dstack([np.full((height, width, 3), 1.0) * colour * 0.7, np.full((height, width), float(mesh))])
    bars = np.zeros((height, width), bool)
    for k in range(0, width, 8):
        bars[:, k : k + 3] = True
    bars[2:6] = bars[-10:-6] = True
    bars[:, ::96] = bars[:, 1::96] = bars[:, 2::96] = True
    image[bars] = (*colour, 255.0)
    image[0, :, 3] = image[:, 0, 3] = image[:, -1, 3] = 0
    return Texture(image.astype(np.uint8), solid_above=25)


def fence(side: int, x: float, z: float, texture: Texture, height: float, ground: float) -> Patch:
    """One section along the street from z on."""
    return Patch(*wall(side, x, z, z + FENCE_M, ground + height, ground), texture=texture, label=FENCE)
