# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From camera pixels to the network's input. Normalisation is not here: it is the first layer of the graph."""

from __future__ import annotations

from typing import Optional

import cv2
import numpy as np

from ..card import Size


def stretch(rgb: np.ndarray, size: Size, out: Optional[np.ndarray] = None) -> np.ndarray:
    """Rgb (H,W,3) uint8 stretched to ``size`` as (1,h,w,3) uint8; ``out`` is reused where given.

    Bilinear at half-pixel centres. An image of the right size is passed on without a copy, unless it is read-only (a
    view of a message's bytes), which runtimes do not take.
    """
    h, w = size
    if rgb.shape[:2] == size and rgb.flags.c_contiguous and rgb.flags.writeable:
        return rgb[None]
    if out is None:
        out = np.empty((1, h, w, 3), np.uint8)
    cv2.resize(rgb, (w, h), dst=out[0], interpolation=cv2.INTER_LINEAR)
    return out
