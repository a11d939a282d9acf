# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Everything that moves: cars, pedestrians, bicyclists, on rings that travel with the camera."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from ..labels import CAMVID
from .cars import build_car, footprint
from .ground import KERB_M
from .layout import Plan
from .light import Light
from .patch import Patch, Patches, light_patches
from .people import CYCLIST_SIZE_M, PEDESTRIAN_SIZE_M, riding_person, walking_person
from .texture import Texture

PEDESTRIAN, BICYCLIST = CAMVID.names.index('pedestrian'), CAMVID.names.index('bicyclist')
RING_M = 190.0
BEHIND_M = 8.0


@dataclass(frozen=True)
class Mover:
    """Something that moves along the street; it leaves the ring of view at one end and enters at the other."""

    poses: List[Patches]  # one after the other, ``pace`` per second
    x: float
    y: float
    start: float
    speed: float  # m/s along z, negative towards the camera
    pace: float
    width: float  # of the ground it shades, 0 = none
    length: float

    def place(self, time_s: float, along: float) -> np.ndarray:
        """Where it stands (3,)."""
        ahead = (self.start + self.speed * time_s - along + BEHIND_M) % RING_M - BEHIND_M
        return np.array([self.x, self.y, along + ahead])


class Traffic:
    """The movers of one street."""

    def __init__(self, rng: np.random.Generator, plan: Plan, light: Light, cruise: float) -> None:
        self.movers: List[Mover] = []
        self._cars(rng, plan, light, cruise)
        self._people(rng, plan, light)
        self._cyclists(rng, plan, light, cruise)

    def at(self, time_s: float, along: float) -> Tuple[List[Patches], List[np.ndarray]]:
        """Patches, and ground polygons in contact shade."""
        parts, contacts = [], []
        for mover in self.movers:
            place = mover.place(time_s, along)
            pose = mover.poses[math.floor(time_s * mover.pace) % len(mover.poses)]
            parts.append(pose.moved(place))
            contacts.append(footprint(mover.length, mover.width) + place)
        return parts, contacts

    def _cars(self, rng: np.random.Generator, plan: Plan, light: Light, cruise: float) -> None:
        lane = plan.lane / 2
        speed = float(rng.uniform(6.0, 11.0))
        for z in _spread(rng, int(rng.integers(2, 8)), 12.0):
            self._add([light_patches(build_car(rng, -1), light)], lane + 0.1, 0.0, z, -speed, 0.0, (1.75, 4.3))
        for z in np.cumsum(rng.uniform(9.0, 40.0, int(rng.integers(1, 4)))):
            self._add([light_patches(build_car(rng, 1), light)], -lane, 0.0, float(z) + 4, cruise, 0.0, (1.75, 4.3))

    def _people(self, rng: np.random.Generator, plan: Plan, light: Light) -> None:
        kinds = [[_standing(t, PEDESTRIAN_SIZE_M, PEDESTRIAN, light) for t in walking_person(rng)] for _ in range(5)]
        for z in _spread(rng, int(rng.integers(8, 22)), 0.5):
            side = -1 if rng.random() < 0.5 else 1
            room = max(1.0, plan.pavement[side > 0] - 0.5)
            x = plan.kerb(side) + side * rng.uniform(0.8, room)
            speed = float(rng.choice([-1, 1]) * rng.uniform(0.7, 1.6))
            for companion in range(int(rng.choice([1, 2, 3], p=[0.6, 0.3, 0.1]))):
                beside = x - side * min(0.55 * companion, abs(x - plan.kerb(side)) - 0.4)
                poses = kinds[int(rng.integers(len(kinds)))]
                self._add(poses, beside, KERB_M, z + 0.3 * companion, speed, 7.0, (0.5, 0.5))

    def _cyclists(self, rng: np.random.Generator, plan: Plan, light: Light, cruise: float) -> None:
        for z in _spread(rng, int(rng.integers(2, 8)), 5.0):
            sideways = bool(rng.random() < 0.65)
            side = -1 if rng.random() < 0.6 else 1
            # The right side of those who ride away, three quarters from behind; the left of those who come.
            sprites = riding_person(rng, sideways)
            turn = math.radians(rng.uniform(30, 55)) if sideways else 0.0
            if side > 0:
                sprites = [s.mirrored for s in sprites]
            poses = [_standing(s, CYCLIST_SIZE_M, BICYCLIST, light, turn) for s in sprites]
            speed = -side * rng.uniform(0.7, 0.95) * cruise
            self._add(poses, side * (plan.lane - 0.4), 0.0, z, float(speed), 5.0, (0.4, 1.6))

    def _add(
        self,
        poses: List[Patches],
        x: float,
        y: float,
        start: float,
        speed: float,
        pace: float,
        shade: Tuple[float, float],
    ) -> None:
        self.movers.append(Mover(poses, float(x), y, start, speed, pace, *shade))


def _standing(texture: Texture, size_m: Tuple[float, float], label: int, light: Light, turn: float = 0.0) -> Patches:
    """A sprite on the origin, its right edge turned away by an angle in radians."""
    width, height = size_m
    across = width * np.array([math.cos(turn), 0.0, math.sin(turn)])
    edges = (np.array([0.0, height, 0.0]) - across / 2, across, np.array([0.0, -height, 0.0]))
    return light_patches([Patch(*edges, texture=texture, label=label, matt=True, tint=(0.9,) * 3)], light)


def _spread(rng: np.random.Generator, count: int, apart: float) -> List[float]:
    """Places on the ring, at least about ``apart`` metres from one another."""
    places = (np.arange(count) + rng.uniform(0, 1)) * RING_M / count
    room = max(0.0, RING_M / count - apart)
    return [float(p) for p in places + rng.uniform(-0.5, 0.5, count) * room]
