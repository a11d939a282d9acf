# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every encoding against numpy formulas, and 10,000 hostile messages whose buffers end at a page that kills readers."""

from __future__ import annotations

import array
import ctypes
import mmap
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from rtseg_ros.image_codec import ENCODINGS, BadFrame, decode_image, encode_image

PIXEL_BYTES = {'mono16': 2, '16UC1': 2, 'yuv422': 2, 'uyvy': 2, 'yuv422_yuy2': 2, 'yuyv': 2}
PIXEL_BYTES.update({'rgb8': 3, 'bgr8': 3, '8UC3': 3, 'rgba8': 4, 'bgra8': 4, '8UC4': 4})
CHANNELS = {'rgb8': (0, 1, 2), 'bgr8': (2, 1, 0), 'rgba8': (0, 1, 2), 'bgra8': (2, 1, 0)}
CHANNELS.update({'8UC3': (2, 1, 0), '8UC4': (2, 1, 0), 'mono8': (0, 0, 0), '8UC1': (0, 0, 0)})
YUV_ORDER = {'yuv422': 'UYVY', 'uyvy': 'UYVY', 'yuv422_yuy2': 'YUYV', 'yuyv': 'YUYV'}


def row_bytes(encoding, width):
    return PIXEL_BYTES.get(encoding, 1) * width


def row_count(encoding, height):
    return height * 3 // 2 if encoding in ('nv12', 'nv21') else height


def message(encoding, height, width, rows, step, is_bigendian=0):
    """A message of rows (n, row bytes), with padding that no picture may show."""
    padded = np.full((len(rows), step), 0xAA, np.uint8)
    padded[:, : rows.shape[1]] = rows
    return SimpleNamespace(
        height=height, width=width, encoding=encoding, is_bigendian=is_bigendian, step=step, data=padded.tobytes()
    )


def yuv_to_rgb(y, u, v):
    """BT.601, luma 16-235, chroma 16-240."""
    y, u, v = 1.164 * (np.maximum(y, 16.0) - 16), u - 128.0, v - 128.0
    rgb = np.stack([y + 1.596 * v, y - 0.813 * v - 0.391 * u, y + 2.018 * u], axis=-1)
    return np.clip(rgb, 0, 255)


def each_twice(samples, axis):
    return np.repeat(samples, 2, axis=axis)


def demosaic(mosaic, pattern):
    """Bilinear: every missing colour is the mean of the nearest samples of that colour; borders are not meant."""
    height, width = mosaic.shape
    rgb = np.zeros((height, width, 3))
    for channel, letter in enumerate('rgb'):
        plane, weight = np.zeros((height + 2, width + 2)), np.zeros((height + 2, width + 2))
        for i, colour in enumerate(pattern):
            if colour == letter:
                plane[1 + i // 2 : height + 1 : 2, 1 + i % 2 : width + 1 : 2] = mosaic[i // 2 :: 2, i % 2 :: 2]
                weight[1 + i // 2 : height + 1 : 2, 1 + i % 2 : width + 1 : 2] = 1
        kernel = ((0, 1, 0), (1, 4, 1), (0, 1, 0)) if letter == 'g' else ((1, 2, 1), (2, 4, 2), (1, 2, 1))
        shifts = [(a, b) for a in range(3) for b in range(3)]
        total = sum(kernel[a][b] * plane[a : a + height, b : b + width] for a, b in shifts)
        rgb[..., channel] = total / sum(kernel[a][b] * weight[a : a + height, b : b + width] for a, b in shifts)
        known = weight[1:-1, 1:-1] == 1
        rgb[..., channel][known] = mosaic[known]
    return rgb


def reference(encoding, height, width, rows, is_bigendian=0):
    """The picture (H,W,3) float and the tolerance it may be missed by."""
    if encoding in CHANNELS:
        pixels = rows.reshape(height, width, -1)
        return pixels[..., list(CHANNELS[encoding])].astype(float), 0
    if encoding in ('mono16', '16UC1'):
        high, low = (0, 1) if is_bigendian else (1, 0)
        value = rows[:, high::2] * 256.0 + rows[:, low::2]
        return np.repeat(np.rint(value / 257)[..., None], 3, axis=2), 0
    if encoding in YUV_ORDER:
        order = YUV_ORDER[encoding]
        luma = rows[:, order.index('Y') :: 2].astype(float)
        u, v = (each_twice(rows[:, order.index(c) :: 4].astype(float), 1) for c in 'UV')
        return yuv_to_rgb(luma, u, v), 2
    if encoding in ('nv12', 'nv21'):
        luma, chroma = rows[:height].astype(float), rows[height:].astype(float)
        first, second = (each_twice(each_twice(chroma[:, i::2], 0), 1) for i in (0, 1))
        return yuv_to_rgb(luma, *((first, second) if encoding == 'nv12' else (second, first))), 2
    return demosaic(rows.astype(float), encoding[len('bayer_') : -1]), 1


def assert_shows(picture, encoding, height, width, rows, is_bigendian=0):
    expected, tolerance = reference(encoding, height, width, rows, is_bigendian)
    assert picture.shape == (height, width, 3)
    assert picture.dtype == np.uint8
    inner = (slice(1, -1), slice(1, -1)) if encoding.startswith('bayer') else (slice(None),)
    assert np.abs(picture.astype(float)[inner] - expected[inner]).max(initial=0) <= tolerance


@pytest.mark.parametrize('padding', (0, 1, 2, 37, 64))
@pytest.mark.parametrize('encoding', ENCODINGS)
def test_encoding_matches_formula(encoding, padding):
    height, width = 18, 34
    rows = np.random.default_rng(1).integers(
        0, 256, (row_count(encoding, height), row_bytes(encoding, width)), np.uint8
    )
    for is_bigendian in (0, 1):
        msg = message(encoding, height, width, rows, rows.shape[1] + padding, is_bigendian)
        assert_shows(decode_image(msg), encoding, height, width, rows, is_bigendian)


@pytest.mark.parametrize('pattern', ('rggb', 'bggr', 'gbrg', 'grbg'))
def test_bayer_pattern_is_named_from_the_corner(pattern):
    colour = (200, 120, 40)
    mosaic = np.empty((8, 8), np.uint8)
    for i, letter in enumerate(pattern):
        mosaic[i // 2 :: 2, i % 2 :: 2] = colour['rgb'.index(letter)]
    picture = decode_image(message(f'bayer_{pattern}8', 8, 8, mosaic, 8))
    assert (picture == colour).all()


@pytest.mark.parametrize(
    ('encoding', 'sample', 'rgb'),
    (
        ('yuv422', (128, 16, 128, 235), ((0, 0, 0), (255, 255, 255))),
        ('yuv422_yuy2', (81, 90, 81, 240), ((254, 0, 0), (254, 0, 0))),
        ('yuv422', (90, 81, 240, 81), ((254, 0, 0), (254, 0, 0))),
    ),
)
def test_limited_range_anchors(encoding, sample, rgb):
    picture = decode_image(message(encoding, 1, 2, np.array([sample], np.uint8), 4))
    assert np.abs(picture[0].astype(int) - rgb).max() <= 2


def test_nv12_chroma_rows_follow_padded_luma():
    rows = np.array([[81] * 4] * 2 + [[90, 240] * 2], np.uint8)
    red = decode_image(message('nv12', 2, 4, rows, 11))
    assert np.abs(red.astype(int) - (254, 0, 0)).max() <= 2
    blue = decode_image(message('nv21', 2, 4, rows, 11))
    assert blue[..., 2].min() > 250 > 100 > blue[..., 0].max()


@pytest.mark.parametrize('padding', (0, 5))
@pytest.mark.parametrize('container', (bytes, bytearray, lambda b: array.array('B', b), memoryview))
def test_rgb8_is_a_view(padding, container):
    rows = np.random.default_rng(2).integers(0, 256, (4, 15), np.uint8)
    msg = message('rgb8', 4, 5, rows, 15 + padding)
    msg.data = container(msg.data)
    picture = decode_image(msg)
    assert np.shares_memory(picture, np.frombuffer(msg.data, np.uint8))
    assert np.array_equal(picture, rows.reshape(4, 5, 3))


def test_lists_and_numpy_data():
    rows = np.arange(12, dtype=np.uint8).reshape(2, 6)
    for data in (list(range(12)), tuple(range(12)), np.arange(12, dtype=np.uint8)):
        msg = message('rgb8', 2, 2, rows, 6)
        msg.data = data
        assert np.array_equal(decode_image(msg).reshape(2, 6), rows)


@pytest.mark.parametrize('data', ([1, 2, 300], ['a', 'b', 'c'], np.arange(12, dtype=np.uint8)[::2], None))
def test_data_that_is_no_bytes(data):
    with pytest.raises(BadFrame) as caught:
        decode_image(SimpleNamespace(height=1, width=1, encoding='rgb8', is_bigendian=0, step=3, data=data))
    assert caught.value.reason == 'decode'


@pytest.mark.parametrize(
    ('change', 'reason'),
    (
        ({'encoding': 'yuv999'}, 'bad_encoding'),
        ({'encoding': ''}, 'bad_encoding'),
        ({'encoding': 'RGB8'}, 'bad_encoding'),
        ({'height': 0}, 'bad_size'),
        ({'width': 0}, 'bad_size'),
        ({'step': 0}, 'bad_size'),
        ({'step': 11}, 'bad_size'),
        ({'data': bytes(47)}, 'bad_size'),
        ({'data': b''}, 'bad_size'),
        ({'step': 2**32 - 1}, 'bad_size'),
        ({'height': 5}, 'bad_size'),
        ({'height': 6000, 'width': 6000}, 'too_large'),
        ({'height': 2**32 - 1, 'width': 2**32 - 1}, 'too_large'),
        ({'encoding': 'yuv422', 'width': 3}, 'bad_size'),
        ({'encoding': 'nv12', 'width': 3, 'height': 2}, 'bad_size'),
        ({'encoding': 'nv21', 'width': 2, 'height': 3}, 'bad_size'),
        ({'encoding': 'nv12', 'data': bytes(12 * 6 - 1)}, 'bad_size'),
        ({'encoding': 'bayer_rggb8', 'height': 2}, 'bad_size'),
    ),
)
def test_refusals(change, reason, without_cv_bridge):
    good = {'height': 4, 'width': 4, 'encoding': 'rgb8', 'is_bigendian': 0, 'step': 12, 'data': bytes(48)}
    decode_image(SimpleNamespace(**good))
    with pytest.raises(BadFrame) as caught:
        decode_image(SimpleNamespace(**{**good, **change}))
    assert caught.value.reason == reason
    if reason == 'bad_encoding':
        assert all(encoding in str(caught.value) for encoding in ENCODINGS)


def test_longer_data_and_the_pixel_bound():
    rows = np.arange(36, dtype=np.uint8).reshape(3, 12)
    msg = message('rgb8', 3, 4, rows, 12)
    msg.data += b'more'
    assert np.array_equal(decode_image(msg, max_pixels=12).reshape(3, 12), rows)
    with pytest.raises(BadFrame, match='11'):
        decode_image(msg, max_pixels=11)
    with pytest.raises(BadFrame, match='65500 is the longest side') as thin:
        decode_image(message('mono8', 1, 65501, np.zeros((1, 65501), np.uint8), 65501))
    assert thin.value.reason == 'too_large'


def test_override_replaces_the_encoding():
    rows = np.arange(6, dtype=np.uint8).reshape(1, 6)
    msg = message('rgb8', 1, 2, rows, 6)
    assert np.array_equal(decode_image(msg, encoding_override='bgr8')[0], rows.reshape(2, 3)[:, ::-1])
    with pytest.raises(BadFrame, match='rgb9'):
        decode_image(msg, encoding_override='rgb9')


@pytest.fixture
def without_cv_bridge(monkeypatch):
    monkeypatch.setitem(sys.modules, 'cv_bridge', None)


@pytest.mark.parametrize(
    ('answer', 'reason'),
    ((np.zeros((2, 2, 3), np.uint8), ''), (np.zeros((2, 1, 3), np.uint8), 'bad_size'), (None, 'bad_encoding')),
)
def test_unknown_encodings_go_to_cv_bridge(monkeypatch, answer, reason):
    class CvBridge:
        def imgmsg_to_cv2(self, msg, desired):
            assert (msg.encoding, desired, len(msg.data)) == ('rgb16', 'rgb8', 24)
            if answer is None:
                raise RuntimeError('no')
            return answer

    monkeypatch.setitem(sys.modules, 'cv_bridge', SimpleNamespace(CvBridge=CvBridge))
    msg = SimpleNamespace(height=2, width=2, encoding='rgb16', is_bigendian=0, step=12, data=bytes(24))
    if not reason:
        assert decode_image(msg) is answer
        return
    with pytest.raises(BadFrame) as caught:
        decode_image(msg)
    assert caught.value.reason == reason


@pytest.mark.parametrize('encoding', sorted(set(ENCODINGS) - {'uyvy', 'yuyv', 'nv12', 'nv21'}))
def test_agrees_with_cv_bridge(encoding):
    cv_bridge = pytest.importorskip('cv_bridge', reason='cv_bridge comes with a ROS installation only')
    image_type = pytest.importorskip('sensor_msgs.msg').Image
    rows = np.random.default_rng(3).integers(0, 256, (8, row_bytes(encoding, 12)), np.uint8)
    msg = image_type(height=8, width=12, encoding=encoding, step=rows.shape[1])
    msg.data.frombytes(rows)
    # cv_bridge takes 8UC1, 8UC3 and 16UC1 for data without a colour and converts none of them
    if 'UC' in encoding:
        theirs = cv_bridge.CvBridge().imgmsg_to_cv2(msg).reshape(8, 12, -1)
        ours = decode_image(msg)
        assert encoding == '16UC1' or np.array_equal(ours[..., 0], theirs[..., min(2, theirs.shape[2] - 1)])
        return
    theirs = cv_bridge.CvBridge().imgmsg_to_cv2(msg, 'rgb8')
    assert np.abs(decode_image(msg).astype(int) - theirs).max() <= 1


@pytest.mark.parametrize(('encoding', 'channels'), (('mono8', 1), ('rgb8', 3), ('bgr8', 3), ('rgba8', 4)))
def test_encode_round_trip(encoding, channels):
    image_type = pytest.importorskip('sensor_msgs.msg').Image
    header = pytest.importorskip('std_msgs.msg').Header(frame_id='camera')
    shape = (6, 10) if channels == 1 else (6, 10, channels)
    image = np.random.default_rng(4).integers(0, 256, shape, np.uint8)
    for given_image in (image, np.repeat(image, 2, axis=1)[:, ::2]):
        msg = encode_image(given_image, encoding, header, image_type)
        assert msg.header is header
        assert (msg.height, msg.width, msg.encoding, msg.step, msg.is_bigendian) == (6, 10, encoding, 10 * channels, 0)
        assert isinstance(msg.data, array.array)
        assert msg.data.tobytes() == image.tobytes()
        assert_shows(decode_image(msg), encoding, 6, 10, image.reshape(6, -1))


@pytest.mark.parametrize(
    ('shape', 'dtype', 'encoding'),
    (((4, 4, 3), np.uint8, 'mono8'), ((4, 4), np.uint8, 'rgb8'), ((4, 4), np.int32, 'mono8'), ((4, 4), np.uint8, 'x')),
)
def test_encode_refuses(shape, dtype, encoding):
    with pytest.raises(ValueError, match=encoding):
        encode_image(np.zeros(shape, dtype), encoding, None, SimpleNamespace)


class Cliff:
    """Memory that ends at a page nobody may read: one byte past it and the process dies."""

    def __init__(self, size):
        page = mmap.PAGESIZE
        self._size = -(-size // page) * page
        self._map = mmap.mmap(-1, self._size + page)
        address = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        if ctypes.CDLL(None, use_errno=True).mprotect(ctypes.c_void_p(address + self._size), page, 0):
            raise OSError(ctypes.get_errno(), 'mprotect')

    def hold(self, data):
        """A view of ``data`` that touches the edge."""
        start = self._size - len(data)
        self._map[start : self._size] = data
        return memoryview(self._map)[start : self._size]


@pytest.fixture(scope='module')
def cliff():
    return Cliff(1 << 16)


def expected_reason(encoding, height, width, step, length, max_pixels):
    """INTERFACE's fault table, written a second time."""
    if min(height, width) == 0:
        return {'bad_size'}
    if height * width > max_pixels:
        return {'too_large'}
    if encoding not in ENCODINGS:
        return {'bad_encoding'}
    if step < row_bytes(encoding, width) or length < step * row_count(encoding, height):
        return {'bad_size'}
    if encoding in YUV_ORDER and width % 2:
        return {'bad_size'}
    if encoding in ('nv12', 'nv21') and (width % 2 or height % 2):
        return {'bad_size'}
    if encoding.startswith('bayer') and min(height, width) < 3:
        return {'bad_size'}
    return set()


NOISE = np.random.default_rng(5).integers(0, 256, 1 << 16, np.uint8)


@settings(
    max_examples=10_000,
    deadline=None,
    database=None,
    derandomize=True,
    suppress_health_check=(HealthCheck.function_scoped_fixture,),
)
@given(
    encoding=st.sampled_from((*ENCODINGS, 'rgb16', '', '32FC1')),
    size=st.tuples(st.integers(0, 18), st.integers(0, 18)),
    extra_step=st.sampled_from((0, 0, 0, 1, 3, 7, 64, -1, -1000, 2**32)),
    extra_length=st.sampled_from((0, 0, 0, 1, 100, -1, -7, -100000)),
    is_bigendian=st.sampled_from((0, 1, 255)),
    offset=st.integers(0, 4096),
)
def test_ten_thousand_messages(cliff, encoding, size, extra_step, extra_length, is_bigendian, offset):
    height, width = size
    step = max(0, row_bytes(encoding, width) + extra_step)
    rows = row_count(encoding, height)
    length = min(max(0, step * rows + extra_length), 20_000)
    content = NOISE[offset : offset + length]
    msg = SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=is_bigendian,
        step=step,
        data=cliff.hold(content.tobytes()),
    )
    allowed = expected_reason(encoding, height, width, step, length, max_pixels=300)
    try:
        picture = decode_image(msg, max_pixels=300)
    except BadFrame as bad:
        assert {bad.reason} == allowed
        return
    assert not allowed
    pixels = content[: step * rows].reshape(rows, step)[:, : row_bytes(encoding, width)]
    assert_shows(picture, encoding, height, width, pixels, is_bigendian)
