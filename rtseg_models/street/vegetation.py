# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Trees and hedges as sprites."""

from __future__ import annotations

import math
from typing import Tuple

import cv2
import numpy as np

from .noise import Grain
from .texture import Sketch, Texture, bleed

PX_PER_M = 64
TREE_SIZE_M = (7.0, 8.0)
"""Width and height of a tree's texture; a tree in the street is scaled from it."""

LEAVES = ((62, 78, 40), (74, 84, 48), (54, 66, 38), (88, 90, 56), (70, 72, 52))
BARK = (66, 58, 50)


def leafy_tree(rng: np.random.Generator, grain: Grain) -> Texture:
    """A crown of clumps with holes in it, lit from above, on a trunk."""
    width, height = (round(m * PX_PER_M) for m in TREE_SIZE_M)
    pad = _trunk(rng, 0.55)
    bark = pad.canvas[::2, ::2].astype(np.float32)
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float32)
    field = np.full((height, width), -1.0, np.float32)
    relief = np.zeros((height, width), np.float32)
    for _ in range(int(rng.integers(14, 24))):
        angle, reach = rng.uniform(0, 2 * math.pi), math.sqrt(rng.uniform(0, 1))
        x = width * (0.5 + 0.30 * reach * math.cos(angle))
        y = height * (0.38 - 0.25 * reach * math.sin(angle))
        radius = rng.uniform(0.7, 1.5) * PX_PER_M
        distance = np.hypot(columns - x, rows - y) / radius
        inside = 1.0 - distance
        light = 1.0 - 0.55 * (rows - y + 0.4 * (columns - x)) / radius
        nearer = inside > field
        relief = np.where(nearer, light, relief)
        field = np.maximum(field, inside)
    rough, white = (grain.window(rng, t, height, width) for t in (grain.rough, grain.white))
    leaves = field + 0.22 * rough + 0.10 * white + 0.05
    coverage = np.clip(leaves * 12.0, 0, 1)
    colour = np.array(LEAVES[int(rng.integers(len(LEAVES)))], np.float32) * rng.uniform(0.8, 1.25)
    shade = np.clip(0.62 + 0.38 * relief, 0.35, 1.4) * (1.0 + 0.22 * rough + 0.20 * white)
    crown = colour * np.clip(shade, 0.2, 1.9)[..., None]
    behind = bark[..., 3:] / 255.0 * (1 - coverage[..., None])
    premultiplied = crown * coverage[..., None] + bark[..., :3] * behind
    return _finish(premultiplied, coverage + behind[..., 0])


def bare_tree(rng: np.random.Generator, grain: Grain) -> Texture:
    """A winter tree: branches to the twig, with a veil of the finest ones."""
    pad = _trunk(rng, 0.3)
    tips = []
    stack = [(TREE_SIZE_M[0] / 2, TREE_SIZE_M[1] * 0.28, math.pi / 2 + rng.uniform(-0.1, 0.1), 1.45, 0.2)]
    while stack:
        x, y, angle, length, thick = stack.pop()
        end = (x + length * math.cos(angle), y + length * math.sin(angle))
        shade = rng.uniform(0.8, 1.25)
        pad.line([(x, y), end], max(thick, 0.035), [c * shade for c in BARK])
        tips.append(end)
        if length > 0.34:
            for _ in range(int(rng.integers(2, 4)) + (length > 1.2)):
                turn = rng.uniform(-0.75, 0.75)
                stack.append((*end, angle + turn, length * rng.uniform(0.6, 0.82), thick * 0.58))
    texture = pad.finish().pixels.astype(np.float32)
    height, width = texture.shape[:2]
    veil = np.zeros((height, width), np.float32)
    for x, y in tips:
        cv2.circle(veil, (round(x * PX_PER_M), height - round(y * PX_PER_M)), 26, 1.0, -1)
    veil = cv2.blur(veil, (41, 41)) + 0.25 * grain.window(rng, grain.rough, height, width)
    twigs = np.clip((grain.window(rng, grain.white, height, width) + 1.9 * veil - 1.7) * 2.0, 0, 1)
    twigs = np.maximum(twigs, 0.30) * np.clip((veil - 0.45) * 5.0, 0, 1)
    twigs *= _rim(height, width)
    coverage = np.maximum(texture[..., 3] / 255.0, twigs)
    tint = np.array([104, 92, 78], np.float32) * rng.uniform(0.75, 1.05)
    premultiplied = np.where(texture[..., 3:] > 127, texture[..., :3], tint) * coverage[..., None]
    return _finish(premultiplied, coverage, solid_above=50)


def hedge(rng: np.random.Generator, grain: Grain) -> Texture:
    """Six metres of hedge with a ragged top, two metres high."""
    height, width = 96, 288
    rough, white = (grain.window(rng, t, height, width) for t in (grain.rough, grain.white))
    rows = np.arange(height, dtype=np.float32)[:, None]
    coverage = np.clip((rows / height * 5.0 - 0.6 + 0.35 * rough + 0.2 * white) * 4.0, 0, 1)
    colour = np.array(LEAVES[int(rng.integers(len(LEAVES)))], np.float32)
    shade = np.clip(1.25 - 0.7 * rows / height + 0.2 * rough + 0.2 * white, 0.2, 1.7)
    return _finish(colour * shade[..., None] * coverage[..., None], coverage)


def grass_tile(rng: np.random.Generator, grain: Grain) -> Texture:
    """A tile of lawn and bare earth, seamless."""
    colour = np.array([98, 108, 62], np.float32) * rng.uniform(0.75, 1.1)
    shade = 1.0 + 0.12 * grain.smooth + 0.12 * grain.rough + 0.10 * grain.white
    return Texture(np.clip(colour * shade[..., None], 0, 255).astype(np.uint8))


def _trunk(rng: np.random.Generator, top: float) -> Sketch:
    pad = Sketch(*TREE_SIZE_M, PX_PER_M)
    middle, foot = TREE_SIZE_M[0] / 2, rng.uniform(0.16, 0.24)
    high = TREE_SIZE_M[1] * top
    left, right = (middle - foot, 0.0), (middle + foot, 0.0)
    pad.polygon([left, right, (middle + 0.6 * foot, high), (middle - 0.6 * foot, high)], BARK)
    dark = [c * 0.7 for c in BARK]
    pad.polygon([(middle + 0.3 * foot, 0.0), right, (middle + 0.6 * foot, high), (middle + 0.2 * foot, high)], dark)
    return pad


def _rim(height: int, width: int) -> np.ndarray:
    """One inside, falling to zero towards the left, right and upper edges (h,w)."""
    reach = 0.9 * PX_PER_M
    rows = np.arange(height)[:, None] / reach
    columns = np.minimum(np.arange(width), np.arange(width)[::-1])[None, :] / reach
    return np.asarray(np.clip(np.minimum(rows, columns), 0, 1))


def _finish(premultiplied: np.ndarray, coverage: np.ndarray, solid_above: int = 127) -> Texture:
    coverage = np.clip(coverage * 255.0, 0, 255).astype(np.uint8)
    coverage[0], coverage[:, 0], coverage[:, -1] = 0, 0, 0
    return Texture(bleed(premultiplied, coverage), solid_above)


def tree_edges(x: float, z: float, height: float, ground: float) -> Tuple[float, float, float, float, float]:
    """Arguments of ``patch.upright`` for a tree of a height in metres."""
    return x, z, height * TREE_SIZE_M[0] / TREE_SIZE_M[1], ground + height, ground
