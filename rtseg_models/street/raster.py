# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From patches to pixels: projection, visibility by inverse depth, blending."""

from __future__ import annotations

import math
from typing import NamedTuple, Optional, Sequence, Tuple

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

    def paint(self, patches: Patches, homographies: np.ndarray, order: np.ndarray) -> None:
        """Paint patches in the given order; nearer surfaces that are there already stay."""
        facing = order[np.linalg.det(homographies[order]) > 1e-9]  # neither edge on nor seen from behind
        for i, inverse in zip(facing.tolist(), np.linalg.inv(homographies[facing])):
            polygon = clip_near(patches.outlines[i], homographies[i])
            box = self._box(polygon)
            if box is not None:
                self._paint_one(patches, i, _View(homographies[i], inverse, polygon, box))

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
        self.rgb[rows, columns] = blend(over, under, weight)

    def _box(self, polygon: np.ndarray) -> Optional[Box]:
        """Pixels (left, top, right, bottom), ends excluded, that a polygon may touch; None where it is out of view."""
        if len(polygon) < 3:
            return None
        low, high = polygon.min(axis=0), polygon.max(axis=0)
        left, top = max(0, math.floor(low[0])), max(0, math.floor(low[1]))
        right, bottom = min(self.width, math.ceil(high[0]) + 1), min(self.height, math.ceil(high[1]) + 1)
        return (left, top, right, bottom) if left < right and top < bottom else None

    def _paint_one(self, patches: Patches, i: int, view: _View) -> None:
        left, top, right, bottom = view.box
        texture = patches.textures[i]
        roi = np.s_[top:bottom, left:right]
        under, behind = self.rgb[roi], self.inverse_depth[roi]
        nearness = view.nearness()
        visible = nearness > behind - self.soft
        view.drop_overshoot(visible, nearness)
        if not visible.any():
            return
        footprint = view.footprint()
        colours = _sample(texture, view, footprint, patches.repeats[i])
        if texture.masked:
            coverage = _sharpen(colours[..., 3], texture, footprint)
        else:
            coverage = np.zeros(visible.shape, np.uint8)
            cv2.fillPoly(coverage, [_fixed(view.polygon - (left, top))], 255, cv2.LINE_AA, SHIFT)
        coverage *= visible
        solid = (coverage > texture.solid_above) & (nearness > behind)
        lit = cv2.transform(colours[..., :3], self._shading(patches.gains[i], float(nearness.mean())))
        weight = coverage * np.float32(1 / 255)
        self.rgb[roi] = blend(lit, np.ascontiguousarray(under), weight)
        np.copyto(behind, nearness, where=solid)
        np.copyto(self.surface[roi], i, where=solid)

    def _shading(self, gain: np.ndarray, nearness: float) -> np.ndarray:
        """Affine colour map (3,4) of light and haze at a distance of 1 / ``nearness`` metres."""
        clear = math.exp(-self.light.haze_per_m / max(nearness, 1e-4))
        shading = np.zeros((3, 4))
        shading[(0, 1, 2), (0, 1, 2)] = gain * clear
        shading[:, 3] = self.light.haze * (1.0 - clear)
        return shading


class _View(NamedTuple):
    """A patch as the camera sees it: its homography both ways, its polygon (n,2) and the pixels it may touch."""

    homography: np.ndarray
    inverse: np.ndarray
    polygon: np.ndarray
    box: Box

    def nearness(self) -> np.ndarray:
        """Inverse depth of the patch's plane at each pixel of the box (h,w) float32, 1/m."""
        left, top, right, bottom = self.box
        a, b, c = self.inverse[2]
        rows = (b * np.arange(top, bottom) + c)[:, None]
        return np.asarray(rows + a * np.arange(left, right), np.float32)

    def drop_overshoot(self, visible: np.ndarray, nearness: np.ndarray) -> None:
        """Clear edge pixels whose ray meets a nearly edge-on plane far outside the polygon."""
        a, b, c = self.inverse[2].tolist()
        corners = [a * u + b * v + c for u, v in self.polygon.tolist()]
        low, high = min(corners) * 0.98, max(corners) * 1.02
        ends = [float(nearness[v, u]) for v in (0, -1) for u in (0, -1)]
        if max(ends) > high:
            visible &= nearness < high
        if min(ends) < low:
            visible &= nearness > low

    def footprint(self) -> Tuple[float, float]:
        """Patch units (across, down) that one pixel spans in the middle of what is seen."""
        left, top, right, bottom = self.box
        u, v = self.polygon.mean(axis=0).tolist()
        u, v = min(max(u, left), right - 1), min(max(v, top), bottom - 1)
        (s0, s1, s2), (t0, t1, t2), (w0, w1, w2) = self.inverse.tolist()
        w = w0 * u + w1 * v + w2
        s, t = (s0 * u + s1 * v + s2) / w, (t0 * u + t1 * v + t2) / w
        across = math.hypot(s0 - s * w0, s1 - s * w1) / w
        return across, math.hypot(t0 - t * w0, t1 - t * w1) / w


def blend(over: np.ndarray, under: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """Two images (h,w,3) uint8 mixed, ``weight`` (h,w) float32 of the first."""
    if hasattr(cv2, 'blendLinear'):  # missing in OpenCV 4.2, that of Ubuntu 20.04
        return np.asarray(cv2.blendLinear(over, under, weight, 1.0 - weight))
    mixed = over * weight[..., None] + under * (1.0 - weight)[..., None]
    return np.asarray(np.rint(mixed), np.uint8)


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


def _sample(texture: Texture, view: _View, footprint: Tuple[float, float], repeat: bool) -> np.ndarray:
    """The texture as seen in the view's box of pixels."""
    left, top, right, bottom = view.box
    height, width = texture.pixels.shape[:2]
    pixels = texture.level(_reduction(footprint[0] * width, width), _reduction(footprint[1] * height, height))
    height, width = pixels.shape[:2]
    texel = np.array([[1 / width, 0, 0.5 / width], [0, 1 / height, 0.5 / height], [0, 0, 1]])
    move = np.array([[1, 0, -left], [0, 1, -top], [0, 0, 1]])
    return np.asarray(
        cv2.warpPerspective(
            pixels,
            move @ view.homography @ texel,
            (right - left, bottom - top),
            flags=cv2.INTER_LINEAR,
            borderMode=cv2.BORDER_WRAP if repeat else cv2.BORDER_REPLICATE,
        )
    )


def _reduction(texels_per_pixel: float, texels: int) -> int:
    """Halvings that bring a texture nearest to one texel per pixel."""
    halvings = math.floor(math.log2(max(texels_per_pixel, 1.0)) + 0.3)
    return min(halvings, max(0, texels.bit_length() - 1))


def _sharpen(coverage: np.ndarray, texture: Texture, footprint: Tuple[float, float]) -> np.ndarray:
    """Coverage of an enlarged texture with its edges brought back to about one pixel."""
    height, width = texture.pixels.shape[:2]
    enlargement = 1.0 / max(1e-6, math.sqrt(footprint[0] * width * footprint[1] * height))
    if enlargement <= 1.2 or texture.solid_above < 127:
        return np.ascontiguousarray(coverage)
    k = min(enlargement, 8.0)
    return np.asarray(cv2.convertScaleAbs(np.maximum(coverage, int(127.5 - 127.5 / k)), alpha=k, beta=127.5 * (1 - k)))
