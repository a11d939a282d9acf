# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Between sensor_msgs/PointCloud2 or depth images and arrays. Messages are duck-typed."""

from __future__ import annotations

import sys
from typing import Any, Callable, Dict, List, Sequence

import numpy as np

from .image_codec import MAX_PIXELS, BadFrame, as_bytes, frame_size, frame_values

# sensor_msgs/PointField's constants INT8 to FLOAT64
_DATATYPES: Dict[int, str] = {1: 'i1', 2: 'u1', 3: 'i2', 4: 'u2', 5: 'i4', 6: 'u4', 7: 'f4', 8: 'f8'}
_DEPTH: Dict[str, str] = {'32FC1': 'f4', '16UC1': 'u2', 'mono16': 'u2'}


def depth_from_message(msg: Any, *, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Depth (H,W) of a sensor_msgs/Image (REP 118): 32FC1 in float32 metres, 16UC1 and mono16 in uint16 millimetres."""
    height, width = frame_size(msg, max_pixels)
    encoding = str(msg.encoding)
    if encoding not in _DEPTH:
        raise BadFrame('bad_encoding', f'depth encoding {encoding!r} is unknown; supported are {", ".join(_DEPTH)}')
    stored = np.dtype(_order(msg) + _DEPTH[encoding])
    return np.array(frame_values(msg, height, width, stored), stored.newbyteorder('='), order='C')


def points_from_message(msg: Any, names: Sequence[str] = ('x', 'y', 'z')) -> np.ndarray:
    """The named fields of a sensor_msgs/PointCloud2 as a structured array (height, width) in native byte order.

    Any point_step, offsets, byte order and row padding; row_step is not looked at in a cloud of one row, where drivers
    leave it 0. BadFrame: bad_encoding where a field is missing or not one number of a known type, bad_size where
    fields, steps and data do not fit. An empty cloud is a cloud.
    """
    height, width, point_step = int(msg.height), int(msg.width), int(msg.point_step)
    fields = {str(field.name): field for field in msg.fields}
    formats: List[str] = []
    for name in names:
        if name not in fields:
            raise BadFrame('bad_encoding', f'the cloud has no field {name!r}; it has {", ".join(fields) or "none"}')
        formats.append(_field_format(fields[name], point_step))
    row_step = int(msg.row_step) if height > 1 else width * point_step
    data = as_bytes(msg.data)
    if row_step < width * point_step or len(data) < row_step * height:
        raise BadFrame(
            'bad_size',
            f'data is {len(data)} bytes and row_step {row_step}; {height} rows of {width} points of {point_step} bytes '
            f'take {max(row_step, width * point_step) * height}',
        )
    points = np.empty((height, width), [(name, '=' + code) for name, code in zip(names, formats)])
    if not points.size:
        return points
    for name, code in zip(names, formats):
        stored = np.dtype(_order(msg) + code)
        start = int(fields[name].offset)
        points[name] = np.ndarray((height, width), stored, data, start, (row_step, point_step))
    return points


def _field_format(field: Any, point_step: int) -> str:
    code = _DATATYPES.get(int(field.datatype))
    if code is None or int(field.count) != 1:
        message = f'field {field.name!r} has datatype {field.datatype} and count {field.count}; expected 1 to 8 and 1'
        raise BadFrame('bad_encoding', message)
    if int(field.offset) + np.dtype(code).itemsize > point_step:
        raise BadFrame('bad_size', f'field {field.name!r} at offset {field.offset} ends behind point_step {point_step}')
    return code


def _order(msg: Any) -> str:
    return '>' if msg.is_bigendian else '<'


def message_from_points(
    points: np.ndarray, header: Any, message_type: Callable[[], Any], field_type: Callable[[], Any]
) -> Any:
    """A ``message_type`` (sensor_msgs/PointCloud2) of a structured array (H,W), organised, or (n,), one row.

    Fields, offsets and point_step are the array's own; ``field_type`` is sensor_msgs/PointField. ``is_dense`` says that
    every z is finite. The header is passed on as it is.
    """
    height, width = points.shape if points.ndim == 2 else (1, len(points))
    message = message_type()
    message.header = header
    message.height, message.width = int(height), int(width)
    places = dict(points.dtype.fields or {})
    message.fields = [_field(field_type, name, place[0], place[1]) for name, place in places.items()]
    message.is_bigendian = sys.byteorder == 'big'
    message.point_step = points.dtype.itemsize
    message.row_step = points.dtype.itemsize * int(width)
    message.is_dense = bool(np.isfinite(points['z']).all())
    message.data.frombytes(np.ascontiguousarray(points).view(np.uint8))
    return message


def _field(field_type: Callable[[], Any], name: str, stored: np.dtype, offset: int) -> Any:
    field = field_type()
    field.name = name
    field.offset = offset
    field.datatype = next(number for number, code in _DATATYPES.items() if np.dtype(code) == stored)
    field.count = 1
    return field
