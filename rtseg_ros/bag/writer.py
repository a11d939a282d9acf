# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writing images as a rosbag2 folder of MCAP files, each whole as soon as it is closed."""

from __future__ import annotations

import errno
import os
import shutil
from io import StringIO
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Optional, Sequence, Type

import numpy as np
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2 import Reader as Reader2
from ruamel.yaml import YAML

from rtseg_models.errors import BundleError, UsageError
from rtseg_models.files import replace_text

from .files import IMAGE_TYPES, ROS2, storage_files

_Image = ROS2.types['sensor_msgs/msg/Image']
_Header = ROS2.types['std_msgs/msg/Header']
_Time = ROS2.types['builtin_interfaces/msg/Time']


class MaskBagWriter:
    """Writes image topics into a rosbag2 folder of MCAP files (zstd chunks); a context manager.

    The bag is written file by file, ``<name>_0.mcap`` onwards. ``close_file`` ends the current one, which is whole
    from then on, whatever happens; ``close`` adds metadata.yaml. Where an exception leaves the context, the file under
    way is dropped and no metadata.yaml is written: what is there can be gone on with by ``keep_files``.
    """

    def __init__(self, path: Path, *, keep_files: Optional[int] = None) -> None:
        """Begin a bag at ``path``, which must not exist; UsageError where it does.

        With ``keep_files`` go on with an unfinished bag: its first so many files stay, later ones are removed.
        """
        self.path = path
        self.file_bytes = 0
        self._writer: Optional[Writer] = None
        self._connections: Dict[str, Any] = {}
        self._unfinished = path / '.unfinished'
        if keep_files is None and path.exists():
            raise UsageError(f'{path}: exists already and is not overwritten; name another folder or remove it')
        path.mkdir(parents=True, exist_ok=True)
        shutil.rmtree(self._unfinished, ignore_errors=True)
        for surplus in storage_files(path)[keep_files or 0 :]:
            surplus.unlink()
        self.files = storage_files(path)
        if len(self.files) != (keep_files or 0):
            raise BundleError(f'{path}: holds {len(self.files)} files where {keep_files} are expected; start anew')

    def __enter__(self) -> MaskBagWriter:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def write(
        self,
        topic: str,
        stamp_ns: int,
        image: np.ndarray,
        *,
        encoding: str = 'mono8',
        frame_id: str = '',
        record_time_ns: Optional[int] = None,
    ) -> None:
        """Append an image (H,W) or (H,W,k) uint8 in ``encoding`` as a packed sensor_msgs/Image.

        ``record_time_ns`` is the time of the entry in the bag; without it that is the stamp.
        """
        height, width = image.shape[:2]
        pixels = np.ascontiguousarray(image).reshape(-1)
        header = _Header(_Time(*divmod(stamp_ns, 10**9)), frame_id)
        message = _Image(header, height, width, encoding, 0, pixels.size // height, pixels)
        self._append(topic, stamp_ns if record_time_ns is None else record_time_ns, message)

    def write_message(self, topic: str, message: Any, record_time_ns: Optional[int] = None) -> None:
        """Append a sensor_msgs/Image of any class that has its fields, as it is (padding included)."""
        stamp = message.header.stamp
        header = _Header(_Time(stamp.sec, stamp.nanosec), message.header.frame_id)
        data = np.frombuffer(message.data, np.uint8)
        fields = (message.height, message.width, message.encoding, message.is_bigendian, message.step)
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        self._append(topic, stamp_ns if record_time_ns is None else record_time_ns, _Image(header, *fields, data))

    def _append(self, topic: str, record_time_ns: int, message: Any) -> None:
        if self._writer is None:
            self._writer = Writer(self._unfinished, version=8, storage_plugin=StoragePlugin.MCAP)
            self._writer.set_compression(CompressionMode.STORAGE, CompressionFormat.ZSTD)
            self._writer.open()
        connection = self._connections.get(topic)
        if connection is None:
            connection = self._writer.add_connection(topic, IMAGE_TYPES[0], typestore=ROS2)
            self._connections[topic] = connection
        raw = ROS2.serialize_cdr(message, IMAGE_TYPES[0])
        self._writer.write(connection, record_time_ns, raw)
        self.file_bytes += len(raw)

    def close_file(self) -> None:
        """End the file under way and bring it to the disk; nothing happens where nothing was written since."""
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        self._connections = {}
        self.file_bytes = 0
        written = self._unfinished / f'{self._unfinished.name}.mcap'
        with written.open('rb') as file:
            os.fsync(file.fileno())
        target = self.path / f'{self.path.name}_{len(self.files)}.mcap'
        written.replace(target)
        folder = os.open(self.path, os.O_RDONLY)
        try:
            os.fsync(folder)  # the new name, too, before a journal tells of it
        except OSError as error:
            if error.errno != errno.EINVAL:  # what file systems say that cannot do it
                raise
        finally:
            os.close(folder)
        shutil.rmtree(self._unfinished)
        self.files.append(target)

    def close(self) -> None:
        """End the bag: the last file, then metadata.yaml."""
        self.close_file()
        text, yaml = StringIO(), YAML(typ='safe')
        yaml.default_flow_style = False
        yaml.dump({'rosbag2_bagfile_information': _metadata(self.files)}, text)
        replace_text(self.path / 'metadata.yaml', text.getvalue())

    def abort(self) -> None:
        """Drop the file under way; finished ones stay."""
        if self._writer is not None:
            self._writer.abort()
            self._writer = None
        shutil.rmtree(self._unfinished, ignore_errors=True)


def _metadata(files: Sequence[Path]) -> Dict[str, Any]:
    """rosbag2's metadata (version 8, which Humble to Kilted read) of a bag's MCAP files."""
    topics: Dict[str, int] = {}
    rows = []
    for path in files:
        with Reader2(path) as reader:
            for connection in reader.connections:
                topics[connection.topic] = topics.get(connection.topic, 0) + connection.msgcount
            rows.append((path.name, reader.start_time, reader.duration - 1, reader.message_count))
    first = min((start for _, start, _, _ in rows), default=0)
    last = max((start + duration for _, start, duration, _ in rows), default=0)
    return {
        'version': 8,
        'storage_identifier': 'mcap',
        'relative_file_paths': [name for name, *_ in rows],
        'duration': {'nanoseconds': last - first},
        'starting_time': {'nanoseconds_since_epoch': first},
        'message_count': sum(topics.values()),
        'topics_with_message_count': [
            {
                'topic_metadata': {
                    'name': topic,
                    'type': IMAGE_TYPES[0],
                    'serialization_format': 'cdr',
                    'offered_qos_profiles': '',
                    'type_description_hash': ROS2.hash_rihs01(IMAGE_TYPES[0]),
                },
                'message_count': count,
            }
            for topic, count in topics.items()
        ],
        'compression_format': '',
        'compression_mode': '',
        'files': [
            {
                'path': name,
                'starting_time': {'nanoseconds_since_epoch': start},
                'duration': {'nanoseconds': duration},
                'message_count': count,
            }
            for name, start, duration, count in rows
        ],
        'custom_data': None,
        'ros_distro': 'rtseg_ros',
    }
