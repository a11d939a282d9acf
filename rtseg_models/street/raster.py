# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From patches to pixels: projection, visibility by inverse depth, blending."""

from __future__ import annotations

import math
from typing import Iterable, Optional, Sequence, Tuple

import cv2
import numpy as np

from .camera import Pose
from .light import Light
from .patch import Patches
from .texture import Rgb, Texture

NEAR_M = 0.3
SHIFT = 4  # binary digits of fractions in OpenCV's polygon coordinates

Box = Tuple[int, int, int, int]


class Canvas:
    """One image in the making.

    ``rgb`` (H,W,3) uint8; ``inverse_depth`` (H,W) float32 in 1/m, 0 = sky; ``surface`` (H,W) int32, the index of the
    patch that a pixel's centre ray meets first, -1 = sky.
    """

    def __init__(self, sky: np.ndarray, matrix: np.ndarray, pose: Pose, light: Light) -> None:
        self.rgb = sky
        self.height, self.width = sky.shape[:2]
        self.inverse_depth = np.zeros(sky.shape[:2], np.float32)
        self.surface = np.full(sky.shape[:2], -1, np.int32)
        self.projection = matrix @ pose.rotation
        self.position = pose.position
        self.light = light
        # Where a surface meets the ground, its soft edge reaches half a pixel below it: tolerance in 1/m for colours.
        self.soft = np.float32(0.5 / matrix[0, 0])

    def project(self, patches: Patches) -> np.ndarray:
        """Homographies (n,3,3) from patch units to the image; the third coordinate is the depth in metres."""
        frames = patches.frames.copy()
        frames[:, :, 2] -= self.position
        return np.asarray(self.projection @ frames)

    def paint(self, patches: Patches, homographies: np.ndarray, order: Iterable[int]) -> None:
        """Paint patches in the given order; nearer surfaces that are there already stay."""
        determinants = np.linalg.det(homographies)
        for i in order:
            if determinants[i] <= 1e-9:  # edge on, or seen from behind
                continue
            polygon = clip_near(patches.outlines[i], homographies[i])
            box = self._box(polygon)
            if box is not None:
                self._paint_one(patches, int(i), homographies[i], polygon, box)

    def decal(self, polygons: Sequence[np.ndarray], rgb: Rgb, opacity: float, soft_px: int = 0) -> None:
        """Tint what lies below world polygons (n,3), which do not change surface or depth."""
        mask = np.zeros((self.height, self.width), np.uint8)
        touched = False
        for world in polygons:
            seen = clip_near_points((world - self.position) @ self.projection.T)
            if self._box(seen) is not None:
                cv2.fillPoly(mask, [_fixed(seen)], 255, cv2.LINE_AA, SHIFT)
                touched = True
        if not touched:
            return
        left, top, width, height = cv2.boundingRect(mask)
        if width == 0:
            return
        grow = 2 * soft_px
        rows = slice(max(0, top - grow), top + height + grow)
        columns = slice(max(0, left - grow), left + width + grow)
        if soft_px:
            mask[rows, columns] = cv2.blur(mask[rows, columns], (2 * soft_px + 1,) * 2)
        weight = mask[rows, columns].astype(np.float32) * np.float32(opacity / 255)
        under = self.rgb[rows, columns]
        over = np.empty_like(under)
        over[:] = np.clip(rgb, 0, 255)
        self.rgb[rows, columns] = cv2.blendLinear(over, under, weight, 1.0 - weight)

    def _box(self, polygon: np.ndarray) -> Optional[Box]:
        """Pixels (left, top, right, bottom), ends excluded, that a polygon may touch; None where it is out of view."""
        if len(polygon) < 3:
            return None
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        left, top = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
        right, bottom = min(self.width, math.ceil(high[0]) + 1), min(self.height, math.ceil(high[1]) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _paint_one(self, patches: Patches, i: int, homography: np.ndarray, polygon: np.ndarray, box: Box) -> None:
        left, top, right, bottom = box
        texture = patches.textures[i]
        inverse = np.linalg.inv(homography)
        plane = inverse[2]
        rows = plane[1] * np.arange(top, bottom) + plane[2]
        nearness = np.add.outer(rows, plane[0] * np.arange(left, right)).astype(np.float32)
        roi = np.s_[top:bottom, left:right]
        visible = nearness + self.soft > self.inverse_depth[roi]
        _drop_overshoot(visible, nearness, polygon @ plane[:2] + plane[2])
        if not visible.any():
            return
        colours = _sample(texture, homography, inverse, polygon, box, patches.repeats[i])
        if texture.masked:
            coverage = _sharpen(colours[..., 3], texture, inverse, polygon, box)
        else:
            coverage = np.zeros(visible.shape, np.uint8)
            cv2.fillPoly(coverage, [_fixed(polygon - (left, top))], 255, cv2.LINE_AA, SHIFT)
        coverage *= visible
        solid = (coverage > texture.solid_above) & (nearness > self.inverse_depth[roi])
        distance = 1.0 / max(float(nearness.mean()), 1e-4)
        lit = cv2.transform(colours[..., :3], self._shading(patches.gains[i], distance))
        weight = coverage.astype(np.float32) * np.float32(1 / 255)
        self.rgb[roi] = cv2.blendLinear(lit, np.ascontiguousarray(self.rgb[roi]), weight, 1.0 - weight)
        np.copyto(self.inverse_depth[roi], nearness, where=solid)
        self.surface[roi][solid] = i

    def _shading(self, gain: np.ndarray, distance: float) -> np.ndarray:
        """Affine colour map (3,4) of light and haze at a distance."""
        clear = math.exp(-self.light.haze_per_m * distance)
        return np.hstack([np.diag(gain * clear), self.light.haze[:, None] * (1.0 - clear)])


def far_to_near(patches: Patches, position: np.ndarray) -> np.ndarray:
    """Indices in painting order: by layer, then far patches first."""
    frames = patches.frames
    centres = frames[:, :, 2] + 0.5 * (frames[:, :, 0] + frames[:, :, 1])
    return np.asarray(np.lexsort((-np.linalg.norm(centres - position, axis=1), patches.layers)))


def clip_near(outline: np.ndarray, homography: np.ndarray) -> np.ndarray:
    """Image polygon (n,2) of an outline in patch units, cut at the near plane."""
    return clip_near_points(outline @ homography[:, :2].T + homography[:, 2])


def clip_near_points(points: np.ndarray) -> np.ndarray:
    """Image polygon (n,2) of a polygon in homogeneous image coordinates (n,3), cut at the near plane."""
    depth = points[:, 2]
    if depth.min() < NEAR_M:
        kept = []
        for k in range(len(points)):
            a, b = points[k - 1], points[k]
            if (a[2] < NEAR_M) != (b[2] < NEAR_M):
                kept.append(a + (b - a) * ((NEAR_M - a[2]) / (b[2] - a[2])))
            if b[2] >= NEAR_M:
                kept.append(b)
        points = np.array(kept).reshape(-1, 3)
    return np.asarray(points[:, :2] / points[:, 2:])


def _fixed(polygon: np.ndarray) -> np.ndarray:
    """A polygon as OpenCV's fixed point, far corners pulled in to where its arithmetic still holds."""
    scaled = np.clip(polygon, -30000, 30000) * (1 << SHIFT)
    return np.asarray(np.rint(scaled), np.int32)


def _drop_overshoot(visible: np.ndarray, nearness: np.ndarray, corners: np.ndarray) -> None:
    """Clear edge pixels whose ray meets a nearly edge-on plane far outside the polygon with these corners."""
    low, high = corners.min() * 0.98, corners.max() * 1.02
    if nearness[:: len(nearness) - 1 or 1, :: nearness.shape[1] - 1 or 1].max() > high:
        visible &= nearness < high
    if nearness[:: len(nearness) - 1 or 1, :: nearness.shape[1] - 1 or 1].min() < low:
        visible &= nearness > low


def _footprint(inverse: np.ndarray, polygon: np.ndarray, box: Box) -> Tuple[float, float]:
    """Patch units (across, down) that one pixel spans in the middle of what is seen."""
    left, top, right, bottom = box
    centre = polygon.mean(axis=0)
    u, v = min(max(centre[0], left), right - 1), min(max(centre[1], top), bottom - 1)
    s, t, w = inverse @ (u, v, 1.0)
    across = (inverse[0, :2] - s / w * inverse[2, :2]) / w
    down = (inverse[1, :2] - t / w * inverse[2, :2]) / w
    return float(np.hypot(*across)), float(np.hypot(*down))


def _sample(
    texture: Texture, homography: np.ndarray, inverse: np.ndarray, polygon: np.ndarray, box: Box, repeat: bool
) -> np.ndarray:
    """The texture as seen in a box of pixels."""
    left, top, right, bottom = box
    height, width = texture.pixels.shape[:2]
    across, down = _footprint(inverse, polygon, box)
    reduce_across = _reduction(across * width, width)
    reduce_down = _reduction(down * height, height)
    pixels = texture.level(reduce_across, reduce_down)
    height, width = pixels.shape[:2]
    texel = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
    move = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
    return np.asarray(
        cv2.warpPerspective(
            pixels,
            move @ homography @ texel,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP if repeat else cv2.BORDER_REPLICATE,
        )
    )


def _reduction(texels_per_pixel: float, texels: int) -> int:
    """Halvings that bring a texture nearest to one texel per pixel."""
    halvings = math.floor(math.log2(max(texels_per_pixel, 1.0)) + 0.3)
    return min(halvings, max(0, texels.bit_length() - 1))


def _sharpen(coverage: np.ndarray, texture: Texture, inverse: np.ndarray, polygon: np.ndarray, box: Box) -> np.ndarray:
    """Coverage of an enlarged texture with its edges brought back to about one pixel."""
    height, width = texture.pixels.shape[:2]
    across, down = _footprint(inverse, polygon, box)
    enlargement = 1.0 / max(1e-6, math.sqrt(across * width * down * height))
    if enlargement <= 1.2 or texture.solid_above < 127:
        return np.ascontiguousarray(coverage)
    k = min(enlargement, 8.0)
    return np.asarray(cv2.convertScaleAbs(np.maximum(coverage, int(127.5 - 127.5 / k)), alpha=k, beta=127.5 * (1 - k)))
