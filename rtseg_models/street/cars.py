# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Cars, vans and buses: convex bodies of textured faces."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Sequence, Tuple

import numpy as np

from ..labels import CAMVID
from .patch import Patch
from .texture import Sketch, Texture, flat_texture

CAR = CAMVID.names.index('car')
PX_PER_M = 96
PAINTS = (
    (150, 154, 160),
    (176, 178, 182),
    (34, 36, 42),
    (24, 34, 70),
    (112, 22, 26),
    (70, 76, 84),
    (206, 206, 204),
    (38, 54, 50),
    (150, 152, 154),
    (60, 62, 66),
    (54, 82, 128),
    (130, 124, 108),
)
RIM_M = 0.03
DARK, TYRE = (26, 27, 30), (22, 22, 24)


@dataclass(frozen=True)
class Body:
    """Dimensions in metres; the z values count from the middle, forwards."""

    length: float
    width: float
    belt: float
    roof: float
    bonnet: float  # height of the bonnet's front edge
    screen: Tuple[float, float]  # windscreen, z at its foot and its head
    rear: Tuple[float, float]  # rear window, z at its head and its foot
    taper: float = 0.17  # how far the roof's edge stands inside the belt


BODIES = (
    Body(3.9, 1.68, 0.93, 1.44, 0.74, (1.05, 0.35), (-1.50, -1.88)),  # hatchback
    Body(4.4, 1.74, 0.92, 1.42, 0.72, (1.05, 0.35), (-1.05, -1.70)),  # saloon
    Body(4.5, 1.76, 0.95, 1.48, 0.76, (1.10, 0.45), (-1.85, -2.18)),  # estate
    Body(4.4, 1.84, 1.05, 1.76, 0.92, (1.15, 0.55), (-1.95, -2.15), 0.12),  # off-road
    Body(4.9, 1.95, 1.20, 2.10, 0.95, (1.80, 1.15), (-2.38, -2.43), 0.08),  # van
    Body(9.5, 2.45, 1.30, 3.00, 1.25, (4.70, 4.60), (-4.68, -4.73), 0.05),  # bus
)
SHARES = (0.38, 0.21, 0.19, 0.1, 0.08, 0.04)


def build_car(rng: np.random.Generator, heading: int) -> List[Patch]:
    """A vehicle standing round the origin; ``heading`` +1 drives along z, -1 towards the start."""
    body = BODIES[int(rng.choice(len(BODIES), p=SHARES))]
    paint = np.array(PAINTS[int(rng.integers(len(PAINTS)))]) * rng.uniform(0.85, 1.1)
    if body.roof > 2.0 and rng.random() < 0.6:
        paint = np.array([198, 200, 200]) if body.roof < 2.5 else np.array([60, 92, 150])
    faces = _faces(body, paint)
    turn = np.array([heading, 1.0, heading])
    return [f._replace(origin=f.origin * turn, across=f.across * turn, down=f.down * turn) for f in faces]


def footprint(length: float = 4.3, width: float = 1.7) -> np.ndarray:
    """Ground polygon (8,3) of the shade below a car round the origin."""
    x, z = width / 2 + 0.08, length / 2 + 0.1
    ring = [(-x, -z + 0.4), (-x + 0.2, -z), (x - 0.2, -z), (x, -z + 0.4)]
    ring += [(x, z - 0.4), (x - 0.2, z), (-x + 0.2, z), (-x, z - 0.4)]
    return np.array([[a, 0.0, b] for a, b in ring])


def _faces(body: Body, paint: np.ndarray) -> List[Patch]:
    half, back, front = body.width / 2, -body.length / 2, body.length / 2
    top = half - body.taper
    belt, roof = body.belt, body.roof
    painted = flat_texture(paint)
    glass = _glass_texture(paint)
    r0, r1 = body.rear
    s0, s1 = body.screen
    cheek = half - 0.02
    faces = [
        _quad([(-top, roof, s1), (top, roof, s1), (top, roof, r0), (-top, roof, r0)], painted),
        _quad([(-top, roof, r0), (top, roof, r0), (cheek, belt, r1), (-cheek, belt, r1)], glass),
        _quad([(top, roof, s1), (-top, roof, s1), (-cheek, belt, s0), (cheek, belt, s0)], glass),
        _quad(
            [(cheek, belt, s0), (-cheek, belt, s0), (-cheek, body.bonnet, front), (cheek, body.bonnet, front)], painted
        ),
        _quad(
            [(-cheek, belt, r1), (cheek, belt, r1), (cheek, belt - 0.06, back), (-cheek, belt - 0.06, back)], painted
        ),
    ]
    windows = _side_windows(body, paint)
    faces.append(_quad([(-top, roof, s1), (-top, roof, r0), (-cheek, belt, r1), (-cheek, belt, s0)], windows))
    faces.append(_quad([(top, roof, r0), (top, roof, s1), (cheek, belt, s0), (cheek, belt, r1)], windows.mirrored))
    side = _side(body, paint)
    faces.append(_sprite((-half, belt, front), (-half, belt, back), side))
    faces.append(_sprite((half, belt, back), (half, belt, front), side.mirrored))
    faces.append(_sprite((-half, belt - 0.03, back), (half, belt - 0.03, back), _end(body, paint, rear=True)))
    faces.append(
        _sprite((half, body.bonnet + 0.04, front), (-half, body.bonnet + 0.04, front), _end(body, paint, rear=False))
    )
    return faces


def _quad(corners: Sequence[Tuple[float, float, float]], texture: Texture) -> Patch:
    """Face with corners clockwise as seen, from the top left; upper and lower edge are parallel."""
    a, b, c, d = (np.array(p, float) for p in corners)
    across = c - d if np.linalg.norm(c - d) > np.linalg.norm(b - a) else b - a
    down = (c + d) / 2 - (a + b) / 2
    down -= across * (down @ across) / (across @ across)
    basis = np.stack([across, down], axis=1)
    units = np.array([np.linalg.lstsq(basis, p - a, rcond=None)[0] for p in (a, b, c, d)])
    low = units.min(axis=0)
    return Patch(a + basis @ low, across, down, texture, CAR, outline=units - low)


def _sprite(top_left: Tuple[float, float, float], top_right: Tuple[float, float, float], texture: Texture) -> Patch:
    """Upright face down to the ground, a little larger than its corners say: a sprite's rim is transparent."""
    origin, right = np.array(top_left, float), np.array(top_right, float)
    rim = RIM_M * (right - origin) / np.linalg.norm(right - origin)
    origin, right = origin - rim, right + rim
    origin[1] += RIM_M
    right[1] += RIM_M
    return Patch(origin, right - origin, np.array([0.0, -origin[1], 0.0]), texture, CAR)


def _glass_texture(paint: np.ndarray) -> Texture:
    pad = np.empty((48, 96, 3), np.float32)
    pad[:] = np.linspace(150, 44, 48)[:, None, None] * np.array([0.95, 1.0, 1.05])
    pad[:3], pad[-2:], pad[:, :4], pad[:, -4:] = paint, paint * 0.6, paint * 0.8, paint * 0.8
    return Texture(np.clip(pad, 0, 255).astype(np.uint8))


def _side_windows(body: Body, paint: np.ndarray) -> Texture:
    pad = np.empty((48, 192, 3), np.float32)
    pad[:] = np.linspace(84, 36, 48)[:, None, None] * np.array([0.95, 1.0, 1.05])
    pad[:5], pad[-2:] = paint, paint * 0.7
    panes = 3 if body.length < 6 else 7
    for k in range(1, panes):
        at = round(192 * (0.08 + 0.84 * k / panes))
        pad[:, at - 3 : at + 3] = paint * 0.45
    pad[:, :8], pad[:, -8:] = paint * 0.9, paint * 0.9
    return Texture(np.clip(pad, 0, 255).astype(np.uint8))


def _side(body: Body, paint: np.ndarray) -> Texture:
    """Flank with wheels, the front on the left."""
    length, belt = body.length, body.belt
    pad = Sketch(length, belt, PX_PER_M if length < 6 else 48)
    nose = body.bonnet
    upper = [(0.0, 0.3), (0.0, nose + 0.03), (length / 2 - body.screen[0], belt), (length, belt)]
    lower = [(length, 0.3), (length - 0.3, 0.2), (0.3, 0.2)]
    pad.polygon(upper + lower, paint * 0.95)
    pad.polygon([(0.1, 0.2), (length - 0.1, 0.2), (length - 0.05, 0.34), (0.05, 0.34)], paint * 0.45)
    pad.line([(0.05, belt * 0.72), (length - 0.05, belt * 0.72)], 0.03, paint * 1.25)
    for x in (0.40, 0.62):
        pad.line([(length * x, 0.3), (length * x, belt)], 0.015, paint * 0.5)
    radius = 0.31 if length < 6 else 0.48
    for x in (0.19 * length, 0.81 * length):
        pad.ellipse((x, radius), (radius + 0.07, radius + 0.06), DARK)
        pad.ellipse((x, radius), (radius, radius), TYRE)
        pad.ellipse((x, radius), (radius * 0.6, radius * 0.6), (88, 90, 94))
        pad.ellipse((x, radius), (radius * 0.2, radius * 0.2), (60, 60, 64))
    pad.shade(np.interp(np.linspace(0, 1, pad.size[0]), (0, 0.3, 0.35, 1), (1.25, 1.05, 0.85, 0.7))[:, None])
    return pad.finish()


def _end(body: Body, paint: np.ndarray, rear: bool) -> Texture:
    """Rear or front below the windows."""
    width, top = body.width, (body.belt - 0.03 if rear else body.bonnet + 0.04)
    pad = Sketch(width, top, PX_PER_M)
    for x in (0.08, width - 0.30):
        pad.box(x, 0.0, x + 0.22, 0.4, TYRE)
    pad.box(0.1, 0.17, width - 0.1, 0.4, DARK)
    edge = [(0.02, 0.34), (0.0, 0.5), (0.0, top - 0.05), (0.03, top)]
    pad.polygon(edge + [(width - x, y) for x, y in reversed(edge)], paint)
    pad.polygon(
        [(0.02, 0.26), (0.02, 0.46), (width - 0.02, 0.46), (width - 0.02, 0.26), (width - 0.15, 0.2), (0.15, 0.2)],
        paint * 0.7,
    )
    pad.line([(0.05, 0.47), (width - 0.05, 0.47)], 0.02, paint * 0.4)
    middle = width / 2
    for side in (-1, 1):
        x = middle + side * (middle - 0.17)
        colour = (150, 24, 22) if rear else (214, 216, 214)
        pad.box(x - 0.13, top - 0.28, x + 0.13, top - 0.10, colour)
        pad.box(x - 0.13, top - 0.17, x + 0.13, top - 0.14, (200, 120, 50) if rear else (240, 240, 236))
    if not rear:
        pad.box(0.42, top - 0.24, width - 0.42, top - 0.11, DARK)
    plate = (206, 176, 60) if rear else (214, 214, 206)
    pad.box(middle - 0.26, 0.40 if not rear else 0.55, middle + 0.26, 0.51 if not rear else 0.66, plate)
    pad.shade(np.linspace(1.15, 0.75, pad.size[0])[:, None])
    return pad.finish()
