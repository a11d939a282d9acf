# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Noise that repeats seamlessly: the grain of all textures."""

from __future__ import annotations

import numpy as np


def noise_tile(rng: np.random.Generator, size: int, slope: float) -> np.ndarray:
    """Random tile (size,size) float32, zero mean, unit deviation, amplitude falling as frequency ** -slope."""
    spectrum = np.fft.rfft2(rng.standard_normal((size, size)))
    frequency = np.hypot(np.fft.fftfreq(size)[:, None], np.fft.rfftfreq(size)[None, :])
    frequency[0, 0] = 1.0
    spectrum *= frequency**-slope
    spectrum[0, 0] = 0.0
    tile = np.fft.irfft2(spectrum, s=(size, size))
    return np.asarray(tile / tile.std(), np.float32)


class Grain:
    """Three noise tiles of one street (white, rough, smooth) and windows cut from them at random places."""

    SIZE = 512

    def __init__(self, rng: np.random.Generator) -> None:
        self.white = noise_tile(rng, self.SIZE, 0.25)
        self.rough = noise_tile(rng, self.SIZE, 1.0)
        self.smooth = noise_tile(rng, self.SIZE, 1.9)

    def window(self, rng: np.random.Generator, tile: np.ndarray, height: int, width: int) -> np.ndarray:
        """A (height,width) piece of a tile, which repeats where the piece is larger."""
        row, column = rng.integers(0, self.SIZE, 2)
        rows = (row + np.arange(height)) % self.SIZE
        columns = (column + np.arange(width)) % self.SIZE
        return np.asarray(tile[rows[:, None], columns[None, :]])
