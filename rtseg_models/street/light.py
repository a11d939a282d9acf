# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Weather and light of one street."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Light:
    """Sun and sky. Colours are rgb (3,); gains multiply a texture's colours."""

    sun: np.ndarray  # unit vector towards the sun, world axes
    direct: np.ndarray  # gain of a surface that faces the sun
    ambient: np.ndarray  # gain of the sky's light on a level surface
    haze: np.ndarray  # 0..255
    haze_per_m: float
    zenith: np.ndarray  # 0..255
    horizon: np.ndarray  # 0..255
    cloud: float  # share of the sky in clouds, 0..1
    shadow: float  # what a cast shadow takes from the ground, 0..1
    contact: float  # what the shade below a car takes
    exposure: float
    warmth: float  # red over blue, 1 = neutral

    def gain(self, normal: np.ndarray) -> np.ndarray:
        """Gain (3,) of a surface with unit ``normal``, unshadowed."""
        sky = 0.74 + 0.26 * float(normal[1])
        return np.asarray(self.ambient * sky + self.direct * max(0.0, float(normal @ self.sun)))


def draw_light(rng: np.random.Generator) -> Light:
    """Sunny, overcast or dusk."""
    kind = rng.choice(['sunny', 'overcast', 'dusk'], p=[0.4, 0.45, 0.15])
    azimuth, elevation = rng.uniform(0, 2 * math.pi), math.radians(rng.uniform(18, 50))
    sun = np.array(
        [math.cos(elevation) * math.sin(azimuth), math.sin(elevation), math.cos(elevation) * math.cos(azimuth)]
    )
    tint = np.array([1.0, 1.0, 1.0]) + rng.uniform(-0.03, 0.03, 3)
    if kind == 'sunny':
        return Light(
            sun=sun,
            direct=np.array([0.75, 0.70, 0.60]) * rng.uniform(0.8, 1.1),
            ambient=np.array([0.52, 0.56, 0.62]) * tint,
            haze=np.array([215.0, 225.0, 238.0]),
            haze_per_m=float(rng.uniform(0.0006, 0.002)),
            zenith=np.array([rng.uniform(110, 175), rng.uniform(160, 200), rng.uniform(215, 240)]),
            horizon=np.array([238.0, 244.0, 250.0]),
            cloud=float(rng.uniform(0.0, 0.5)),
            shadow=float(rng.uniform(0.4, 0.6)),
            contact=0.75,
            exposure=float(rng.uniform(0.85, 1.15)),
            warmth=float(rng.uniform(0.98, 1.08)),
        )
    if kind == 'overcast':
        grey = rng.uniform(222, 252)
        return Light(
            sun=sun,
            direct=np.zeros(3),
            ambient=np.array([0.84, 0.86, 0.89]) * tint,
            haze=np.full(3, grey - 12),
            haze_per_m=float(rng.uniform(0.0008, 0.003)),
            zenith=np.array([grey - 18, grey - 12, grey - 6]),
            horizon=np.full(3, grey),
            cloud=float(rng.uniform(0.5, 1.0)),
            shadow=0.0,
            contact=0.6,
            exposure=float(rng.uniform(0.75, 1.1)),
            warmth=float(rng.uniform(0.95, 1.05)),
        )
    return Light(
        sun=sun,
        direct=np.zeros(3),
        ambient=np.array([0.55, 0.58, 0.66]) * tint,
        haze=np.array([165.0, 170.0, 180.0]),
        haze_per_m=float(rng.uniform(0.001, 0.003)),
        zenith=np.array([150.0, 164.0, 184.0]),
        horizon=np.array([232.0, 228.0, 220.0]),
        cloud=float(rng.uniform(0.4, 1.0)),
        shadow=0.0,
        contact=0.5,
        exposure=float(rng.uniform(0.65, 0.95)),
        warmth=float(rng.uniform(0.95, 1.1)),
    )
