# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Between sensor_msgs/Image and rgb arrays. Messages are duck-typed: rclpy's and rosbags' classes both serve.

Own strided views, because cv_bridge shears rows whose step is no multiple of the pixel and knows no NV12.
"""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Callable, Dict, Optional, Tuple

import cv2
import numpy as np

MAX_PIXELS = 33177600
"""Default bound on height x width: an 8K frame, 4320x7680."""
LONGEST_SIDE = 65500
"""Of a JPEG, as libjpeg has it; the tables of a longer line would take gigabytes."""


class BadFrame(Exception):
    """A message that yields no data; ``reason`` is its drop counter: bad_encoding, bad_size, too_large or decode."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


# Encoding: bytes a pixel, OpenCV's conversion to RGB. ROS names a Bayer pattern by its first two rows read from the
# corner, OpenCV by the four pixels that begin at (1,1): rggb is BG there. UYVY, YUYV, NV12 and NV21 are BT.601 at
# limited range (luma 16-235), as OpenCV and cv_bridge have it.
_PACKED: Dict[str, Tuple[int, Optional[int]]] = {
    'rgb8': (3, None),
    'bgr8': (3, cv2.COLOR_BGR2RGB),
    'rgba8': (4, cv2.COLOR_RGBA2RGB),
    'bgra8': (4, cv2.COLOR_BGRA2RGB),
    'mono8': (1, cv2.COLOR_GRAY2RGB),
    '8UC1': (1, cv2.COLOR_GRAY2RGB),
    '8UC3': (3, cv2.COLOR_BGR2RGB),
    '8UC4': (4, cv2.COLOR_BGRA2RGB),
    'bayer_rggb8': (1, cv2.COLOR_BayerBG2RGB),
    'bayer_bggr8': (1, cv2.COLOR_BayerRG2RGB),
    'bayer_gbrg8': (1, cv2.COLOR_BayerGR2RGB),
    'bayer_grbg8': (1, cv2.COLOR_BayerGB2RGB),
    'yuv422': (2, cv2.COLOR_YUV2RGB_UYVY),
    'uyvy': (2, cv2.COLOR_YUV2RGB_UYVY),
    'yuv422_yuy2': (2, cv2.COLOR_YUV2RGB_YUY2),
    'yuyv': (2, cv2.COLOR_YUV2RGB_YUY2),
}
_MONO16 = ('mono16', '16UC1')
_SEMIPLANAR: Dict[str, int] = {'nv12': cv2.COLOR_YUV2RGB_NV12, 'nv21': cv2.COLOR_YUV2RGB_NV21}

ENCODINGS: Tuple[str, ...] = (*_PACKED, *_MONO16, *_SEMIPLANAR)
"""Every encoding that ``decode_image`` reads by itself."""


def decode_image(msg: Any, *, encoding_override: str = '', max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Rgb (H,W,3) uint8 of a sensor_msgs/Image; BadFrame where it holds no picture.

    rgb8 comes back as a view of the message's own bytes, padded rows and all; everything else is converted once.
    mono16 and 16UC1 become round(value / 257), whatever range the camera really uses. ``encoding_override`` replaces
    the message's encoding for cameras that mislabel. Encodings that are not in ``ENCODINGS`` go to cv_bridge where it
    is installed. Nothing is read past ``step * rows`` bytes.
    """
    encoding = encoding_override or str(msg.encoding)
    height, width = frame_size(msg, max_pixels)
    if encoding in _PACKED:
        return _decode_packed(msg, encoding, height, width)
    if encoding in _MONO16:
        order = '>u2' if msg.is_bigendian else '<u2'
        values = np.array(frame_values(msg, height, width, np.dtype(order)), np.uint16, order='C')
        return _to_rgb(cv2.convertScaleAbs(values, alpha=255 / 65535), cv2.COLOR_GRAY2RGB)
    if encoding in _SEMIPLANAR:
        if height % 2 or width % 2:
            raise BadFrame('bad_size', f'the {encoding} image is {height}x{width}; 4:2:0 needs even sides')
        return _to_rgb(frame_rows(msg, height * 3 // 2, width), _SEMIPLANAR[encoding])
    return _decode_with_cv_bridge(msg, encoding, height, width)


def _decode_packed(msg: Any, encoding: str, height: int, width: int) -> np.ndarray:
    pixel_bytes, conversion = _PACKED[encoding]
    if pixel_bytes == 2 and width % 2:
        raise BadFrame('bad_size', f'the {encoding} image is {height}x{width}; 4:2:2 needs an even width')
    if encoding.startswith('bayer') and min(height, width) < 3:
        raise BadFrame('bad_size', f'the {encoding} image is {height}x{width}; a Bayer pattern needs at least 3x3')
    rows = frame_rows(msg, height, width * pixel_bytes)
    pixels = rows if pixel_bytes == 1 else _split_pixels(rows, pixel_bytes)
    return pixels if conversion is None else _to_rgb(pixels, conversion)


def frame_size(msg: Any, max_pixels: int) -> Tuple[int, int]:
    """Height and width of a sensor_msgs/Image; BadFrame where a side is 0 or they hold more than ``max_pixels``."""
    height, width = int(msg.height), int(msg.width)
    if height < 1 or width < 1:
        raise BadFrame('bad_size', f'the image is {height}x{width}; both sides must be at least 1')
    check_size(height, width, max_pixels)
    return height, width


def check_size(height: int, width: int, max_pixels: int) -> None:
    """BadFrame(too_large) for more than ``max_pixels``, and for a side longer than a JPEG can have."""
    if height * width > max_pixels:
        raise BadFrame('too_large', f'the image is {height}x{width}; {max_pixels} pixels are the most that is allowed')
    if max(height, width) > LONGEST_SIDE:
        raise BadFrame('too_large', f'the image is {height}x{width}; {LONGEST_SIDE} is the longest side allowed')


def frame_rows(msg: Any, count: int, row_bytes: int) -> np.ndarray:
    """View (count, row_bytes) uint8 of the message's rows, without their padding."""
    return _span(msg, count, row_bytes).reshape(count, int(msg.step))[:, :row_bytes]


def frame_values(msg: Any, height: int, width: int, stored: np.dtype) -> np.ndarray:
    """View (height, width) of the message's pixels of one value; NumPy before 1.23 cannot cast ``frame_rows``."""
    data = _span(msg, height, width * stored.itemsize)
    return np.ndarray((height, width), stored, data, 0, (int(msg.step), stored.itemsize))


def _span(msg: Any, count: int, row_bytes: int) -> np.ndarray:
    """The message's first ``step * count`` bytes; BadFrame where it has fewer or a row does not fit into the step."""
    step = int(msg.step)
    if step < row_bytes:
        raise BadFrame('bad_size', f'step is {step}; a row of this encoding takes at least {row_bytes} bytes')
    data = as_bytes(msg.data)
    if len(data) < step * count:
        raise BadFrame('bad_size', f'data is {len(data)} bytes; {count} rows of step {step} take {step * count}')
    return data[: step * count]


def _split_pixels(rows: np.ndarray, pixel_bytes: int) -> np.ndarray:
    """View (H, W, pixel_bytes) of rows (H, W * pixel_bytes), whatever their stride."""
    shape = (rows.shape[0], rows.shape[1] // pixel_bytes, pixel_bytes)
    return np.lib.stride_tricks.as_strided(rows, shape, (rows.strides[0], pixel_bytes, 1))


def _to_rgb(pixels: np.ndarray, conversion: int) -> np.ndarray:
    if pixels.shape == (1, 1, 3):  # bgr alone has three channels; OpenCV 4.5 takes no such image of a single pixel
        return pixels[..., ::-1].copy()
    return np.asarray(cv2.cvtColor(pixels, conversion))


def as_bytes(data: Any) -> np.ndarray:
    """View (n,) uint8 of array.array, bytes, memoryview or numpy data, a copy of a list's; else BadFrame(decode)."""
    try:
        buffer = bytes(data) if isinstance(data, (list, tuple)) else data
        return np.frombuffer(buffer, np.uint8) if len(buffer) else np.empty(0, np.uint8)
    except (TypeError, ValueError, BufferError) as error:
        raise BadFrame('decode', f'data is a {type(data).__name__} that does not hold plain bytes: {error}') from error


def _decode_with_cv_bridge(msg: Any, encoding: str, height: int, width: int) -> np.ndarray:
    supported = f'supported are {", ".join(ENCODINGS)}'
    try:
        import cv_bridge
    except ImportError as error:
        message = f'encoding {encoding!r} is unknown; {supported}, and more with cv_bridge installed'
        raise BadFrame('bad_encoding', message) from error
    image = SimpleNamespace(
        height=height,
        width=width,
        encoding=encoding,
        is_bigendian=msg.is_bigendian,
        step=int(msg.step),
        data=_span(msg, height, width),
    )
    try:
        rgb = np.asarray(cv_bridge.CvBridge().imgmsg_to_cv2(image, 'rgb8'))
    except Exception as error:  # cv_bridge lets NumPy's, OpenCV's and its own errors through, by version
        raise BadFrame('bad_encoding', f'cv_bridge cannot read {encoding!r}: {error}; {supported}') from error
    if rgb.shape != (height, width, 3):
        raise BadFrame('bad_size', f'cv_bridge made {rgb.shape} of a {height}x{width} {encoding} image')
    return rgb


_CHANNELS: Dict[str, int] = {'mono8': 1, 'rgb8': 3, 'bgr8': 3, 'rgba8': 4}


def encode_image(image: np.ndarray, encoding: str, header: Any, message_type: Callable[[], Any]) -> Any:
    """A packed ``message_type`` (sensor_msgs/Image) of an image (H,W) or (H,W,k) uint8 that is already in ``encoding``.

    The header is passed on as it is. The bytes are appended to the new message's own array: 0.1 ms at 720x1280, where
    its setter copies once more or, with field checks on, walks over every byte of anything but an array (355 ms).
    """
    channels = _CHANNELS.get(encoding)
    if channels is None:
        raise ValueError(f'cannot write encoding {encoding!r}; known: {", ".join(_CHANNELS)}')
    if image.dtype != np.uint8 or image.shape[2:] != (() if channels == 1 else (channels,)):
        raise ValueError(f'{encoding} takes {channels} channel(s) of uint8, not {image.shape} {image.dtype}')
    message = message_type()
    message.header = header
    message.height, message.width = int(image.shape[0]), int(image.shape[1])
    message.encoding = encoding
    message.is_bigendian = 0
    message.step = int(image.shape[1]) * channels
    message.data.frombytes(np.ascontiguousarray(image))
    return message
