# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading what is whole of a damaged recording: no index, no footer, a last chunk cut short by a power loss.

A linear search through the file by the formats' own framing: MCAP (https://mcap.dev/spec), ROS 1 bag 2.0
(http://wiki.ros.org/Bags/Format/2.0) and rosbag2's sqlite3 tables.
"""

from __future__ import annotations

import bz2
import io
import sqlite3
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

Message = Tuple[str, str, int, bytes]
"""Topic, type (ROS 2 spelling), record time in nanoseconds, serialised message."""


class Channel(NamedTuple):
    """A topic as ``Bag`` wants it from a reader."""

    topic: str
    msgtype: str
    msgcount: int


class Salvage:
    """A damaged storage file behind the methods of rosbags' readers that ``Bag`` uses."""

    def __init__(self, path: Path, faults: List[str]) -> None:
        """Search the file once for its topics and counts; a sentence on what is lost goes to ``faults``."""
        self.path = path
        self._scan = _SCANS[path.suffix]
        counts: Dict[Tuple[str, str], int] = {}
        times = []
        for topic, kind, record_time_ns, _ in self._search(faults):
            counts[topic, kind] = counts.get((topic, kind), 0) + 1
            times.append(record_time_ns)
        self.connections = [Channel(topic, kind, n) for (topic, kind), n in counts.items()]
        self.start_time = min(times, default=2**63 - 1)

    def __enter__(self) -> Salvage:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close: each search opens the file for itself."""

    def messages(
        self, connections: Sequence[Channel], start: Optional[int] = None, stop: Optional[int] = None
    ) -> Iterator[Tuple[Channel, int, bytes]]:
        """Messages of some topics in file order, between record times in nanoseconds."""
        wanted = {(c.topic, c.msgtype): c for c in connections}
        for topic, kind, record_time_ns, raw in self._search([]):
            channel = wanted.get((topic, kind))
            late = stop is not None and record_time_ns >= stop
            if channel is not None and not late and (start is None or record_time_ns >= start):
                yield channel, record_time_ns, raw

    def _search(self, faults: List[str]) -> Iterator[Message]:
        try:
            yield from self._scan(self.path, faults)
        except _GARBLED as error:
            faults.append(f'{self.path}: holds a record that cannot be made out ({error}); the rest is skipped')


LARGE = 1 << 16
_GARBLED = (struct.error, ValueError, KeyError, OverflowError, MemoryError)
"""What reading a record of garbage raises."""


class _Cut(Exception):
    """The file ends inside a record."""


def _take(file: BinaryIO, size: int) -> bytes:
    if size > LARGE:  # garbage may promise more than memory holds
        here = file.tell()
        left = file.seek(0, io.SEEK_END) - here
        file.seek(here)
        if left < size:
            raise _Cut
    data = file.read(size)
    if len(data) < size:
        raise _Cut
    return data


def _scan_mcap(path: Path, faults: List[str]) -> Iterator[Message]:
    schemas: Dict[int, str] = {}
    channels: Dict[int, Tuple[str, str]] = {}
    with path.open('rb') as file:
        if file.read(8) != b'\x89MCAP0\r\n':
            faults.append(f'{path}: does not begin like an MCAP file')
            return
        _mcap_index(file, schemas, channels)
        file.seek(8)
        yield from _mcap_records(file, path, faults, schemas, channels)


def _mcap_index(file: BinaryIO, schemas: Dict[int, str], channels: Dict[int, Tuple[str, str]]) -> None:
    """Add what stands outside of the chunks: a damaged first chunk may be the only other place of it."""
    end = file.seek(0, io.SEEK_END)
    file.seek(max(8, end - 37))
    footer = file.read(17)
    summary = struct.unpack_from('<Q', footer, 9)[0] if footer[:9] == b'\x02\x14' + bytes(7) else end
    for position in (8, summary):
        with suppress(_Cut, *_GARBLED):
            while position < end:
                file.seek(position)
                opcode, size = struct.unpack('<cQ', _take(file, 9))
                if opcode in (b'\x03', b'\x04'):
                    _mcap_topic(opcode, _take(file, size), schemas, channels)
                elif opcode in (b'\x00', b'\x02'):  # zeros for a record, footer
                    break
                position += 9 + size


def _mcap_topic(opcode: bytes, record: bytes, schemas: Dict[int, str], channels: Dict[int, Tuple[str, str]]) -> None:
    """Add a schema or a channel."""
    if opcode == b'\x03':
        schemas[struct.unpack_from('<H', record)[0]] = _text(record, 2)[0]
    else:
        key, schema = struct.unpack_from('<HH', record)
        channels[key] = (_text(record, 4)[0], schemas.get(schema, ''))


def _mcap_records(
    file: BinaryIO, path: Path, faults: List[str], schemas: Dict[int, str], channels: Dict[int, Tuple[str, str]]
) -> Iterator[Message]:
    """Messages of a file or of an unpacked chunk; schemas and channels seen on the way are added."""
    while True:
        position = file.tell()
        opcode = file.read(1)
        if not opcode or opcode == b'\x02':  # end of chunk, footer
            return
        try:
            size = struct.unpack('<Q', _take(file, 8))[0]
            record = _take(file, size)
        except _Cut:
            faults.append(f'{path}: cut short at byte {position}; the record that begins there is skipped')
            return
        if opcode in (b'\x03', b'\x04'):
            _mcap_topic(opcode, record, schemas, channels)
        elif opcode == b'\x05':
            key, _, log_time, _ = struct.unpack_from('<HIQQ', record)
            if key in channels:
                yield (*channels[key], log_time, record[22:])
        elif opcode == b'\x06':
            try:
                chunk = io.BytesIO(_mcap_chunk(record))
                yield from _mcap_records(chunk, path, faults, schemas, channels)
            except (*_GARBLED, RuntimeError, EOFError, zstd.ZstdError) as error:
                faults.append(f'{path}: chunk at byte {position} is damaged ({error}); what is left of it is skipped')


def _text(record: bytes, offset: int) -> Tuple[str, int]:
    """A length-prefixed text and the offset after it."""
    size = struct.unpack_from('<I', record, offset)[0]
    end = offset + 4 + size
    return record[offset + 4 : end].decode(), end


def _mcap_chunk(record: bytes) -> bytes:
    name, offset = _text(record, 28)
    return _UNPACK[name](record[offset + 8 :])


_UNPACK: Dict[str, Callable[[bytes], bytes]] = {
    '': bytes,
    'none': bytes,
    'zstd': zstd.decompress,
    'lz4': lz4.frame.decompress,
    'bz2': bz2.decompress,
}


def _scan_ros1(path: Path, faults: List[str]) -> Iterator[Message]:
    topics: Dict[int, Tuple[str, str]] = {}
    with path.open('rb') as file:
        if file.readline(32) != b'#ROSBAG V2.0\n':
            faults.append(f'{path}: does not begin like a ROS 1 bag of version 2.0')
            return
        start = file.tell()
        _ros1_index(file, start, topics)
        file.seek(start)
        yield from _ros1_records(file, path, faults, topics)


def _ros1_index(file: BinaryIO, start: int, topics: Dict[int, Tuple[str, str]]) -> None:
    """Add the connections that stand outside of the chunks, as the index at the end has them."""
    end = index = file.seek(0, io.SEEK_END)
    file.seek(start)
    with suppress(_Cut, *_GARBLED):
        index = struct.unpack('<Q', _ros1_header(file)['index_pos'])[0]
    for position in (start, index):
        with suppress(_Cut, *_GARBLED):
            while position < end:
                file.seek(position)
                header = _ros1_header(file)
                size = struct.unpack('<I', _take(file, 4))[0]
                position = file.tell() + size
                if header['op'] == b'\x07':
                    _ros1_topic(header, _take(file, size), topics)


def _ros1_header(file: BinaryIO) -> Dict[str, bytes]:
    return _ros1_fields(_take(file, struct.unpack('<I', _take(file, 4))[0]))


def _ros1_topic(header: Dict[str, bytes], data: bytes, topics: Dict[int, Tuple[str, str]]) -> None:
    """Add a connection."""
    kind = _ros1_fields(data)['type'].decode()
    topics[struct.unpack('<I', header['conn'])[0]] = (header['topic'].decode(), kind.replace('/', '/msg/', 1))


def _ros1_records(
    file: BinaryIO, path: Path, faults: List[str], topics: Dict[int, Tuple[str, str]]
) -> Iterator[Message]:
    while True:
        position = file.tell()
        try:
            start = file.read(4)
            if not start:
                return
            if len(start) < 4:
                raise _Cut
            header = _ros1_fields(_take(file, struct.unpack('<I', start)[0]))
            data = _take(file, struct.unpack('<I', _take(file, 4))[0])
        except (_Cut, struct.error):
            faults.append(f'{path}: cut short at byte {position}; the record that begins there is skipped')
            return
        opcode = header.get('op', b'')
        if opcode == b'\x07':
            _ros1_topic(header, data, topics)
        elif opcode == b'\x02':
            seconds, nanoseconds = struct.unpack('<II', header['time'])
            key = struct.unpack('<I', header['conn'])[0]
            if key in topics:
                yield (*topics[key], seconds * 10**9 + nanoseconds, data)
        elif opcode == b'\x05':
            try:
                chunk = io.BytesIO(_UNPACK[header['compression'].decode()](data))
                yield from _ros1_records(chunk, path, faults, topics)
            except (*_GARBLED, RuntimeError, EOFError, OSError) as error:
                faults.append(f'{path}: chunk at byte {position} is damaged ({error}); what is left of it is skipped')


def _ros1_fields(data: bytes) -> Dict[str, bytes]:
    fields, offset = {}, 0
    while offset < len(data):
        size = struct.unpack_from('<I', data, offset)[0]
        name, _, value = data[offset + 4 : offset + 4 + size].partition(b'=')
        fields[name.decode()] = value
        offset += 4 + size
    return fields


def _scan_sqlite(path: Path, faults: List[str]) -> Iterator[Message]:
    read = 0
    connection = sqlite3.connect(f'{path.resolve().as_uri()}?immutable=1', uri=True)
    try:
        connection.execute('PRAGMA writable_schema=ON')  # lets SQLite open a file shorter than its header says
        topics = {key: (name, kind) for key, name, kind in connection.execute('SELECT id, name, type FROM topics')}
        for key, record_time_ns, raw in connection.execute(
            'SELECT topic_id, timestamp, data FROM messages ORDER BY id'
        ):
            read += 1
            yield (*topics[key], record_time_ns, raw)
    except sqlite3.DatabaseError as error:
        faults.append(f'{path}: damaged after {read} messages ({error}); the rest is skipped')
    finally:
        connection.close()


_SCANS: Dict[str, Callable[[Path, List[str]], Iterator[Message]]] = {
    '.mcap': _scan_mcap,
    '.bag': _scan_ros1,
    '.db3': _scan_sqlite,
}
SEARCHABLE = frozenset(_SCANS)
