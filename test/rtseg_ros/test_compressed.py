# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compressed images: what is refused, and that it is refused before a decoder sees it."""

from __future__ import annotations

import array
import struct
import zlib
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtseg_ros.compressed_codec import decode_compressed, encode_compressed
from rtseg_ros.image_codec import BadFrame


def compressed(data, message_format='jpeg'):
    return SimpleNamespace(format=message_format, data=data)


def reason_of(msg, **bounds):
    with pytest.raises(BadFrame) as caught:
        decode_compressed(msg, **bounds)
    return caught.value.reason


def smooth(height=48, width=64):
    """A picture that JPEG keeps within a few grey values."""
    down, across = np.mgrid[:height, :width]
    return np.stack([4 * down, 3 * across, 255 - 2 * down - across], axis=-1).astype(np.uint8)


def file_of(rgb, suffix, *options):
    return cv2.imencode(suffix, rgb[..., ::-1], list(options))[1].tobytes()


def png_chunk(kind, content):
    return struct.pack('>I', len(content)) + kind + content + struct.pack('>I', zlib.crc32(kind + content))


def png(height, width, pixels):
    header = struct.pack('>IIBBBBB', width, height, 8, 2, 0, 0, 0)
    chunks = ((b'IHDR', header), (b'IDAT', zlib.compress(pixels)), (b'IEND', b''))
    return b'\x89PNG\r\n\x1a\n' + b''.join(png_chunk(*chunk) for chunk in chunks)


@pytest.fixture
def no_decoder(monkeypatch):
    def forbidden(*_):
        raise AssertionError('the decoder was called')

    monkeypatch.setattr(cv2, 'imdecode', forbidden)


@pytest.mark.parametrize(
    'message_format', ('jpeg', 'png', 'jpg', '', 'rgb8; jpeg compressed bgr8', 'bgr8; png compressed')
)
def test_the_file_decides_not_the_format(message_format):
    assert np.array_equal(decode_compressed(compressed(file_of(smooth(), '.png'), message_format)), smooth())
    picture = decode_compressed(compressed(file_of(smooth(), '.jpg', cv2.IMWRITE_JPEG_QUALITY, 98), message_format))
    assert np.abs(picture.astype(int) - smooth()).max() < 12
    assert picture.dtype == np.uint8


def test_progressive_and_grey_jpeg():
    progressive = file_of(smooth(), '.jpg', cv2.IMWRITE_JPEG_PROGRESSIVE, 1)
    assert np.abs(decode_compressed(compressed(progressive)).astype(int) - smooth()).max() < 24
    grey = cv2.imencode('.jpg', smooth()[..., 0])[1].tobytes()
    assert np.abs(decode_compressed(compressed(grey)).astype(int) - smooth()[..., :1]).max() < 12


def test_png_of_16_bit_and_with_alpha():
    deep = np.arange(0, 65536, 1024, dtype=np.uint16).reshape(8, 8)
    picture = decode_compressed(compressed(cv2.imencode('.png', deep)[1].tobytes(), 'png'))
    assert np.array_equal(picture, np.repeat((deep >> 8).astype(np.uint8)[..., None], 3, axis=2))
    bgra = np.dstack([smooth()[..., ::-1], np.full((48, 64), 7, np.uint8)])
    assert np.array_equal(decode_compressed(compressed(cv2.imencode('.png', bgra)[1].tobytes())), smooth())


def with_app1(jpeg_file, content):
    return jpeg_file[:2] + b'\xff\xe1' + struct.pack('>H', len(content) + 2) + content + jpeg_file[2:]


def test_exif_orientation_does_not_turn_the_picture():
    turned = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    assert decode_compressed(compressed(with_app1(file_of(smooth(), '.jpg'), turned))).shape == (48, 64, 3)


def test_a_thumbnail_is_not_the_picture():
    thumbnail = file_of(smooth(8, 8), '.jpg')
    file = with_app1(file_of(smooth(), '.jpg'), b'Exif\0\0' + thumbnail)
    assert decode_compressed(compressed(file)).shape == (48, 64, 3)
    assert reason_of(compressed(file[: len(file) - 200])) == 'decode'


@pytest.mark.parametrize('trailer', (b'\0' * 64, b'trailer'))
def test_bytes_after_the_end_are_ignored(trailer):
    for suffix in ('.jpg', '.png'):
        file = file_of(smooth(), suffix)
        assert np.array_equal(decode_compressed(compressed(file + trailer)), decode_compressed(compressed(file)))


@pytest.mark.parametrize('suffix', ('.jpg', '.png'))
def test_every_truncation_is_refused(suffix, no_decoder):
    file = file_of(smooth(), suffix)
    for length in range(len(file)):
        assert reason_of(compressed(file[:length], suffix[1:])) == 'decode'


def test_every_damaged_byte_of_a_png_is_noticed():
    file = file_of(smooth(8, 8), '.png')
    for at in range(8, len(file)):
        damaged = bytearray(file)
        damaged[at] ^= 0x10
        assert reason_of(compressed(bytes(damaged), 'png')) in ('decode', 'too_large')


def test_bombs_are_refused_unopened(no_decoder):
    assert reason_of(compressed(png(30000, 30000, b''), 'png')) == 'too_large'
    file = bytearray(file_of(smooth(), '.jpg'))
    at = file.index(b'\xff\xc0')
    struct.pack_into('>HH', file, at + 5, 65500, 65500)
    assert reason_of(compressed(bytes(file))) == 'too_large'
    assert reason_of(compressed(file_of(smooth(), '.jpg')), max_pixels=48 * 64 - 1) == 'too_large'


def test_a_frame_header_behind_the_first_does_not_count():
    file = file_of(smooth(), '.jpg')
    at = file.index(b'\xff\xc0')
    (length,) = struct.unpack_from('>H', file, at + 2)
    second = bytearray(file[at : at + 2 + length])
    struct.pack_into('>HH', second, 5, 9000, 9000)
    assert reason_of(compressed(file[: at + 2 + length] + bytes(second) + file[at + 2 + length :])) == 'decode'


def test_what_libjpeg_skips_hides_no_size(no_decoder):
    small, large = (bytearray(file_of(smooth(), '.jpg')) for _ in range(2))
    struct.pack_into('>HH', large, large.index(b'\xff\xc0') + 5, 9000, 9000)
    whole = large[2 : large.index(b'\xff\xda')]
    for bare in (0x01, 0xD0, 0xD7):  # no length follows these; taken for one, it would leap to the small picture
        file = b'\xff\xd8\xff' + bytes([bare]) + struct.pack('>H', len(whole) + 2) + whole + small[2:]
        assert reason_of(compressed(bytes(file)), max_pixels=10_000) == 'decode'


@pytest.mark.parametrize(
    ('data', 'message_format', 'reason'),
    (
        (b'', 'jpeg', 'decode'),
        (b'', 'h264', 'decode'),
        (b'\xff\xd8\xff', 'jpeg', 'decode'),
        (b'\xff\xd8\xff\xd9', 'jpeg', 'decode'),
        (b'\x89PNG\r\n\x1a\n', 'png', 'decode'),
        (b'hello', 'jpeg', 'decode'),
        (b'hello', '', 'decode'),
        (b'RIFF\0\0\0\0WEBP', 'webp', 'bad_encoding'),
        (b'\0\0\0\1\x67', 'h264', 'bad_encoding'),
        (bytes(12) + b'\x89PNG', '16UC1; compressedDepth png', 'bad_encoding'),
        (png(4, 4, b'short'), 'png', 'decode'),
        (png(0, 4, b''), 'png', 'decode'),
    ),
)
def test_refusals(data, message_format, reason):
    assert reason_of(compressed(data, message_format)) == reason


FILES = tuple(file_of(smooth(16, 24), suffix) for suffix in ('.jpg', '.png'))


@settings(max_examples=1000, deadline=None, database=None, derandomize=True)
@given(
    file=st.sampled_from(FILES),
    cuts=st.lists(st.tuples(st.floats(0, 1), st.binary(max_size=8), st.integers(0, 8)), min_size=1, max_size=4),
)
def test_damage_ends_in_a_picture_or_a_reason(file, cuts):
    for where, replacement, length in cuts:
        at = int(where * len(file))
        file = file[:at] + replacement + file[at + length :]
    try:
        picture = decode_compressed(compressed(file), max_pixels=100_000)
    except BadFrame as bad:
        assert bad.reason in ('decode', 'too_large')
    else:
        assert picture.dtype == np.uint8
        assert picture.ndim == 3


def message_type():
    return pytest.importorskip('sensor_msgs.msg').CompressedImage


def test_labels_survive_png_exactly():
    labels = np.random.default_rng(0).integers(0, 256, (33, 47), np.uint8)
    header = pytest.importorskip('std_msgs.msg').Header(frame_id='camera')
    msg = encode_compressed(labels, 'png', header, message_type())
    assert msg.header is header
    assert 'png' in msg.format
    assert np.array_equal(decode_compressed(msg), np.repeat(labels[..., None], 3, axis=2))


def test_colours_go_as_jpeg_of_the_asked_quality():
    fine, coarse = (encode_compressed(smooth(), 'jpeg', None, duck, jpeg_quality=q) for q in (95, 5))
    assert 'jpeg' in fine.format
    assert len(coarse.data) < len(fine.data)
    assert np.abs(decode_compressed(fine).astype(int) - smooth()).max() < 16


def duck():
    return SimpleNamespace(data=array.array('B'))


@pytest.mark.parametrize(
    ('shape', 'kind'), (((4, 4), 'jpeg'), ((4, 4, 3), 'png'), ((4, 4, 3), 'tiff'), ((4, 4, 4), 'jpeg'))
)
def test_encode_refuses(shape, kind):
    with pytest.raises(ValueError, match=kind):
        encode_compressed(np.zeros(shape, np.uint8), kind, None, duck)
