# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What lens and sensor do to the picture: blur, exposure, vignetting, noise."""

from __future__ import annotations

import cv2
import numpy as np

from .light import Light

NOISE_TILE = 256


class Finish:
    """The camera's own marks, the same through a sequence, except the noise."""

    def __init__(self, rng: np.random.Generator, height: int, width: int, light: Light) -> None:
        self.blur = float(rng.uniform(0.3, 0.9)) * width / 1280
        sigma = float(rng.uniform(1.5, 5.0)) / light.exposure**0.5
        self.noise = np.rint(rng.standard_normal((NOISE_TILE, NOISE_TILE, 3)) * sigma).astype(np.int16)
        self.height, self.width = height, width
        self.curves = _curves(rng, light)
        v = np.linspace(-1, 1, height, dtype=np.float32)[:, None]
        u = np.linspace(-1, 1, width, dtype=np.float32)[None, :]
        fall = np.float32(rng.uniform(0.05, 0.2))
        gain = np.rint(255 * (1 - fall * (u * u + v * v) / 2)).astype(np.uint8)
        self.vignette = np.repeat(gain[..., None], 3, axis=2)

    def apply(self, rgb: np.ndarray, index: int) -> np.ndarray:
        """The finished frame (H,W,3) uint8; the noise depends on ``index``."""
        if self.blur > 0.25:
            rgb = cv2.GaussianBlur(rgb, (0, 0), self.blur)
        rgb = cv2.LUT(rgb, self.curves)
        rgb = cv2.multiply(rgb, self.vignette, scale=1 / 255)
        noise = np.roll(self.noise, (61 * index % NOISE_TILE, 97 * index % NOISE_TILE), axis=(0, 1))
        tiles = (-(-self.height // NOISE_TILE), -(-self.width // NOISE_TILE), 1)
        noise = np.ascontiguousarray(np.tile(noise, tiles)[: self.height, : self.width])
        return np.asarray(cv2.add(rgb, noise, dtype=cv2.CV_8U))


def _curves(rng: np.random.Generator, light: Light) -> np.ndarray:
    """Tone curve per channel (1,256,3) uint8: exposure, white balance, contrast."""
    x = np.arange(256, dtype=np.float64)[:, None] / 255
    balance = np.array([light.warmth, 1.0, 1.0 / light.warmth])
    y = x * light.exposure * balance
    contrast = rng.uniform(0.0, 0.5)
    y = np.clip(y, 0, 1)
    y = (1 - contrast) * y + contrast * y * y * (3 - 2 * y)
    return np.asarray(np.rint(y * 255), np.uint8)[None]
