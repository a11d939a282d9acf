# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Semantic point clouds: a mask laid over an aligned depth image or a lidar sweep. Arrays in, arrays out.

Points are in the camera's optical axes (x right, y down, z forward, metres), so the image's header is theirs too.
Camera matrices have pixel centres at integers, as ROS and OpenCV have them.
"""

from __future__ import annotations

from typing import Sequence, Tuple

import cv2
import numpy as np

POINT = np.dtype(
    {
        'names': ['x', 'y', 'z', 'rgb', 'label'],
        'formats': [np.float32, np.float32, np.float32, np.float32, np.uint8],
        'offsets': [0, 4, 8, 12, 16],
        'itemsize': 20,
    }
)
"""One point. ``rgb`` holds the bits 0x00RRGGBB in a float32, as PCL and rviz expect; ``label`` 255 is unlabelled."""


COEFFICIENTS = (0, 4, 5, 8, 12, 14)
"""Numbers of distortion coefficients that OpenCV knows."""


def cloud_from_depth(depth: np.ndarray, labels: np.ndarray, rgb: np.ndarray, camera_matrix: np.ndarray) -> np.ndarray:
    """Organised cloud (H,W) of POINT from a rectified depth image (H,W), float32 metres or uint16 millimetres.

    Depth is measured along the optical axis. x, y and z are nan where it is 0, negative, nan or infinite; label and
    colour are there all the same. ``camera_matrix`` (3,3) is the depth image's. ``labels`` (h,w) uint8 and ``rgb``
    (h,w,3) uint8 may have other sizes: each point takes the pixel that its own pixel's centre falls into.
    """
    if depth.ndim != 2 or depth.dtype not in (np.float32, np.uint16):
        raise ValueError(f'depth is {depth.shape} {depth.dtype}; expected (H,W), float32 metres or uint16 millimetres')
    height, width = depth.shape
    z = depth * np.float32(1e-3) if depth.dtype == np.uint16 else depth
    z = np.where((z > 0) & (z < np.inf), z, np.float32(np.nan))
    fx, fy, cx, cy = _intrinsics(camera_matrix)
    points = np.zeros((height, width), POINT)
    points['x'] = z * ((np.arange(width) - cx) / fx).astype(np.float32)
    points['y'] = z * ((np.arange(height) - cy) / fy).astype(np.float32)[:, None]
    points['z'] = z
    points['label'] = _sampled(labels, (height, width))
    _write_colours(points, _sampled(rgb, (height, width)))
    return points


def cloud_from_lidar(
    points: np.ndarray,
    camera_from_lidar: np.ndarray,
    labels: np.ndarray,
    rgb: np.ndarray,
    camera_matrix: np.ndarray,
    distortion: Sequence[float] = (),
) -> np.ndarray:
    """Cloud (n,) of POINT: the lidar points before the camera whose projection falls into the image, in their order.

    ``points`` is a structured array with x, y and z, ``camera_from_lidar`` (4,4) takes them to optical axes.
    ``camera_matrix`` (3,3) and ``distortion`` (CameraInfo's d of plumb_bob or rational_polynomial; none for a rectified
    image) are those of ``rgb`` (H,W,3) uint8; ``labels`` (h,w) uint8 may have another size. Points that the camera does
    not see because something nearer hides them are not told apart: they take the nearer thing's label.
    """
    _intrinsics(camera_matrix)
    if len(distortion) not in COEFFICIENTS or not np.isfinite(distortion).all():
        raise ValueError(f'distortion is {list(distortion)}; expected {COEFFICIENTS[1:]} finite coefficients, or none')
    xyz = np.stack([points[axis].ravel() for axis in 'xyz']).astype(np.float64)
    # einsum: a matrix product would wake BLAS's threads, which wait for the network's on a busy machine
    xyz = np.einsum('ij,jn->in', camera_from_lidar[:3, :3], xyz) + camera_from_lidar[:3, 3:]
    xyz = xyz[:, np.isfinite(xyz).all(axis=0) & (xyz[2] > 0)]
    if len(distortion):
        xyz = xyz[:, np.hypot(xyz[0], xyz[1]) < _fold_radius(distortion) * xyz[2]]
    height, width = rgb.shape[:2]
    column, row = np.floor(_project(xyz, camera_matrix, distortion) + 0.5)
    inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
    pixel = row[inside].astype(np.intp), column[inside].astype(np.intp)
    cloud = np.zeros(len(pixel[0]), POINT)
    cloud['x'], cloud['y'], cloud['z'] = xyz[:, inside]
    cloud['label'] = labels[tuple(_nearest(i, n, m) for i, n, m in zip(pixel, (height, width), labels.shape))]
    _write_colours(cloud, rgb[pixel])
    return cloud


def _project(xyz: np.ndarray, camera_matrix: np.ndarray, distortion: Sequence[float]) -> np.ndarray:
    """Pixel coordinates (2,n) float64, column and row, of points (3,n) before the camera."""
    if not len(distortion):
        fx, fy, cx, cy = _intrinsics(camera_matrix)
        return np.stack([fx * xyz[0] / xyz[2] + cx, fy * xyz[1] / xyz[2] + cy])
    if not xyz.size:
        return np.empty((2, 0))
    points = np.ascontiguousarray(xyz.T)
    pixels, _ = cv2.projectPoints(points, np.zeros(3), np.zeros(3), camera_matrix, np.asarray(distortion, np.float64))
    return np.asarray(pixels.reshape(-1, 2).T)


def _fold_radius(distortion: Sequence[float]) -> float:
    """Distance from the axis at z = 1 where the lens polynomial turns back; points beyond are in no picture."""
    radial = np.array(distortion, np.float64)
    radial[2:4] = 0
    radius = np.linspace(0, 10, 4001)
    rays = np.stack([radius, np.zeros_like(radius), np.ones_like(radius)])
    falls = np.diff(_project(rays, np.eye(3), list(radial))[0]) <= 0
    return float(radius[np.argmax(falls)]) if falls.any() else np.inf


def _intrinsics(camera_matrix: np.ndarray) -> Tuple[float, float, float, float]:
    """fx, fy, cx, cy; ValueError where one is not finite or a focal length not positive, as in an empty CameraInfo."""
    fx, fy, cx, cy = (float(camera_matrix[i]) for i in ((0, 0), (1, 1), (0, 2), (1, 2)))
    if not (0 < fx < np.inf and 0 < fy < np.inf):
        raise ValueError(f'focal lengths are {fx} and {fy}; is the camera calibrated?')
    if not np.isfinite((cx, cy)).all():
        raise ValueError(f'the principal point is at {cx}, {cy}; is the camera calibrated?')
    return fx, fy, cx, cy


def _nearest(index: np.ndarray, size: int, other_size: int) -> np.ndarray:
    """The pixel among ``other_size`` over the same extent that the centre of pixel ``index`` of ``size`` falls into."""
    return (2 * index + 1) * other_size // (2 * size)


def _sampled(image: np.ndarray, size: Tuple[int, int]) -> np.ndarray:
    """An image (h,w,...) at ``size`` by nearest sampling."""
    if image.shape[:2] == size:
        return image
    rows, columns = (_nearest(np.arange(n), n, m) for n, m in zip(size, image.shape))
    return np.asarray(image[rows[:, None], columns])


def _write_colours(points: np.ndarray, rgb: np.ndarray) -> None:
    """Set field rgb to the bits 0x00RRGGBB."""
    bits = rgb[..., 0].astype(np.uint32)
    for channel in (1, 2):
        bits <<= 8
        bits |= rgb[..., channel]
    points['rgb'] = bits.view(np.float32)
