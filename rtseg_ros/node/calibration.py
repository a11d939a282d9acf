# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera's calibration, and what it says of an image that may have another size than the calibrated one.

The calibration is of the whole sensor; the image is its region of interest, binned, and perhaps resized by a driver.
Pixel centres are at whole numbers.
"""

from __future__ import annotations

from typing import Any, Optional, Tuple

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo

from rtseg_models.card import Size

from .subscription import SuitedSubscription


class CalibrationInput(SuitedSubscription):
    """The newest calibration on a topic, until its publisher goes: ``info``. It may come once, so it stays unwanted."""

    def __init__(self, node: Node, name: str, *, depth: int) -> None:
        super().__init__(node, name, CameraInfo, self._keep, depth=depth)
        self.info: Optional[CameraInfo] = None
        self._published = False

    def follow(self, wanted: bool) -> None:
        published = self._node.count_publishers(self.topic) > 0
        if self._published and not published:
            self.forget()
        self._published = published
        super().follow(wanted)

    def forget(self) -> None:
        """Drop the calibration and what may still be on its way."""
        self.close()
        self.info = None

    def _keep(self, message: CameraInfo) -> None:
        self.info = message


def rescaled(info: CameraInfo, size: Size, header: Any) -> CameraInfo:
    """The camera's calibration for its image stretched to ``size`` (height, width), under ``header``.

    Region of interest and binning stay such.
    """
    height, width = size
    down, across = _factors(info, size)
    k, p = _k(info), _p(info)
    for matrix in (k, p):
        _stretch(matrix, down, across)
    out = CameraInfo(header=header, distortion_model=info.distortion_model)
    out.height, out.width = round(info.height * down) or height, round(info.width * across) or width
    out.d, out.k, out.r, out.p = info.d, k.ravel(), info.r, p.ravel()
    out.binning_x, out.binning_y = info.binning_x, info.binning_y
    out.roi.x_offset, out.roi.width = round(info.roi.x_offset * across), round(info.roi.width * across)
    out.roi.y_offset, out.roi.height = round(info.roi.y_offset * down), round(info.roi.height * down)
    out.roi.do_rectify = info.roi.do_rectify
    return out


def image_matrix(info: CameraInfo, size: Size) -> np.ndarray:
    """The camera matrix (3,3) of a raw image of ``size``: ``info.k`` is the whole sensor's. ValueError: ``misfit``."""
    return _of_image(_k(info), info, size)


def rectified_matrix(info: CameraInfo, size: Size) -> np.ndarray:
    """As ``image_matrix`` of a rectified image, from ``info.p``; the raw one's where ``p`` is not filled."""
    return _of_image(_p(info)[:, :3], info, size) if info.p[0] > 0 else image_matrix(info, size)


def misfit(info: CameraInfo, size: Size) -> str:
    """Why an image of ``size`` is not the calibrated one resized: a clause; empty where it is, but for rounding."""
    (rows, columns), (down, across) = _calibrated_size(info), _factors(info, size)
    if not rows or not columns or abs(down - across) <= 1 / rows + 1 / columns:
        return ''
    return f'camera_info is of {rows:g}x{columns:g} images and this one is {size[0]}x{size[1]}: another aspect ratio'


def _k(info: CameraInfo) -> np.ndarray:
    return np.array(info.k, np.float64).reshape(3, 3)


def _p(info: CameraInfo) -> np.ndarray:
    return np.array(info.p, np.float64).reshape(3, 4)


def _calibrated_size(info: CameraInfo) -> Tuple[float, float]:
    """Rows and columns of the calibrated image; 0 where they are not filled."""
    rows = (info.roi.height or info.height) / max(info.binning_y, 1)
    return rows, (info.roi.width or info.width) / max(info.binning_x, 1)


def _factors(info: CameraInfo, size: Size) -> Tuple[float, float]:
    """By how much ``size`` is larger than the calibrated image, down and across."""
    rows, columns = _calibrated_size(info)
    return size[0] / (rows or size[0]), size[1] / (columns or size[1])


def _stretch(matrix: np.ndarray, down: float, across: float) -> None:
    """Have a camera matrix (3,3) or projection (3,4) be of a larger image; centres c go to (c + 0.5) * factor - 0.5."""
    for row, factor in ((0, across), (1, down)):
        matrix[row] *= factor
        matrix[row, 2] += (factor - 1) / 2


def _of_image(matrix: np.ndarray, info: CameraInfo, size: Size) -> np.ndarray:
    """A matrix of the whole sensor made that of its region of interest, binned and stretched to ``size``."""
    wrong = misfit(info, size)
    if wrong:
        raise ValueError(wrong)
    down, across = _factors(info, size)
    matrix[:2, 2] -= info.roi.x_offset, info.roi.y_offset
    _stretch(matrix, down / max(info.binning_y, 1), across / max(info.binning_x, 1))
    return matrix
