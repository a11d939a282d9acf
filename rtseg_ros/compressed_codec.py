# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Between sensor_msgs/CompressedImage and arrays: JPEG for colours, PNG for labels. Messages are duck-typed.

The file's own header is read before any decoder runs, so that a small file cannot unfold into gigabytes, and its end
is looked for, because OpenCV's decoders fill what a cut file lacks with grey and say so on standard error only.
"""

from __future__ import annotations

import struct
import zlib
from typing import Any, Callable, Optional, Tuple

import cv2
import numpy as np

from rtseg_models.labels import smeared

from .image_codec import MAX_PIXELS, BadFrame, as_bytes, check_size

_JPEG_START = b'\xff\xd8\xff'
_JPEG_END = b'\xff\xd9'
_JPEG_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}  # SOF markers; the three are tables and reserved
_JPEG_SCAN = 0xDA
_JPEG_BARE = frozenset((0x00, 0x01, *range(0xD0, 0xDA)))  # stuffing, TEM, RST, SOI, EOI: no length follows
_PNG_START = b'\x89PNG\r\n\x1a\n'


def decode_compressed(msg: Any, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Rgb (H,W,3) uint8 of a sensor_msgs/CompressedImage that holds a JPEG or PNG file; BadFrame where it does not.

    The file's first bytes decide, whatever ``format`` says. Pixels stay where the sensor put them: an EXIF orientation
    is ignored, as image_transport does. 16 bit are cut to the upper 8, transparency is dropped. A PNG must have all its
    checksums right; a JPEG has none, so damage inside its scan that leaves the markers whole shows in the picture.
    """
    bgr = _decode(*_checked(msg, max_pixels), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
    return np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB))


def decode_compressed_labels(msg: Any, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Ids (H,W) uint8 of a sensor_msgs/CompressedImage that holds a PNG file of one 8-bit channel; BadFrame else."""
    file, size = _checked(msg, max_pixels)
    if smeared(file):
        raise BadFrame('bad_encoding', f'labels are in {smeared(file)}')
    labels = _decode(file, size, cv2.IMREAD_UNCHANGED)
    if labels.ndim != 2 or labels.dtype != np.uint8:
        raise BadFrame('bad_encoding', f'labels have one 8-bit channel, this PNG is {labels.shape} {labels.dtype}')
    return labels


def _checked(msg: Any, max_pixels: int) -> Tuple[bytes, Tuple[int, int]]:
    """The whole file in a message and the (height, width) that its header promises; BadFrame where it is unfit."""
    file = as_bytes(msg.data).tobytes()
    if file.startswith(_JPEG_START):
        height, width = _jpeg_size(file)
    elif file.startswith(_PNG_START):
        height, width = _png_size(file)
    elif not file or _is_supported(str(msg.format)):
        raise BadFrame('decode', f'{len(file)} bytes of format {msg.format!r} begin like neither a JPEG nor a PNG file')
    else:
        raise BadFrame('bad_encoding', f'compressed format {msg.format!r} is unknown; supported are jpeg and png')
    check_size(height, width, max_pixels)
    return file, (height, width)


def _decode(file: bytes, size: Tuple[int, int], flags: int) -> np.ndarray:
    """Pixels of a checked file as OpenCV reads them, (H,W) or (H,W,k)."""
    height, width = size
    try:
        image: Optional[np.ndarray] = cv2.imdecode(np.frombuffer(file, np.uint8), flags)
    except cv2.error as error:
        raise BadFrame('decode', f'OpenCV cannot decode the {height}x{width} image: {error}') from error
    if image is None or image.shape[:2] != size:
        raise BadFrame('decode', f'the file promises {height}x{width} pixels and OpenCV cannot decode it')
    return image


def _is_supported(message_format: str) -> bool:
    """Whether ``format`` (such as 'jpeg', 'rgb8; jpeg compressed bgr8' or nothing) promises a JPEG or PNG file."""
    words = message_format.lower().replace(';', ' ').split()
    return not words or ('compresseddepth' not in words and not {'jpeg', 'jpg', 'png'}.isdisjoint(words))


def _jpeg_size(file: bytes) -> Tuple[int, int]:
    """Height and width from the frame header; BadFrame(decode) unless a scan and the end marker follow it."""
    size: Optional[Tuple[int, int]] = None
    at = 2
    while at + 4 <= len(file) and file[at] == 0xFF:
        marker = file[at + 1]
        if marker == 0xFF:  # fill byte
            at += 1
            continue
        if marker in _JPEG_BARE:  # libjpeg would skip what we take for its length, and see another size
            raise BadFrame('decode', f'the JPEG file has marker 0x{marker:02x} ahead of its scan')
        if marker in _JPEG_FRAME and size is None and at + 9 <= len(file):
            size = struct.unpack_from('>HH', file, at + 5)
        if marker == _JPEG_SCAN:
            break
        at += 2 + int(struct.unpack_from('>H', file, at + 2)[0])
    else:
        raise BadFrame('decode', f'the JPEG file of {len(file)} bytes holds no scan')
    if size is None or 0 in size:
        raise BadFrame('decode', 'the JPEG file does not give its size ahead of the scan')
    if file.rfind(_JPEG_END) < at:
        raise BadFrame('decode', f'the JPEG file of {size[0]}x{size[1]} is cut after {len(file)} bytes')
    return size


def _png_size(file: bytes) -> Tuple[int, int]:
    """Height and width from IHDR; BadFrame(decode) unless every chunk up to IEND is there with a right checksum."""
    if file[8:16] != b'\x00\x00\x00\x0dIHDR' or len(file) < 33:
        raise BadFrame('decode', 'the PNG file does not begin with an IHDR chunk')
    width, height = struct.unpack_from('>II', file, 16)
    at = len(_PNG_START)
    while at + 12 <= len(file):
        length, kind = struct.unpack_from('>I4s', file, at)
        end = at + 12 + length
        if end > len(file):
            break
        if zlib.crc32(memoryview(file)[at + 4 : end - 4]) != struct.unpack_from('>I', file, end - 4)[0]:
            raise BadFrame('decode', f'the PNG chunk {kind!r} at byte {at} has a wrong checksum')
        if kind == b'IEND':
            return height, width
        at = end
    raise BadFrame('decode', f'the PNG file of {height}x{width} is cut after {len(file)} bytes')


def encode_compressed(
    image: np.ndarray, kind: str, header: Any, message_type: Callable[[], Any], *, jpeg_quality: int = 80
) -> Any:
    """A ``message_type`` (sensor_msgs/CompressedImage): 'jpeg' of rgb (H,W,3) uint8 or 'png' of labels (H,W) uint8.

    The header is passed on as it is. ValueError for JPEG of labels, whose borders it would smear into other classes.
    """
    expected = {'jpeg': (*image.shape[:2], 3), 'png': image.shape[:2]}
    if image.dtype != np.uint8 or image.shape != expected.get(kind):
        raise ValueError(f'cannot write {image.shape} {image.dtype} as {kind!r}; jpeg takes rgb images, png labels')
    if kind == 'jpeg':
        bgr = cv2.cvtColor(image, cv2.COLOR_RGB2BGR)
        _, file = cv2.imencode('.jpg', bgr, [cv2.IMWRITE_JPEG_QUALITY, jpeg_quality])
    else:
        _, file = cv2.imencode('.png', image)
    message = message_type()
    message.header = header
    message.format = {'jpeg': 'rgb8; jpeg compressed bgr8', 'png': 'mono8; png compressed'}[kind]
    message.data.frombytes(file)
    return message
