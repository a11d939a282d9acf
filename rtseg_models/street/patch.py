# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Planar patches: what a scene is made of."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import List, NamedTuple, Optional, Sequence

import numpy as np

from .light import Light
from .texture import Texture

GROUND, BUILDING, OBJECT = 0, 1, 2
"""Layers in the order of painting; within one, far patches come first."""


class Rect(NamedTuple):
    """Top left corner and edges of an upright rectangle, as the first three fields of a patch."""

    origin: np.ndarray
    across: np.ndarray
    down: np.ndarray


class Patch(NamedTuple):
    """A textured parallelogram. ``origin`` is the texture's top left corner, ``across`` and ``down`` its edges (3,).

    It is seen from the side where across runs right and down runs down, and only from there. A texture without
    coverage fills ``outline``, a polygon (n,2) in units of the edges, the parallelogram itself where None. With
    ``repeat`` the texture starts again beyond the edges, and ``outline`` may leave them.
    """

    origin: np.ndarray
    across: np.ndarray
    down: np.ndarray
    texture: Texture
    label: int
    layer: int = OBJECT
    outline: Optional[np.ndarray] = None
    repeat: bool = False
    tint: Sequence[float] = (1.0, 1.0, 1.0)
    matt: bool = False  # lit as if level: billboards, whose plane is not their surface


SQUARE = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])


@dataclass(frozen=True)
class Patches:
    """Many patches, lit: ``frames`` (n,3,3) has columns across, down, origin; ``gains`` (n,3)."""

    frames: np.ndarray
    gains: np.ndarray
    labels: np.ndarray
    layers: np.ndarray
    textures: List[Texture]
    outlines: List[np.ndarray]
    repeats: List[bool]

    def __len__(self) -> int:
        return len(self.textures)

    def moved(self, offset: np.ndarray) -> Patches:
        """The same patches elsewhere."""
        frames = self.frames.copy()
        frames[:, :, 2] += offset
        return replace(self, frames=frames)


def light_patches(patches: Sequence[Patch], light: Light) -> Patches:
    """Patches under a light."""
    n = len(patches)
    frames = np.zeros((n, 3, 3))
    gains = np.zeros((n, 3))
    for i, p in enumerate(patches):
        frames[i] = np.stack([p.across, p.down, p.origin], axis=1)
        normal = np.array([0.0, 1.0, 0.0]) if p.matt else _normal(p)
        gains[i] = light.gain(normal) * np.asarray(p.tint)
    return Patches(
        frames=frames,
        gains=gains,
        labels=np.array([p.label for p in patches], np.uint8),
        layers=np.array([p.layer for p in patches], np.uint8),
        textures=[p.texture for p in patches],
        outlines=[SQUARE if p.outline is None else np.asarray(p.outline, float) for p in patches],
        repeats=[p.repeat for p in patches],
    )


def join(parts: Sequence[Patches]) -> Patches:
    """All patches of the parts, in order."""
    return Patches(
        frames=np.concatenate([p.frames for p in parts]),
        gains=np.concatenate([p.gains for p in parts]),
        labels=np.concatenate([p.labels for p in parts]),
        layers=np.concatenate([p.layers for p in parts]),
        textures=[t for p in parts for t in p.textures],
        outlines=[o for p in parts for o in p.outlines],
        repeats=[r for p in parts for r in p.repeats],
    )


def upright(x: float, z: float, width: float, top: float, bottom: float) -> Rect:
    """Upright rectangle across the street, seen from its start, centred on x."""
    return Rect(np.array([x - width / 2, top, z]), np.array([width, 0.0, 0.0]), np.array([0.0, bottom - top, 0.0]))


def wall(side: int, x: float, z0: float, z1: float, top: float, bottom: float) -> Rect:
    """Upright rectangle along the street from z0 to z1, seen from its middle; ``side`` -1 left, +1 right."""
    first, last = (z0, z1) if side < 0 else (z1, z0)
    return Rect(np.array([x, top, first]), np.array([0.0, 0.0, last - first]), np.array([0.0, bottom - top, 0.0]))


def _normal(patch: Patch) -> np.ndarray:
    normal = np.cross(patch.across, patch.down)  # world axes are left-handed: this points at the viewer
    return np.asarray(normal / np.linalg.norm(normal))
