# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A street by seed: frames with labels and depth, in any order."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Dict, List, Tuple

import numpy as np

from . import ground
from .camera import Drive, Pose, camera_matrix
from .finish import Finish
from .layout import BLOCK_M, Block, BlockMaker, Stock, draw_plan
from .light import draw_light
from .noise import Grain
from .patch import Patches, join, light_patches
from .raster import Canvas, far_to_near
from .sky import SKYLINE_M, paint_sky, skyline
from .traffic import Traffic
from .vegetation import grass_tile

BLOCKS_AHEAD = 8
BLOCKS_KEPT = 16


@dataclass(frozen=True)
class StreetFrame:
    """One rendered image and its truth.

    ``rgb`` (H,W,3) uint8; ``label`` (H,W) uint8, CamVid ids; ``depth_m`` (H,W) float32, distance along the optical
    axis in metres, inf where the sky is; ``stamp_s`` the time in the sequence.
    """

    rgb: np.ndarray
    label: np.ndarray
    depth_m: np.ndarray
    stamp_s: float


class Street:
    """An endless drive down one street. Frame ``index`` depends on seed, size, rate and index alone.

    ``camera_matrix`` (3,3) float64 has pixel centres at integers, as OpenCV and ROS have them. ValueError where
    an argument is out of range.
    """

    def __init__(self, seed: int = 0, *, height: int = 720, width: int = 1280, rate_hz: float = 10.0) -> None:
        if seed < 0:
            raise ValueError(f'seed is {seed}; it must be 0 or more')
        if min(height, width) < 16:
            raise ValueError(f'size is {height}x{width}; each side must have 16 pixels or more')
        if not rate_hz > 0:
            raise ValueError(f'rate_hz is {rate_hz}; it must be above 0')
        self.seed, self.height, self.width, self.rate_hz = seed, height, width, rate_hz
        rng = np.random.default_rng([seed, 0])
        self._light = draw_light(rng)
        self._plan = draw_plan(rng)
        self._drive = Drive(rng, -self._plan.lane / 2)
        self.camera_matrix = camera_matrix(height, width, float(rng.uniform(0.72, 0.95)))
        self._grain = Grain(rng)
        stock = Stock(rng, self._grain)
        self._tiles = (
            ground.asphalt_tile(rng, self._grain),
            ground.slab_tile(rng, self._grain),
            grass_tile(rng, self._grain),
        )
        self._maker = BlockMaker(seed, self._plan, stock, self._tiles[0], self._light)
        self._traffic = Traffic(rng, self._plan, self._light, self._drive.speed)
        self._skyline = light_patches(skyline(rng, self._grain), self._light)
        self._lines = float(rng.random())
        self._finish = Finish(rng, height, width, self._light)
        self._blocks: Dict[int, Block] = {}

    def frame(self, index: int) -> StreetFrame:
        """The image at ``index`` / ``rate_hz`` seconds and its truth; ValueError below 0."""
        canvas, patches = self._render(index)
        labels = np.append(patches.labels, np.uint8(0))  # the last one, index -1: sky
        with np.errstate(divide='ignore'):
            depth = np.float32(1.0) / canvas.inverse_depth
        return StreetFrame(self._finish.apply(canvas.rgb, index), labels[canvas.surface], depth, index / self.rate_hz)

    def geometry(self, index: int) -> Tuple[np.ndarray, np.ndarray]:
        """Which surface each pixel of a frame shows, and the surfaces.

        Returns ids (H,W) int32, -1 = sky, and planes (N,4) float64 in optical axes, metres: a point (x,y,z) of surface
        ``i`` has planes[i] @ (x,y,z,1) = 0, with a unit normal. ValueError for an index below 0.
        """
        canvas, patches = self._render(index)
        frames = patches.frames.copy()
        frames[:, :, 2] -= canvas.position
        rotation = np.linalg.inv(self.camera_matrix) @ canvas.projection
        across, down, origin = np.moveaxis(rotation @ frames, 2, 0)
        normal = np.cross(across, down)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        return canvas.surface, np.hstack([normal, -(normal * origin).sum(axis=1, keepdims=True)])

    def _render(self, index: int) -> Tuple[Canvas, Patches]:
        if index < 0:
            raise ValueError(f'frame index is {index}; it must be 0 or more')
        time_s = index / self.rate_hz
        pose = self._drive.pose(time_s)
        along = float(pose.position[2])
        first = int(np.floor(along / BLOCK_M)) - 1
        blocks = [self._block(first + k) for k in range(BLOCKS_AHEAD + 1)]
        moving, contacts = self._traffic.at(time_s, along)
        level = light_patches(ground.ground_patches(along, *self._edges(), self._tiles), self._light)
        patches = join(
            [level, self._skyline.moved(np.array([0.0, 0.0, along + SKYLINE_M])), *(b.patches for b in blocks), *moving]
        )
        under = self._tiles[0].pixels.mean(axis=(0, 1)) * self._light.gain(np.array([0.0, 1.0, 0.0]))
        sky = paint_sky(self.height, self.width, self.camera_matrix, pose, self._light, self._grain, under)
        canvas = Canvas(sky, self.camera_matrix, pose, self._light)
        homographies = canvas.project(patches)
        canvas.paint(patches, homographies, np.arange(len(level)))
        self._decals(canvas, pose, blocks, contacts)
        order = far_to_near(patches, pose.position)
        canvas.paint(patches, homographies, order[order >= len(level)])
        return canvas, patches

    def _edges(self) -> Tuple[Tuple[float, float], Tuple[float, float]]:
        plan = self._plan
        return (plan.kerb(-1), plan.kerb(1)), (plan.front(-1), plan.front(1))

    def _decals(self, canvas: Canvas, pose: Pose, blocks: List[Block], contacts: List[np.ndarray]) -> None:
        """Paint and shadows on the ground."""
        along = float(pose.position[2])
        kerbs, _ = self._edges()
        level = self._light.gain(np.array([0.0, 1.0, 0.0]))
        white = [p for b in blocks for p in b.paint]
        white += ground.centre_dashes(along, 0.0)
        canvas.decal(white, np.array([205, 205, 200]) * level, 0.75)
        if self._lines < 0.7:
            yellow = ground.edge_lines(along, kerbs[0] + 0.35, True) + ground.edge_lines(along, kerbs[1] - 0.35, True)
            canvas.decal(yellow, np.array([178, 150, 72]) * level, 0.6)
        tracks = [
            ground.rectangle(x - 0.3, x + 0.3, along + 0.5, along + 160)
            for lane in (-1, 1)
            for x in (lane * self._plan.lane / 2 - 0.75, lane * self._plan.lane / 2 + 0.75)
        ]
        canvas.decal(tracks, (30, 30, 30), 0.12, soft_px=round(0.004 * self.width))
        if self._light.shadow > 0:
            canvas.decal([p for b in blocks for p in b.shadows], (12, 14, 22), self._light.shadow)
        shade = [p for b in blocks for p in b.contacts] + contacts
        canvas.decal(shade, (10, 10, 12), self._light.contact, soft_px=max(1, round(0.002 * self.width)))

    def _block(self, number: int) -> Block:
        if number not in self._blocks:
            while len(self._blocks) >= BLOCKS_KEPT:
                del self._blocks[next(iter(self._blocks))]
            self._blocks[number] = self._maker.make(number)
        return self._blocks[number]
