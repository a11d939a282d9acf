# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Clouds against the rendered street's own planes, and their messages against sensor_msgs_py where it is installed."""

from __future__ import annotations

import array
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtseg_models.street import Street
from rtseg_ros.cloud import POINT, _fold_radius, cloud_from_depth, cloud_from_lidar
from rtseg_ros.cloud_codec import depth_from_message, message_from_points, points_from_message
from rtseg_ros.image_codec import BadFrame

XYZ = np.dtype([('x', np.float32), ('y', np.float32), ('z', np.float32)])
CAMERA = np.array([[100.0, 0, 31.5], [0, 90.0, 23.5], [0, 0, 1]])


@pytest.fixture(scope='module')
def street():
    return Street(5, height=180, width=320)


def colours_of(cloud):
    bits = cloud['rgb'].copy().view(np.uint32)
    return np.stack([bits >> 16, bits >> 8 & 255, bits & 255], axis=-1)


def true_points(street, index):
    """Where each pixel's ray meets its surface (H,W,3) float64, nan at the sky."""
    ids, planes = street.geometry(index)
    row, column = np.mgrid[: street.height, : street.width]
    k = street.camera_matrix
    rays = np.stack([(column - k[0, 2]) / k[0, 0], (row - k[1, 2]) / k[1, 1], np.ones(ids.shape)], axis=-1)
    plane = planes[ids]
    points = rays * (-plane[..., 3] / (plane[..., :3] * rays).sum(axis=-1))[..., None]
    points[ids < 0] = np.nan
    return points


def xyz_of(cloud):
    return np.stack([cloud[axis] for axis in 'xyz'], axis=-1).astype(np.float64)


@pytest.mark.parametrize('index', (0, 7))
def test_depth_cloud_lies_on_the_street(street, index):
    frame = street.frame(index)
    cloud = cloud_from_depth(frame.depth_m, frame.label, frame.rgb, street.camera_matrix)
    truth = true_points(street, index)
    assert cloud.shape == frame.label.shape
    assert np.array_equal(np.isnan(cloud['x']), np.isnan(truth[..., 0]))
    assert np.isfinite(truth).mean() > 0.5
    assert np.nanmax(np.linalg.norm(xyz_of(cloud) - truth, axis=-1)) < 1e-3
    assert np.array_equal(cloud['label'], frame.label)
    assert np.array_equal(colours_of(cloud), frame.rgb)


def test_lidar_cloud_lies_on_the_street(street):
    frame = street.frame(3)
    truth = true_points(street, 3)
    seen = np.isfinite(truth[..., 0])
    turn, shift = np.array([[0.0, -1, 0], [0, 0, -1], [1, 0, 0]]), np.array([0.3, -0.7, 0.1])
    camera_from_lidar = np.eye(4)
    camera_from_lidar[:3, :3], camera_from_lidar[:3, 3] = turn, shift
    sweep = np.zeros(seen.sum(), XYZ)
    sweep['x'], sweep['y'], sweep['z'] = ((truth[seen] - shift) @ turn).T
    cloud = cloud_from_lidar(sweep, camera_from_lidar, frame.label, frame.rgb, street.camera_matrix)
    assert len(cloud) == len(sweep)
    assert np.linalg.norm(xyz_of(cloud) - truth[seen], axis=-1).max() < 1e-3
    assert np.array_equal(cloud['label'], frame.label[seen])
    assert np.array_equal(colours_of(cloud), frame.rgb[seen])


def test_invalid_depth_keeps_label_and_place():
    depth = np.array([[1.0, 0.0, -1.0], [np.nan, np.inf, 2.0]], np.float32)
    labels = np.array([[1, 2, 3], [4, 5, 255]], np.uint8)
    cloud = cloud_from_depth(depth, labels, np.zeros((2, 3, 3), np.uint8), CAMERA)
    for axis in 'xyz':
        assert np.array_equal(np.isnan(cloud[axis]), [[False, True, True], [True, True, False]])
    assert np.array_equal(cloud['label'], labels)


def test_millimetres_equal_metres():
    millimetres = np.array([[0, 1, 65535], [1234, 20000, 40000]], np.uint16)
    metres = np.where(millimetres, millimetres / 1000, np.nan).astype(np.float32)
    labels, rgb = np.zeros((2, 3), np.uint8), np.zeros((2, 3, 3), np.uint8)
    ours, theirs = (xyz_of(cloud_from_depth(d, labels, rgb, CAMERA)) for d in (millimetres, metres))
    assert np.allclose(ours, theirs, rtol=1e-6, equal_nan=True)


@pytest.mark.parametrize(('size', 'other'), (((4, 6), (8, 12)), ((8, 12), (4, 6)), ((6, 9), (4, 6)), ((5, 7), (3, 10))))
def test_other_sizes_are_sampled_at_pixel_centres(size, other):
    labels = np.arange(other[0] * other[1], dtype=np.uint8).reshape(other)
    rgb = np.repeat(labels[..., None], 3, axis=2)
    cloud = cloud_from_depth(np.ones(size, np.float32), labels, rgb, CAMERA)
    rows = [int(np.floor((i + 0.5) * other[0] / size[0])) for i in range(size[0])]
    columns = [int(np.floor((i + 0.5) * other[1] / size[1])) for i in range(size[1])]
    assert np.array_equal(cloud['label'], labels[np.ix_(rows, columns)])
    assert np.array_equal(colours_of(cloud)[..., 0], cloud['label'])


def sweep_of(*points):
    return np.array(list(points), XYZ)


def lidar(sweep, labels=None, distortion=(), camera=CAMERA):
    if labels is None:
        labels = np.arange(48 * 64, dtype=np.uint32).astype(np.uint8).reshape(48, 64)
    return cloud_from_lidar(sweep, np.eye(4), labels, np.zeros((48, 64, 3), np.uint8), camera, distortion)


def at_pixel(column, row, z):
    return ((column - 31.5) / 100 * z, (row - 23.5) / 90 * z, z)


def test_only_what_the_image_shows_is_kept():
    inside = [at_pixel(*place, 4) for place in ((-0.49, 0), (63.49, 0), (0, -0.49), (63, 47.49), (30, 20))]
    outside = [at_pixel(*place, 4) for place in ((-0.51, 0), (63.51, 0), (0, -0.51), (63, 47.51))]
    behind = [at_pixel(30, 20, -4), (0, 0, 0), (np.nan, 0, 1), (0, 0, np.inf)]
    cloud = lidar(sweep_of(*outside, *inside, *behind))
    assert np.allclose(xyz_of(cloud), inside)
    assert cloud['label'].tolist() == [0, 63, 0, 47 * 64 % 256 + 63, (20 * 64 + 30) % 256]


def test_labels_of_another_size_than_the_image():
    labels = np.arange(12 * 16, dtype=np.uint8).reshape(12, 16)
    cloud = lidar(sweep_of(at_pixel(3, 3, 2), at_pixel(4, 3, 2), at_pixel(63, 47, 2)), labels)
    assert cloud['label'].tolist() == [0, 1, 12 * 16 - 1]


def distorted(x, y, k1, k2, p1, p2, k3=0.0, k4=0.0, k5=0.0, k6=0.0):
    """The plumb_bob and rational_polynomial models as the CameraInfo documentation's sources have them."""
    r2 = x * x + y * y
    radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
    return x * radial + 2 * p1 * x * y + p2 * (r2 + 2 * x * x), y * radial + p1 * (r2 + 2 * y * y) + 2 * p2 * x * y


@pytest.mark.parametrize(
    'distortion', ((-0.3, 0.1, 0.002, -0.001, 0.01), (0.2, -0.1, 0.001, 0.002, 0.03, 0.4, -0.05, 0.02), (0.0,) * 5)
)
def test_distortion_moves_the_label_not_the_point(distortion):
    rng = np.random.default_rng(0)
    x, y = rng.uniform(-0.28, 0.28, 300), rng.uniform(-0.2, 0.2, 300)
    sweep = np.zeros(300, XYZ)
    sweep['x'], sweep['y'], sweep['z'] = x * 5, y * 5, 5
    cloud = lidar(sweep, distortion=distortion)
    u, v = distorted(x, y, *distortion)
    column, row = 100 * u + 31.5, 90 * v + 23.5
    assert len(cloud) == 300
    clear = (np.abs(column % 1 - 0.5) > 0.01) & (np.abs(row % 1 - 0.5) > 0.01)
    expected = (np.rint(row) * 64 + np.rint(column)) % 256
    assert np.array_equal(cloud['label'][clear], expected[clear])
    assert np.allclose(cloud['x'], sweep['x'])


def test_points_beyond_the_lens_do_not_fold_into_the_image():
    far = sweep_of((1.8, 0, 1))  # k1 = -0.3 brings it to 0.05, near the centre
    assert distorted(1.8, 0, -0.3, 0, 0, 0)[0] < 0.06
    assert len(lidar(far, distortion=(-0.3, 0.0, 0.0, 0.0, 0.0))) == 0


def test_empty_sweeps():
    assert len(lidar(np.zeros(0, XYZ))) == 0
    assert len(lidar(sweep_of((0, 0, -1)), distortion=(0.1, 0, 0, 0, 0))) == 0


def test_an_uncalibrated_camera_is_named():
    with pytest.raises(ValueError, match='calibrated'):
        lidar(sweep_of((0, 0, 1)), camera=np.zeros((3, 3)))
    for odd in ((0, 2, np.nan), (0, 0, np.inf), (1, 1, -1)):
        camera = CAMERA.copy()
        camera[odd[:2]] = odd[2]
        with pytest.raises(ValueError, match='calibrated'):
            lidar(sweep_of((0, 0, 1)), camera=camera, distortion=(0.1, 0, 0, 0))
    for coefficients in ((0.1,), (0.1, 0, 0), (0.1, 0, 0, 0, 0, 0), (0.1, np.nan, 0, 0)):
        with pytest.raises(ValueError, match='distortion is'):
            lidar(sweep_of((0, 0, 1)), distortion=coefficients)
    with pytest.raises(ValueError, match='float64'):
        cloud_from_depth(np.ones((2, 2)), np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), CAMERA)


def duck():
    return SimpleNamespace(data=array.array('B'))


@pytest.mark.parametrize('shape', ((6,), (3, 4), (0,)))
def test_message_round_trip(shape):
    message_type, field_type = duck, SimpleNamespace
    points = np.zeros(shape, POINT)
    rng = np.random.default_rng(1)
    for name in ('x', 'y', 'z', 'rgb'):
        points[name] = rng.normal(size=shape)
    points['label'] = rng.integers(0, 256, shape)
    msg = message_from_points(points, 'header', message_type, field_type)
    assert msg.header == 'header'
    assert (msg.point_step, msg.row_step, msg.is_dense) == (20, 20 * shape[-1], True)
    assert (msg.height, msg.width) == (shape if len(shape) == 2 else (1, *shape))
    fields = [(f.name, f.offset, f.datatype, f.count) for f in msg.fields]
    assert fields == [('x', 0, 7, 1), ('y', 4, 7, 1), ('z', 8, 7, 1), ('rgb', 12, 7, 1), ('label', 16, 2, 1)]
    back = points_from_message(msg, POINT.names)
    assert all(np.array_equal(back[name].ravel(), points[name].ravel()) for name in POINT.names)


def test_a_cloud_with_holes_is_not_dense():
    labels, rgb = np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8)
    cloud = cloud_from_depth(np.zeros((2, 2), np.float32), labels, rgb, CAMERA)
    assert message_from_points(cloud, None, duck, SimpleNamespace).is_dense is False


def test_agrees_with_sensor_msgs_py():
    oracle = pytest.importorskip('sensor_msgs_py.point_cloud2', reason='sensor_msgs_py is on ROS installations only')
    messages = pytest.importorskip('sensor_msgs.msg')
    header = pytest.importorskip('std_msgs.msg').Header(frame_id='camera')
    points = np.zeros((5, 7), POINT)
    for i, name in enumerate(POINT.names):
        points[name] = np.arange(35).reshape(5, 7) + i
    ours = message_from_points(points, header, messages.PointCloud2, messages.PointField)
    assert np.array_equal(oracle.read_points(ours), points.ravel())
    theirs = oracle.create_cloud(header, ours.fields, points.ravel(), point_step=POINT.itemsize)
    assert points_from_message(theirs, POINT.names).tolist() == [points.ravel().tolist()]


CODES = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}


@settings(max_examples=600, deadline=None, database=None, derandomize=True)
@given(
    datatypes=st.lists(st.sampled_from(sorted(CODES)), min_size=1, max_size=3),
    gaps=st.lists(st.integers(0, 5), min_size=3, max_size=3),
    size=st.tuples(st.integers(0, 4), st.integers(0, 5)),
    row_padding=st.integers(-3, 9),
    missing=st.sampled_from((0, 0, 0, 1, 30)),
    big=st.booleans(),
)
def test_any_layout_is_read_or_refused(datatypes, gaps, size, row_padding, missing, big):
    height, width = size
    fields, offset = [], 0
    for number, (datatype, gap) in enumerate(zip(datatypes, gaps)):
        fields.append(SimpleNamespace(name=f'f{number}', offset=offset + gap, datatype=datatype, count=1))
        offset += gap + np.dtype(CODES[datatype]).itemsize
    row_step = max(0, offset * width + row_padding)
    expected = {f.name: np.random.default_rng(2).integers(0, 100, size).astype(CODES[f.datatype]) for f in fields}
    block = bytearray(b'\xaa' * (max(row_step, offset * width) * height))
    for f in fields:
        for i in range(height):
            for j in range(width):
                value = expected[f.name][i, j].tobytes()
                at = i * row_step + j * offset + f.offset
                block[at : at + len(value)] = value[::-1] if big else value
    data = bytes(block[: row_step * height if height > 1 else width * offset])
    data = data[: len(data) - missing] if missing else data
    msg = SimpleNamespace(
        height=height, width=width, fields=fields, is_bigendian=big, point_step=offset, row_step=row_step, data=data
    )
    names = [f.name for f in fields]
    fits = not missing and (height <= 1 or row_step >= width * offset)
    if height * width and not fits:
        with pytest.raises(BadFrame) as caught:
            points_from_message(msg, names)
        assert caught.value.reason == 'bad_size'
    elif height * width:
        points = points_from_message(msg, names)
        assert all(np.array_equal(points[name], expected[name]) for name in names)


@pytest.mark.parametrize(
    ('change', 'reason'),
    (
        ({'fields': []}, 'bad_encoding'),
        ({'datatype': 9}, 'bad_encoding'),
        ({'datatype': 0}, 'bad_encoding'),
        ({'count': 3}, 'bad_encoding'),
        ({'count': 0}, 'bad_encoding'),
        ({'offset': 9}, 'bad_size'),
        ({'point_step': 0}, 'bad_size'),
        ({'point_step': 2**32 - 1}, 'bad_size'),
        ({'width': 2**32 - 1, 'height': 2**32 - 1}, 'bad_size'),
        ({'data': b''}, 'bad_size'),
    ),
)
def test_cloud_refusals(change, reason):
    def fields(**changed):
        z = {'name': 'z', 'offset': 8, 'datatype': 7, 'count': 1, **changed}
        xy = [SimpleNamespace(name=n, offset=o, datatype=7, count=1) for n, o in (('x', 0), ('y', 4))]
        return [*xy, SimpleNamespace(**z)]

    good = {'height': 1, 'width': 2, 'is_bigendian': False, 'point_step': 12, 'row_step': 24, 'data': bytes(24)}
    assert points_from_message(SimpleNamespace(fields=fields(), **good)).shape == (1, 2)
    in_field = {k: v for k, v in change.items() if k in ('datatype', 'count', 'offset')}
    in_cloud = {k: v for k, v in change.items() if k not in in_field}
    with pytest.raises(BadFrame) as caught:
        points_from_message(SimpleNamespace(**{'fields': fields(**in_field), **good, **in_cloud}))
    assert caught.value.reason == reason


@pytest.mark.parametrize('big', (0, 1))
@pytest.mark.parametrize(('encoding', 'dtype'), (('32FC1', np.float32), ('16UC1', np.uint16), ('mono16', np.uint16)))
def test_depth_images_of_either_byte_order(encoding, dtype, big):
    depth = np.arange(1, 13).reshape(3, 4).astype(dtype)
    rows = depth.astype(depth.dtype.newbyteorder('>' if big else '<')).view(np.uint8)
    padded = np.full((3, rows.shape[1] + 3), 0xAA, np.uint8)
    padded[:, : rows.shape[1]] = rows
    msg = SimpleNamespace(
        height=3, width=4, encoding=encoding, is_bigendian=big, step=padded.shape[1], data=padded.tobytes()
    )
    assert np.array_equal(depth_from_message(msg), depth)
    assert depth_from_message(msg).dtype == dtype
    for change, reason in (({'encoding': 'rgb8'}, 'bad_encoding'), ({'data': bytes(3)}, 'bad_size')):
        with pytest.raises(BadFrame) as caught:
            depth_from_message(SimpleNamespace(**{**vars(msg), **change}))
        assert caught.value.reason == reason


def test_tangential_distortion_does_not_fold():
    assert _fold_radius((0.0, 0.0, 0.0, -0.2, 0.0)) == np.inf
