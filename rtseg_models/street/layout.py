# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What stands where: the plan of a street and its blocks, made on demand along an endless street."""

from __future__ import annotations

from dataclasses import dataclass
from typing import List, Tuple

import numpy as np

from ..labels import CAMVID
from . import furniture as f
from .cars import build_car, footprint
from .facades import Facade, build_facade
from .ground import KERB_M, ROAD, stop_line, strip, zebra
from .houses import BUILDING_ID, house
from .light import Light
from .noise import Grain
from .patch import Patch, Patches, light_patches, upright, wall
from .texture import Texture
from .vegetation import bare_tree, hedge, leafy_tree, tree_edges

TREE_ID = CAMVID.names.index('tree')
BLOCK_M = 24.0
SIDE_STREETS = 0.1
"""Share of lots where another street joins."""

SIDE_STREET_M = 60.0


@dataclass(frozen=True)
class Plan:
    """Widths and habits of a street; pairs are left, right, in metres; x = 0 between the lanes."""

    lane: float
    parking: Tuple[float, float]  # width of the parking strip, 0 = none
    pavement: Tuple[float, float]
    gaps: Tuple[float, float]  # share of the front that is not built up
    trees: float  # street trees per block and side
    furniture: float  # poles and signs per block and side
    parked: float  # share of parking places taken
    leafy: float  # share of trees with leaves

    def kerb(self, side: int) -> float:
        return side * (self.lane + self.parking[side > 0])

    def front(self, side: int) -> float:
        return self.kerb(side) + side * self.pavement[side > 0]


def draw_plan(rng: np.random.Generator) -> Plan:
    """A plan: narrow or wide, built up on both sides as a rule, with or without parked cars and trees."""
    open_side = rng.random(2) < 0.35
    parking = [float(rng.uniform(2.0, 2.3)) if rng.random() < 0.42 else 0.0 for _ in range(2)]
    pavement = [float(rng.uniform(1.8, 4.5)) for _ in range(2)]
    gaps = [float(rng.uniform(0.6, 0.9) if o else rng.uniform(0.0, 0.3)) for o in open_side]
    return Plan(
        lane=float(rng.uniform(3.1, 4.6)),
        parking=(parking[0], parking[1]),
        pavement=(pavement[0], pavement[1]),
        gaps=(gaps[0], gaps[1]),
        trees=float(rng.choice([0.0, 0.4, 1.2])),
        furniture=float(rng.uniform(1.0, 3.0)),
        parked=float(rng.uniform(0.25, 0.8)),
        leafy=float(rng.uniform(0.3, 1.0)),
    )


class Stock:
    """Textures that one street draws on."""

    def __init__(self, rng: np.random.Generator, grain: Grain) -> None:
        self.facades: List[Facade] = [build_facade(rng, grain) for _ in range(9)]
        self.leafy = _and_mirrored([leafy_tree(rng, grain) for _ in range(3)])
        self.bare = _and_mirrored([bare_tree(rng, grain) for _ in range(2)])
        self.hedge = hedge(rng, grain)
        self.pole = f.pole_texture(rng.uniform(70, 130))
        self.signs = f.sign_textures(rng)
        self.lights = [f.light_texture(k) for k in range(3)]
        self.fences = f.fence_textures(rng, grain)
        self.cars = {heading: [build_car(rng, heading) for _ in range(7)] for heading in (1, -1)}


def _and_mirrored(textures: List[Texture]) -> List[Texture]:
    return textures + [t.mirrored for t in textures]


@dataclass
class Block:
    """Twenty-four metres of street: its lit patches, and ground polygons of shadows, contacts and white paint."""

    patches: Patches
    shadows: List[np.ndarray]
    contacts: List[np.ndarray]
    paint: List[np.ndarray]


class BlockMaker:
    """Builds any block of one street from the street's seed and the block's number."""

    def __init__(self, seed: int, plan: Plan, stock: Stock, asphalt: Texture, light: Light) -> None:
        self.seed, self.plan, self.stock, self.asphalt, self.light = seed, plan, stock, asphalt, light

    def make(self, number: int) -> Block:
        rng = np.random.default_rng([self.seed, number + 1000])
        start = number * BLOCK_M
        patches: List[Patch] = []
        block = Block(light_patches([], self.light), [], [], [])
        crossing = number > 0 and rng.random() < 0.16
        if crossing:
            block.paint += zebra(start + 8, (self.plan.kerb(-1), self.plan.kerb(1)))
            block.paint += stop_line(start + 6.5, self.plan.kerb(-1) + 0.3, -0.2)
        for side in (-1, 1):
            self._front(rng, side, start, patches, block)
            self._kerbside(rng, side, start, crossing, patches, block)
            if self.plan.parking[side > 0] > 0 and not crossing:
                self._parked(rng, side, start, patches, block)
        block.patches = light_patches(patches, self.light)
        return block

    def _front(self, rng: np.random.Generator, side: int, start: float, patches: List[Patch], block: Block) -> None:
        """Houses and gaps along the building line, stretched to fill the block."""
        lots: List[Tuple[float, Facade]] = []
        while sum(w for w, _ in lots) < BLOCK_M - 4.0:
            facade = self.stock.facades[int(rng.integers(len(self.stock.facades)))]
            lots.append((facade.width_m, facade))
        stretch = BLOCK_M / sum(w for w, _ in lots)
        z = start
        for width, facade in lots:
            end = z + width * stretch
            if z > start and rng.random() < SIDE_STREETS:
                self._side_street(rng, side, z, end, patches, block)
            elif rng.random() < self.plan.gaps[side > 0]:
                self._garden(rng, side, z, end, patches, block)
            else:
                self._house(rng, side, z, end, facade, patches, block)
            z = end

    def _house(
        self,
        rng: np.random.Generator,
        side: int,
        z0: float,
        z1: float,
        facade: Facade,
        patches: List[Patch],
        block: Block,
    ) -> None:
        x = self.plan.front(side) + side * float(rng.choice([0.0, 0.0, 0.15, 0.3]))
        top = KERB_M + facade.height_m
        tint = rng.uniform(0.85, 1.08) * (1 + rng.uniform(-0.03, 0.03, 3))
        patches += house(rng, side, x, (z0, z1), facade, tint)
        block.shadows.append(self._wall_shadow(x, z0, z1, top))

    def _side_street(
        self, rng: np.random.Generator, side: int, z0: float, z1: float, patches: List[Patch], block: Block
    ) -> None:
        """A street that joins on a raised table, level with the pavement; trees close the view."""
        kerb, front = self.plan.kerb(side), self.plan.front(side)
        x = sorted((kerb, front + side * SIDE_STREET_M))
        middle, half = (z0 + z1) / 2, min(3.2, (z1 - z0) / 2 - 0.4)
        table = (middle - half, middle + half)
        patches.append(strip((x[0], x[1]), table, KERB_M + 0.005, self.asphalt, ROAD))
        for _ in range(4):
            self._tree(rng, front + side * rng.uniform(16, 40), rng.uniform(z0, z1 + 12), 9.0, patches, block)

    def _garden(
        self, rng: np.random.Generator, side: int, z0: float, z1: float, patches: List[Patch], block: Block
    ) -> None:
        """Trees behind a fence, a hedge or a wall."""
        x = self.plan.front(side)
        kind = rng.choice(['fence', 'hedge', 'wall'], p=[0.7, 0.2, 0.1])
        sections = max(1, round((z1 - z0) / f.FENCE_M))
        fence = self.stock.fences[int(rng.choice(3, p=[0.4, 0.3, 0.3]))]
        high = float(rng.uniform(1.1, 1.9))
        for k in range(sections):
            a, b = (z0 + (z1 - z0) * (k + e) / sections for e in (0, 1))
            edges = wall(side, x, a, b, KERB_M + high, KERB_M)
            if kind == 'fence':
                patches.append(Patch(*edges, texture=fence, label=f.FENCE))
            elif kind == 'hedge':
                patches.append(Patch(*edges, texture=self.stock.hedge, label=TREE_ID, matt=True))
            else:
                plain = self.stock.facades[0].plain
                patches.append(Patch(*edges, texture=plain, label=BUILDING_ID, tint=(0.85,) * 3))
        for _ in range(int(rng.integers(2, 6))):
            self._tree(rng, x + side * rng.uniform(1.5, 8.0), rng.uniform(z0, z1), rng.uniform(5, 12), patches, block)

    def _tree(
        self, rng: np.random.Generator, x: float, z: float, height: float, patches: List[Patch], block: Block
    ) -> None:
        kinds = self.stock.leafy if rng.random() < self.plan.leafy else self.stock.bare
        texture = kinds[int(rng.integers(len(kinds)))]
        tint = tuple(rng.uniform(0.8, 1.15) * (1 + rng.uniform(-0.08, 0.08, 3)))
        edges = upright(*tree_edges(x, z, height, KERB_M))
        patches.append(Patch(*edges, texture=texture, label=TREE_ID, tint=tint, matt=True))
        sun = self.light.sun
        shift = -0.6 * height * sun / max(float(sun[1]), 0.2)
        angles = np.linspace(0, 2 * np.pi, 14, endpoint=False)
        reach = 0.32 * height * rng.uniform(0.75, 1.1, 14)
        ring = np.stack([np.cos(angles) * reach, 0 * angles, np.sin(angles) * reach], axis=1)
        block.shadows.append(ring + np.array([x + shift[0], KERB_M / 2, z + shift[2]]))

    def _kerbside(
        self,
        rng: np.random.Generator,
        side: int,
        start: float,
        crossing: bool,
        patches: List[Patch],
        block: Block,
    ) -> None:
        """Lamp posts, signs, traffic lights, bollards and street trees in the strip beside the kerb."""
        x = self.plan.kerb(side) + side * 0.45
        stock = self.stock
        number = round(start / BLOCK_M)
        if (number + (side > 0)) % 2 == 0:
            patches += f.lamp_post(x, start + 3.0, -side, stock.pole, KERB_M, float(6.5 + 2.0 * rng.random()))
        if crossing:
            face = stock.lights[int(rng.integers(3))]
            patches += f.traffic_light(x, start + 6.8, stock.pole, face, KERB_M)
        for _ in range(rng.poisson(self.plan.furniture)):
            z = start + rng.uniform(0, BLOCK_M)
            kind = rng.choice(['sign', 'pole', 'bollard', 'light'], p=[0.5, 0.25, 0.15, 0.10])
            if kind == 'sign':
                face = stock.signs[int(rng.integers(len(stock.signs)))]
                size = float(rng.uniform(0.6, 1.2))
                patches += f.sign(x, z, stock.pole, face, size, float(rng.uniform(2.3, 3.2)), KERB_M)
            elif kind == 'light':
                patches += f.traffic_light(x, z, stock.pole, stock.lights[int(rng.integers(3))], KERB_M)
            elif kind == 'pole':
                patches.append(f.pole(x, z, float(rng.uniform(3.0, 7.0)), 0.14, stock.pole, KERB_M))
            else:
                for k in range(3):
                    patches.append(f.pole(x, z + 1.6 * k, 1.0, 0.13, stock.pole, KERB_M))
        for _ in range(rng.poisson(self.plan.trees)):
            height = float(rng.uniform(5.0, 8.5))
            self._tree(rng, x + side * 0.5, start + rng.uniform(4, BLOCK_M), height, patches, block)
        if rng.random() < 0.2:
            texture = stock.fences[int(rng.integers(1, 3))]
            for k in range(2):
                patches.append(f.fence(side, x - side * 0.15, start + 9 + k * f.FENCE_M, texture, 1.1, KERB_M))

    def _parked(self, rng: np.random.Generator, side: int, start: float, patches: List[Patch], block: Block) -> None:
        x = self.plan.kerb(side) - side * (self.plan.parking[side > 0] / 2 - 0.05)
        for place in range(4):
            if rng.random() > self.plan.parked:
                continue
            z = start + 3.0 + place * BLOCK_M / 4 + rng.uniform(-0.4, 0.4)
            heading = 1 if side < 0 or rng.random() < 0.3 else -1
            cars = self.stock.cars[heading]
            offset = np.array([x, 0.0, z])
            car = cars[int(rng.integers(len(cars)))]
            if car[0].origin[1] > 2.4:  # no buses among the parked
                continue
            patches += [p._replace(origin=p.origin + offset) for p in car]
            block.contacts.append(footprint() + offset)

    def _wall_shadow(self, x: float, z0: float, z1: float, top: float) -> np.ndarray:
        sun = self.light.sun
        shift = -top * sun / max(float(sun[1]), 0.2)
        foot = np.array([[x, KERB_M / 2, z0], [x, KERB_M / 2, z1]])
        cast = foot[::-1] + np.array([shift[0], 0.0, shift[2]])
        return np.concatenate([foot, cast])
