# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recordings of images: reading rosbag2 (sqlite3, MCAP) and ROS 1 bags, writing masks as MCAP. No ROS is needed.

Image messages are read with the standard definitions of sensor_msgs, which every ROS distribution shares: a bag without
message definitions, or with broken ones of other types, reads like any other.
"""

from __future__ import annotations

import os
import re
import shutil
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Type

import numpy as np
from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import CompressionFormat, CompressionMode, StoragePlugin, Writer
from rosbags.rosbag2 import Reader as Reader2
from rosbags.typesys import Stores, get_typestore
from ruamel.yaml import YAML

from rtseg_models.errors import BundleError, NotFound, UsageError

from .bag_salvage import Salvage

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')

_ROS1 = get_typestore(Stores.ROS1_NOETIC)
_ROS2 = get_typestore(Stores.ROS2_HUMBLE)
_Image = _ROS2.types['sensor_msgs/msg/Image']
_Header = _ROS2.types['std_msgs/msg/Header']
_Time = _ROS2.types['builtin_interfaces/msg/Time']


@dataclass(frozen=True)
class ImageRecord:
    """One image message of a bag.

    ``index`` counts the topic's messages within the time range from 0, before the stride. ``message`` has the fields of
    sensor_msgs/Image or CompressedImage; it is None where the bytes are no such message, and ``fault`` says why.
    """

    topic: str
    stamp_ns: int
    frame_id: str
    record_time_ns: int
    index: int
    message: Optional[Any]
    compressed: bool
    fault: str = ''


class Bag:
    """A recording open for reading; a context manager.

    ``path`` is a rosbag2 folder, one of its .mcap or .db3 files, or a ROS 1 .bag file. What is damaged is read as far
    as it goes: ``faults`` then holds a sentence for each place where something was skipped (complete once all was
    read), and ``notes`` what is odd about the bag but cost no message.

    NotFound where there is no such path, BundleError where it is not a bag.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.faults: List[str] = []
        self.notes: List[str] = []
        self.ros1 = path.suffix == '.bag'
        self._stack = ExitStack()
        self._parts: List[Any] = self._open()
        if not self.topics and self.faults:
            raise BundleError(f'{path}: not a bag that can be read: {"; ".join(self.faults)}')

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    def _open(self) -> List[Any]:
        if not self.path.exists():
            raise NotFound(f'{self.path}: no such bag')
        files = storage_files(self.path)
        metadata = self.path / 'metadata.yaml'
        if self.path.is_dir() and files and not metadata.is_file():
            self.notes.append(f'{self.path}: metadata.yaml is missing; its {len(files)} file(s) are read in name order')
            return [self._open_file(p) for p in files]
        try:
            return [self._enter(self.path)]
        except Exception as error:  # rosbags lets its own errors, sqlite's, yaml's, zstd's and struct's through
            packed = metadata.is_file() and re.search(
                r'compression_mode: [\'"]?(file|message)', metadata.read_text(), re.I
            )
            if not files or packed:
                raise BundleError(
                    f'{self.path}: not a bag that can be read: {error}. A bag is a rosbag2 folder, one of its .mcap or '
                    '.db3 files, or a ROS 1 .bag file'
                ) from error
        return [self._open_file(p) for p in files]

    def _open_file(self, path: Path) -> Any:
        """Reader of one storage file, by linear search where its index or its end is damaged."""
        try:
            return self._enter(path)
        except Exception as error:  # as above
            self.faults.append(f'{path}: damaged ({error}); what is whole of it is read')
            return Salvage(path, self.faults)

    def _enter(self, path: Path) -> Any:
        return self._stack.enter_context(Reader1(path) if self.ros1 else Reader2(path))

    @property
    def topics(self) -> Dict[str, str]:
        """Message type by topic."""
        return {c.topic: c.msgtype for part in self._parts for c in part.connections}

    def image_topics(self) -> List[str]:
        """Topics that carry images, in name order."""
        return sorted(topic for topic, kind in self.topics.items() if kind in IMAGE_TYPES)

    def require_images(self, topics: Sequence[str]) -> None:
        """NotFound or BundleError unless every topic carries images; the message lists those that do."""
        known = self.topics
        have = ', '.join(self.image_topics()) or 'none'
        for topic in topics:
            if topic not in known:
                raise NotFound(f'{self.path}: no topic {topic!r} in it; its image topics: {have}')
            if known[topic] not in IMAGE_TYPES:
                raise BundleError(
                    f'{self.path}: topic {topic!r} is {known[topic]}, not an image; its image topics: {have}'
                )

    def count(self, topics: Sequence[str]) -> Optional[int]:
        """Messages on these topics as the index has it; None where a damaged part has no index."""
        counts = [c.msgcount for part in self._parts for c in part.connections if c.topic in topics]
        return None if any(n is None for n in counts) else sum(counts)

    @property
    def start_ns(self) -> int:
        """Record time of the first message of any topic."""
        return min((part.start_time for part in self._parts), default=0)

    def images(
        self, topics: Sequence[str], start_s: float = 0.0, end_s: Optional[float] = None, stride: int = 1
    ) -> Iterator[ImageRecord]:
        """Every ``stride``-th image of each topic, in the order of recording, between seconds after the bag's start."""
        self.require_images(topics)
        first = self.start_ns + round(start_s * 1e9) if start_s > 0 else None
        last = None if end_s is None else self.start_ns + round(end_s * 1e9)
        index = dict.fromkeys(topics, -1)
        for topic, kind, record_time_ns, raw in self._messages(topics, first, last):
            index[topic] += 1
            if index[topic] % stride == 0:
                yield self._record(topic, kind, record_time_ns, index[topic], raw)

    def at(self, topic: str, record_time_ns: int) -> Iterator[ImageRecord]:
        """Images of a topic recorded at one time; their ``index`` means nothing."""
        for _, kind, time_ns, raw in self._messages([topic], record_time_ns, record_time_ns + 1):
            yield self._record(topic, kind, time_ns, 0, raw)

    def _messages(
        self, topics: Sequence[str], first: Optional[int], last: Optional[int]
    ) -> Iterator[Tuple[str, str, int, Any]]:
        for part in self._parts:
            wanted = [c for c in part.connections if c.topic in topics]
            if not wanted:
                continue
            read = 0
            try:
                for connection, record_time_ns, raw in part.messages(wanted, first, last):
                    read += 1
                    yield connection.topic, connection.msgtype, record_time_ns, raw
            except Exception as error:  # a damaged bag: see _open
                expected = sum(c.msgcount or 0 for c in wanted)
                lost = f' of {expected}' if expected and first is None and last is None else ''
                self.faults.append(f'{part.path}: damaged after {read}{lost} messages ({error}); the rest is skipped')

    def _record(self, topic: str, kind: str, record_time_ns: int, index: int, raw: Any) -> ImageRecord:
        compressed = kind.endswith('CompressedImage')
        try:
            message: Any = _ROS1.deserialize_ros1(raw, kind) if self.ros1 else _ROS2.deserialize_cdr(raw, kind)
        except Exception as error:  # generated code reads what the bytes say, and they may say anything
            return ImageRecord(topic, 0, '', record_time_ns, index, None, compressed, f'not a {kind}: {error}')
        stamp = message.header.stamp
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        return ImageRecord(topic, stamp_ns, message.header.frame_id, record_time_ns, index, message, compressed)


def storage_files(path: Path) -> List[Path]:
    """The storage files of a bag in recording order: split files end in a number."""
    if path.is_file():
        return [path] if path.suffix in ('.mcap', '.db3', '.bag') else []
    found = [p for p in path.iterdir() if p.suffix in ('.mcap', '.db3')]
    return sorted(found, key=lambda p: (int((re.findall(r'_(\d+)$', p.stem) or ['0'])[0]), p.name))


def read_images(
    paths: Sequence[Path],
    topics: Sequence[str],
    start_s: float = 0.0,
    end_s: Optional[float] = None,
    stride: int = 1,
) -> Iterator[ImageRecord]:
    """Images of several bags, one bag after the other; errors are those of ``Bag``."""
    for path in paths:
        with Bag(path) as bag:
            yield from bag.images(topics, start_s, end_s, stride)


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
            connection = self._writer.add_connection(topic, IMAGE_TYPES[0], typestore=_ROS2)
            self._connections[topic] = connection
        raw = _ROS2.serialize_cdr(message, IMAGE_TYPES[0])
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
        shutil.rmtree(self._unfinished)
        self.files.append(target)

    def close(self) -> None:
        """End the bag: the last file, then metadata.yaml."""
        self.close_file()
        temporary = self.path / '.metadata.yaml'
        with temporary.open('w', encoding='utf-8') as stream:
            yaml = YAML(typ='safe')
            yaml.default_flow_style = False
            yaml.dump({'rosbag2_bagfile_information': _metadata(self.files)}, stream)
        temporary.replace(self.path / 'metadata.yaml')

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
                    'type_description_hash': _ROS2.hash_rihs01(IMAGE_TYPES[0]),
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
