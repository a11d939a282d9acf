# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import cv2
import numpy as np

from rtseg_models.engine.preprocess import stretch


def image(height=30, width=50):
    return np.random.default_rng(2).integers(0, 256, (height, width, 3), np.uint8)


def test_an_image_is_stretched_into_the_given_buffer():
    rgb, out = image(), np.empty((1, 16, 32, 3), np.uint8)
    assert stretch(rgb, (16, 32), out) is out
    np.testing.assert_array_equal(out[0], cv2.resize(rgb, (32, 16), interpolation=cv2.INTER_LINEAR))


def test_an_image_of_the_right_size_is_not_copied():
    rgb = image()
    stretched = stretch(rgb, (30, 50))
    assert stretched.shape == (1, 30, 50, 3) and np.shares_memory(stretched, rgb)


def test_read_only_and_padded_images_of_the_right_size_are_copied():
    frozen = image()
    frozen.flags.writeable = False
    padded = image(30, 64)[:, :50]
    for rgb in (frozen, padded):
        stretched = stretch(rgb, (30, 50), np.empty((1, 30, 50, 3), np.uint8))
        np.testing.assert_array_equal(stretched[0], rgb)
        assert stretched.flags.writeable and stretched.flags.c_contiguous


def test_a_padded_or_mirrored_view_is_stretched_as_it_looks():
    rgb = image(30, 64)
    for view in (rgb[:, :50], rgb[::-1], rgb[:, ::-1]):
        wanted = cv2.resize(np.ascontiguousarray(view), (32, 16), interpolation=cv2.INTER_LINEAR)
        np.testing.assert_array_equal(stretch(view, (16, 32))[0], wanted)
