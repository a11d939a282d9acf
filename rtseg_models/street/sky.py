# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The sky, and the skyline that closes the view down the street."""

from __future__ import annotations

from typing import List

import cv2
import numpy as np

from ..labels import CAMVID
from .camera import Pose
from .light import Light
from .noise import Grain
from .patch import BUILDING, Patch, upright
from .texture import Texture

STEP = 4  # the sky is smooth: it is computed at a quarter of the size
SKYLINE_M, SKYLINE_WIDTH_M, SKYLINE_HEIGHT_M = 190.0, 560.0, 28.0


def paint_sky(
    height: int, width: int, matrix: np.ndarray, pose: Pose, light: Light, grain: Grain, ground: np.ndarray
) -> np.ndarray:
    """Sky (H,W,3) uint8 above the horizon; below it the ``ground`` rgb (3,), which soft edges may let through."""
    rows, columns = np.mgrid[0 : height + STEP : STEP, 0 : width + STEP : STEP].astype(np.float32)
    inverse = np.linalg.inv(matrix @ pose.rotation).astype(np.float32)
    x, y, z = (inverse[k, 0] * columns + inverse[k, 1] * rows + inverse[k, 2] for k in range(3))
    up = np.clip(y / np.sqrt(x * x + y * y + z * z), 0, 1)
    blend = np.clip(up * 1.6, 0, 1)[..., None] ** 0.6
    colour = light.horizon * (1 - blend) + light.zenith * blend
    reach = 60.0 / (up + 0.10)
    cloud = _sample(grain.smooth, x * reach, z * reach) + 0.35 * _sample(grain.rough, 2.1 * x * reach, 2.1 * z * reach)
    cover = np.clip(0.5 + 0.6 * cloud + 2.4 * (light.cloud - 0.5), 0, 1)[..., None] * np.clip(up * 8, 0, 1)[..., None]
    bright = np.minimum(light.horizon * 1.04, 255) * (1.0 - 0.05 * np.clip(cloud, -1, 2.5)[..., None] * light.cloud)
    colour = colour * (1 - cover) + bright * cover
    colour = np.where(y[..., None] > -0.01, colour, ground)
    small = np.clip(colour, 0, 255).astype(np.uint8)
    return np.ascontiguousarray(
        cv2.resize(small, None, fx=STEP, fy=STEP, interpolation=cv2.INTER_LINEAR)[:height, :width]
    )


def _sample(tile: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    return np.asarray(cv2.remap(tile, x, y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_WRAP))


def skyline(rng: np.random.Generator, grain: Grain) -> List[Patch]:
    """Far roofs and trees, to be moved along with the camera."""
    height, width = 64, 1024
    noise = grain.window(rng, grain.rough, 1, width)[0]
    patches = []
    for name, base, colour in (('tree', 0.30, (70, 78, 58)), ('building', 0.22, (120, 108, 98))):
        if name == 'tree':
            top = base + 0.07 * grain.window(rng, grain.smooth, 1, width)[0] + 0.03 * noise
        else:
            top = np.repeat(base + rng.uniform(-0.12, 0.14, width // 16), 16)
        rows = 1.0 - (np.arange(height) + 0.5)[:, None] / height
        shade = 1.0 + 0.12 * grain.window(rng, grain.white, height, width)
        image = np.dstack([np.array(colour) * shade[..., None], 255.0 * (rows < top)])
        image[0, :, 3] = image[:, 0, 3] = image[:, -1, 3] = 0
        texture = Texture(np.clip(image, 0, 255).astype(np.uint8))
        z = 0.0 if name == 'tree' else -1.0
        edges = upright(0.0, z, SKYLINE_WIDTH_M, SKYLINE_HEIGHT_M, -0.5)
        patches.append(Patch(*edges, texture=texture, label=CAMVID.names.index(name), layer=BUILDING, matt=True))
    return patches
