# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The renderer: determinism, and labels and depth that are those of the surfaces it claims to show."""

from __future__ import annotations

import subprocess
import sys
import zlib

import numpy as np
import pytest

from rtseg_models.labels import CAMVID
from rtseg_models.street import Street, StreetFrame

SIZE = {'height': 180, 'width': 320}
SKY, ROAD = CAMVID.names.index('sky'), CAMVID.names.index('road')


@pytest.fixture(scope='module')
def street() -> Street:
    return Street(3, **SIZE)


def same(a: StreetFrame, b: StreetFrame) -> bool:
    return all(np.array_equal(getattr(a, k), getattr(b, k)) for k in ('rgb', 'label', 'depth_m'))


def test_same_seed_same_bytes(street: Street) -> None:
    assert same(street.frame(7), Street(3, **SIZE).frame(7))


def test_another_process_draws_the_same(street: Street) -> None:
    code = (
        'import zlib; from rtseg_models.street import Street;'
        f'print(zlib.crc32(Street(3, height={SIZE["height"]}, width={SIZE["width"]}).frame(7).rgb.tobytes()))'
    )
    out = subprocess.run([sys.executable, '-c', code], check=True, capture_output=True, text=True).stdout
    assert int(out) == zlib.crc32(street.frame(7).rgb.tobytes())


def test_other_seeds_are_other_streets(street: Street) -> None:
    frames = [street.frame(0), *(Street(seed, **SIZE).frame(0) for seed in (4, 5))]
    for i, a in enumerate(frames):
        for b in frames[:i]:
            assert np.mean(a.label != b.label) > 0.05
            assert np.abs(a.rgb.astype(int) - b.rgb).mean() > 5


def test_any_order(street: Street) -> None:
    later, first = street.frame(400), street.frame(0)
    fresh = Street(3, **SIZE)
    for index in (0, 100, 200, 300):
        fresh.frame(index)
    assert same(later, fresh.frame(400))
    assert same(first, fresh.frame(0))


def test_frames_share_no_memory(street: Street) -> None:
    frame = street.frame(0)
    before = street.frame(0).rgb.copy()
    frame.rgb[:] = 0
    assert np.array_equal(street.frame(0).rgb, before)


@pytest.mark.parametrize('size', [(181, 319), (360, 480), (33, 64), (16, 16), (64, 33)])
def test_sizes_and_types(size: tuple[int, int]) -> None:
    height, width = size
    frame = Street(1, height=height, width=width, rate_hz=4.0).frame(2)
    assert frame.rgb.shape == (height, width, 3)
    assert frame.rgb.dtype == np.uint8
    assert frame.label.shape == frame.depth_m.shape == (height, width)
    assert frame.label.dtype == np.uint8
    assert frame.depth_m.dtype == np.float32
    assert frame.label.max() < len(CAMVID)
    assert frame.stamp_s == 0.5


def test_depth_is_infinite_where_the_sky_is(street: Street) -> None:
    for index in (0, 50):
        frame = street.frame(index)
        assert np.array_equal(np.isinf(frame.depth_m), frame.label == SKY)
        assert frame.depth_m.min() > 0


@pytest.mark.parametrize('seed', [0, 3, 11])
def test_every_pixel_lies_on_its_surface(seed: int) -> None:
    street = Street(seed, **SIZE)
    frame = street.frame(12)
    surface, planes = street.geometry(12)
    assert np.allclose(np.linalg.norm(planes[:, :3], axis=1), 1)
    assert np.array_equal(surface < 0, frame.label == SKY)
    v, u = np.nonzero(surface >= 0)
    rays = np.linalg.inv(street.camera_matrix) @ np.stack([u, v, np.ones_like(u)]).astype(float)
    points = rays * frame.depth_m[v, u]
    plane = planes[surface[v, u]].T
    distance = np.abs((plane[:3] * points).sum(axis=0) + plane[3])
    assert distance.max() < 1e-3


def test_a_surface_has_one_label(street: Street) -> None:
    frame = street.frame(12)
    surface, _ = street.geometry(12)
    for label in range(len(CAMVID)):
        ids = np.unique(surface[frame.label == label])
        others = np.unique(surface[frame.label != label])
        assert not np.intersect1d(ids, others).size


def test_road_is_where_the_camera_stands(street: Street) -> None:
    """The road's pixels, put back into space, lie in one level plane at the camera's height below it."""
    frame = street.frame(0)
    v, u = np.nonzero(frame.label == ROAD)
    rays = np.linalg.inv(street.camera_matrix) @ np.stack([u, v, np.ones_like(u)]).astype(float)
    points = (rays * frame.depth_m[v, u]).T
    _, _, basis = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    height = abs(points.mean(axis=0) @ basis[2])
    assert 1.2 < height < 1.7


def test_classes_and_their_shares() -> None:
    counts = np.zeros(len(CAMVID), np.int64)
    for seed in range(8):
        frame = Street(seed, **SIZE).frame(20)
        counts += np.bincount(frame.label.ravel(), minlength=len(CAMVID))
        rows = np.arange(SIZE['height'])[:, None] * np.ones((1, SIZE['width']))
        assert rows[frame.label == ROAD].mean() > 0.6 * SIZE['height']
        assert rows[frame.label == SKY].max() < 0.75 * SIZE['height']
    share = dict(zip(CAMVID.names, counts / counts.sum()))
    assert all(share[name] > 0.0005 for name in CAMVID.names), share
    for name, low, high in (
        ('sky', 0.08, 0.30),
        ('building', 0.12, 0.40),
        ('road', 0.18, 0.40),
        ('pavement', 0.02, 0.12),
        ('tree', 0.04, 0.22),
        ('car', 0.02, 0.14),
    ):
        assert low < share[name] < high, (name, share[name])


def test_the_camera_moves_forward(street: Street) -> None:
    a, b = street.frame(0), street.frame(5)
    assert np.mean(a.label != b.label) > 0.01
    moved = [f.depth_m[f.label != SKY].mean() for f in (a, b)]
    assert moved[0] != moved[1]


def test_bad_arguments() -> None:
    with pytest.raises(ValueError, match='seed is -1'):
        Street(-1)
    with pytest.raises(ValueError, match='8x100'):
        Street(0, height=8, width=100)
    with pytest.raises(ValueError, match='rate_hz'):
        Street(0, rate_hz=0.0)
    with pytest.raises(ValueError, match='index is -1'):
        Street(0, height=16, width=16).frame(-1)
