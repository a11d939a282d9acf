# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Textures with prefiltered reductions, and the sketch pad that sprites are drawn on."""

from __future__ import annotations

from typing import Dict, Sequence, Tuple, Union

import cv2
import numpy as np

Rgb = Union[Sequence[float], np.ndarray]
"""A colour, 0..255, red first."""

Points = Sequence[Tuple[float, float]]


class Texture:
    """Pixels (h,w,3) rgb or (h,w,4) rgb and coverage, uint8, with reductions by powers of two along each axis.

    Colours are not premultiplied, so those of transparent pixels matter beside opaque ones. Where coverage exceeds
    ``solid_above`` the surface counts as there: half as a rule, less for railings and twigs, which are labelled as if
    closed.
    """

    def __init__(self, pixels: np.ndarray, solid_above: int = 127) -> None:
        self.pixels = np.ascontiguousarray(pixels)
        self.solid_above = solid_above
        self.masked = pixels.shape[2] == 4
        self._levels: Dict[Tuple[int, int], np.ndarray] = {(0, 0): self.pixels}

    @property
    def mirrored(self) -> Texture:
        """The texture with left and right exchanged."""
        return Texture(self.pixels[:, ::-1], self.solid_above)

    def level(self, across: int, down: int) -> np.ndarray:
        """The texture reduced by 2 ** across in width and 2 ** down in height, kept once made; never a single pixel."""
        key = (across, down)
        if key not in self._levels:
            height, width = self.pixels.shape[:2]
            size = (max(1, width >> across), max(1, height >> down))
            reduced = cv2.resize(self.pixels, size, interpolation=cv2.INTER_AREA)
            if size == (1, 1):  # OpenCV 4.5 takes no colour image of a single pixel
                reduced = np.tile(reduced, (2, 2, 1))
            self._levels[key] = reduced
        return self._levels[key]


def flat_texture(rgb: Rgb) -> Texture:
    """A texture of one colour, 0..255."""
    return Texture(np.full((2, 2, 3), np.clip(rgb, 0, 255), np.uint8))


class Sketch:
    """A transparent pad in metres (x right from the left edge, y up from the bottom), drawn at twice its resolution."""

    def __init__(self, width_m: float, height_m: float, px_per_m: int) -> None:
        self.scale = 2 * px_per_m
        self.size = (round(height_m * px_per_m), round(width_m * px_per_m))
        self.height_m = height_m
        self.canvas = np.zeros((2 * self.size[0], 2 * self.size[1], 4), np.uint8)

    def polygon(self, points: Points, rgb: Rgb) -> None:
        pixels = np.rint([self._pixel(p) for p in points]).astype(np.int32)
        cv2.fillPoly(self.canvas, [pixels], self._colour(rgb))

    def box(self, left: float, bottom: float, right: float, top: float, rgb: Rgb) -> None:
        self.polygon([(left, bottom), (right, bottom), (right, top), (left, top)], rgb)

    def ellipse(self, centre: Tuple[float, float], radii: Tuple[float, float], rgb: Rgb) -> None:
        axes = tuple(max(1, round(r * self.scale)) for r in radii)
        cv2.ellipse(self.canvas, self._rounded(centre), axes, 0, 0, 360, self._colour(rgb), -1)

    def ring(self, centre: Tuple[float, float], radius: float, width: float, rgb: Rgb) -> None:
        thick = max(1, round(width * self.scale))
        cv2.circle(self.canvas, self._rounded(centre), round(radius * self.scale), self._colour(rgb), thick)

    def text(self, text: str, left: float, bottom: float, size: float, rgb: Rgb) -> None:
        """Letters about ``size`` metres high from a lower left corner."""
        scale = size * self.scale / 22.0
        corner = self._rounded((left, bottom))
        thick = max(1, round(scale * 2.4))
        cv2.putText(self.canvas, text, corner, cv2.FONT_HERSHEY_SIMPLEX, scale, self._colour(rgb), thick)

    def line(self, points: Points, width: float, rgb: Rgb) -> None:
        pixels = np.rint([self._pixel(p) for p in points]).astype(np.int32)
        cv2.polylines(self.canvas, [pixels], False, self._colour(rgb), max(1, round(width * self.scale)))

    def shade(self, gain: np.ndarray) -> None:
        """Multiply the colours by a gain (h,w) that is stretched over the pad."""
        rows, columns = self.canvas.shape[:2]
        large = cv2.resize(gain.astype(np.float32), (columns, rows))[..., None]
        self.canvas[..., :3] = np.clip(self.canvas[..., :3] * large, 0, 255)

    def finish(self) -> Texture:
        """The texture, colours bled into the transparent surroundings, a transparent rim of one pixel."""
        canvas = self.canvas.copy()
        canvas[:2], canvas[-2:], canvas[:, :2], canvas[:, -2:] = 0, 0, 0, 0
        small = cv2.resize(canvas, self.size[::-1], interpolation=cv2.INTER_AREA)
        return Texture(bleed(small[..., :3].astype(np.float32), small[..., 3]))

    def _pixel(self, point: Tuple[float, float]) -> Tuple[float, float]:
        return point[0] * self.scale, (self.height_m - point[1]) * self.scale

    def _rounded(self, point: Tuple[float, float]) -> Tuple[int, int]:
        column, row = self._pixel(point)
        return round(column), round(row)

    @staticmethod
    def _colour(rgb: Rgb) -> Tuple[float, ...]:
        return (*(float(np.clip(c, 0, 255)) for c in rgb), 255.0)


def bleed(premultiplied: np.ndarray, coverage: np.ndarray) -> np.ndarray:
    """Premultiplied rgb (h,w,3) and coverage (h,w) uint8 to straight rgb and coverage (h,w,4) uint8.

    Pixels that nothing covers take the mean colour of their surroundings.
    """
    weight = coverage.astype(np.float32)[..., None] / 255.0
    near = cv2.blur(np.dstack([premultiplied, weight]), (9, 9))
    wide = cv2.blur(near, (41, 41)) * 1e-3 + 1e-9
    total = near + wide
    surrounding = total[..., :3] / np.maximum(total[..., 3:], 1e-9)
    straight = np.where(weight > 0.02, premultiplied / np.maximum(weight, 0.02), surrounding)
    return np.dstack([np.clip(straight, 0, 255).astype(np.uint8), coverage])
