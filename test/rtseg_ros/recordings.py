# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Real bags of small rendered streets for the tests of reading and replaying."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from rosbags.rosbag1 import Writer as Writer1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin
from rosbags.rosbag2 import Writer as Writer2
from rosbags.typesys import Stores, get_typestore

from rtseg_models.street import Street

IMAGE, COMPRESSED, TEXT = 'sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage', 'std_msgs/msg/String'
START_NS = 1_700_000_000_000_000_000
PERIOD_NS = 100_000_000
FRAME_ID = 'camera_front'


@dataclass(frozen=True)
class Entry:
    """A message for a bag; ``image`` (H,W) or (H,W,3) uint8, a text, or ready-made bytes of a compressed image."""

    topic: str
    stamp_ns: int
    image: Any
    record_time_ns: int
    fields: dict = field(default_factory=dict)


def frames(count: int, height: int = 72, width: int = 104) -> list[tuple[np.ndarray, np.ndarray]]:
    """(rgb, label) of a rendered street."""
    return [_frame(i, height, width) for i in range(count)]


@lru_cache(maxsize=256)
def _frame(index: int, height: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    frame = _street(height, width).frame(index)
    for array in (frame.rgb, frame.label):
        array.setflags(write=False)  # tests share it
    return frame.rgb, frame.label


@lru_cache(maxsize=None)  # a street takes a second to lay out
def _street(height: int, width: int) -> Street:
    return Street(7, height=height, width=width)


def drive(pairs: list[tuple[np.ndarray, np.ndarray]], topic: str = '/camera/image_raw') -> list[Entry]:
    """Images and their labels at 10 Hz, recorded a little after their stamps."""
    entries = []
    for i, (rgb, label) in enumerate(pairs):
        stamp_ns = START_NS + i * PERIOD_NS
        entries.append(Entry(topic, stamp_ns, rgb, stamp_ns + 3_000_000))
        entries.append(Entry(topic.replace('image_raw', 'label'), stamp_ns, label, stamp_ns + 5_000_000))
    return entries


def write_bag(path: Path, entries: list[Entry], form: str = 'mcap') -> Path:
    """Write a bag: mcap, mcap_zstd, sqlite3, sqlite3_file, sqlite3_message, ros1, ros1_bz2 or ros1_lz4."""
    if form.startswith('ros1'):
        return _write_ros1(path.with_suffix('.bag'), entries, form)
    plugin = StoragePlugin.MCAP if form.startswith('mcap') else StoragePlugin.SQLITE3
    writer = Writer2(path, version=8, storage_plugin=plugin)
    modes = {'mcap_zstd': 'STORAGE', 'sqlite3_file': 'FILE', 'sqlite3_message': 'MESSAGE'}
    if form in modes:
        writer.set_compression(CompressionMode[modes[form]], CompressionFormat.ZSTD)
    store = get_typestore(Stores.ROS2_HUMBLE)
    with writer:
        _write(writer, entries, store, store.serialize_cdr, {'typestore': store})
    return path


def _write_ros1(path: Path, entries: list[Entry], form: str) -> Path:
    writer = Writer1(path)
    if form != 'ros1':
        writer.set_compression(Writer1.CompressionFormat[form[5:].upper()])
    store = get_typestore(Stores.ROS1_NOETIC)
    with writer:
        _write(writer, entries, store, store.serialize_ros1, {'typestore': store})
    return path


def _write(writer: Any, entries: list[Entry], store: Any, serialise: Any, options: dict) -> None:
    connections: dict[str, Any] = {}
    for entry in sorted(entries, key=lambda e: e.record_time_ns):
        kind, message = _message(entry, store)
        if entry.topic not in connections:
            connections[entry.topic] = writer.add_connection(entry.topic, kind, **options)
        writer.write(connections[entry.topic], entry.record_time_ns, serialise(message, kind))


def _message(entry: Entry, store: Any) -> tuple[str, Any]:
    if isinstance(entry.image, str):
        return TEXT, store.types[TEXT](entry.image)
    stamp = store.types['builtin_interfaces/msg/Time'](*divmod(entry.stamp_ns, 10**9))
    header_type = store.types['std_msgs/msg/Header']
    ros1 = 'seq' in header_type.__dataclass_fields__
    header = header_type(0, stamp, FRAME_ID) if ros1 else header_type(stamp, FRAME_ID)
    if isinstance(entry.image, bytes):
        data = np.frombuffer(entry.image, np.uint8)
        return COMPRESSED, store.types[COMPRESSED](header, entry.fields.get('format', 'jpeg'), data)
    height, width = entry.image.shape[:2]
    facts = {
        'header': header,
        'height': height,
        'width': width,
        'encoding': 'mono8' if entry.image.ndim == 2 else 'rgb8',
        'is_bigendian': 0,
        'step': entry.image[0].size,
        'data': np.ascontiguousarray(entry.image).reshape(-1),
    }
    return IMAGE, store.types[IMAGE](**{**facts, **entry.fields})


def png(image: np.ndarray) -> bytes:
    """A PNG file of an image (H,W) or rgb (H,W,3)."""
    return cv2.imencode('.png', image if image.ndim == 2 else image[:, :, ::-1])[1].tobytes()
