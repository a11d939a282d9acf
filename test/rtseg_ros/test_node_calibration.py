# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a calibration says of images of its own size and of others."""

import numpy as np
import pytest

pytest.importorskip('rclpy')
from sensor_msgs.msg import CameraInfo

from rtseg_ros.node.calibration import image_matrix, misfit, rectified_matrix, rescaled


def test_a_calibration_is_rescaled_in_each_axis_by_its_own_factor():
    info = CameraInfo(height=720, width=1280)
    info.k = [1000.0, 0.0, 639.5, 0.0, 900.0, 359.5, 0.0, 0.0, 1.0]
    info.p = [1000.0, 0.0, 639.5, -100.0, 0.0, 900.0, 359.5, -40.0, 0.0, 0.0, 1.0, 0.0]
    info.roi.x_offset, info.roi.width, info.roi.y_offset, info.roi.height = 640, 640, 360, 360
    out = rescaled(info, (180, 160), info.header)  # half of the region's rows, a quarter of its columns
    assert list(out.k) == pytest.approx([250.0, 0, 159.5, 0, 450.0, 179.5, 0, 0, 1])
    assert list(out.p) == pytest.approx([250.0, 0, 159.5, -25.0, 0, 450.0, 179.5, -20.0, 0, 0, 1, 0])
    assert (out.roi.x_offset, out.roi.width, out.roi.y_offset, out.roi.height) == (160, 160, 180, 180)


@pytest.mark.parametrize('binning', [1, 2])
def test_a_calibration_of_another_size_gives_the_matrix_of_the_images_own(binning):
    """An image of half the calibrated size, of a region of interest too, sees a point at the pixel that holds it."""
    info = CameraInfo(height=720, width=1280, binning_x=binning, binning_y=binning)
    info.k = [1000.0, 0.0, 639.5, 0.0, 900.0, 359.5, 0.0, 0.0, 1.0]
    info.p = [500.0, 0.0, 639.5, -100.0, 0.0, 450.0, 359.5, -40.0, 0.0, 0.0, 1.0, 0.0]
    size = (360 // binning, 640 // binning)
    centre = [size[1] / 2 - 0.5, size[0] / 2 - 0.5]
    for found, focal in ((image_matrix(info, size), (1000, 900)), (rectified_matrix(info, size), (500, 450))):
        assert np.diag(found) == pytest.approx([focal[0] / 2 / binning, focal[1] / 2 / binning, 1])
        assert found[:2, 2] == pytest.approx(centre)
    info.roi.x_offset, info.roi.width, info.roi.y_offset, info.roi.height = 320, 640, 90, 360
    assert image_matrix(info, (size[0] // 2, size[1] // 2))[:2, 2] == pytest.approx(
        [size[1] / 4 - 0.5, 135 / binning - 0.5]
    )


def test_a_calibration_fits_images_of_its_aspect_ratio_but_for_rounding():
    info = CameraInfo(height=1544, width=2064)
    for size in ((1544, 2064), (480, 641), (480, 642), (386, 516), (97, 129), (3088, 4128)):
        assert not misfit(info, size)
    assert not misfit(CameraInfo(), (480, 640))
    for size in ((480, 630), (720, 1280), (1544, 2048), (2064, 1544)):
        told = misfit(info, size)
        assert '1544x2064' in told and f'{size[0]}x{size[1]}' in told
        with pytest.raises(ValueError, match='1544x2064'):
            image_matrix(info, size)


@pytest.mark.parametrize('binning', [0, 1, 2])
def test_calibration_of_a_region_of_interest_stays_the_sensors(binning):
    factor = max(binning, 1)
    info = CameraInfo(height=720, width=1280, binning_x=binning, binning_y=binning)
    info.k = [1000.0, 0.0, 639.5, 0.0, 1000.0, 359.5, 0.0, 0.0, 1.0]
    info.roi.y_offset, info.roi.height, info.roi.width = 360, 360, 1280
    image = (360 // factor, 1280 // factor)
    same = rescaled(info, image, info.header)
    assert same == info
    half = rescaled(info, (image[0] // 2, image[1] // 2), info.header)
    assert (half.height, half.width, half.roi.y_offset, half.roi.height) == (360, 640, 180, 180)
    assert half.k == pytest.approx([500.0, 0.0, 319.5, 0.0, 500.0, 179.5, 0.0, 0.0, 1.0])
    seen = image_matrix(info, image)
    assert seen[:2, :2] == pytest.approx(np.diag([1000.0, 1000.0]) / factor)
    assert seen[:2, 2] == pytest.approx([640 / factor - 0.5, -0.5])  # the optical axis meets the upper edge


def test_a_rectified_image_has_the_projections_matrix():
    info = CameraInfo(height=720, width=1280)
    info.k = [700.0, 0.0, 639.5, 0.0, 700.0, 359.5, 0.0, 0.0, 1.0]
    size = (720, 1280)
    assert np.array_equal(rectified_matrix(info, size), image_matrix(info, size))
    info.p = [560.0, 0.0, 640.0, -50.0, 0.0, 560.0, 360.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    assert np.array_equal(rectified_matrix(info, size), [[560, 0, 640], [0, 560, 360], [0, 0, 1]])
    info.roi.x_offset = 40
    assert rectified_matrix(info, size)[0, 2] == 600
