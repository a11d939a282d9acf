# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of a damaged ROS 1 bag (http://wiki.ros.org/Bags/Format/2.0), by its framing and what is left of its
index.
"""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, Optional, Tuple

from .framing import GARBLED, UNPACK, Broken, Cut, Format, Message, take, walk

MESSAGE, CHUNK, CHUNK_INFO, CONNECTION = (bytes([n]) for n in (2, 5, 6, 7))

Topics = Dict[int, Tuple[str, str]]
"""Topic and type by connection id."""


def scan_ros1(path: Path, faults: List[str]) -> Iterator[Message]:
    """Every message that can be made out, in file order; a sentence on what is skipped goes to ``faults``."""
    topics: Topics = {}
    with path.open('rb') as file:
        if file.readline(32) != b'#ROSBAG V2.0\n':
            faults.append(f'{path}: does not begin like a ROS 1 bag of version 2.0')
            return
        start = file.tell()
        starts = _index(file, start, topics)
        file.seek(start)
        yield from walk(Format(_record, partial(_message, topics), _unpacked), file, path, faults, starts)


def _index(file: BinaryIO, start: int, topics: Topics) -> List[int]:
    """Where chunks begin. The connections that stand outside of them, as the index at the end has them, are added to
    ``topics``.
    """
    end = index = file.seek(0, io.SEEK_END)
    file.seek(start)
    with suppress(Cut, *GARBLED, OSError):
        index = struct.unpack('<Q', _header(file)['index_pos'])[0]
    starts = set()
    for position in (start, index):
        with suppress(Cut, *GARBLED, OSError):
            while position < end:
                file.seek(position)
                header = _header(file)
                size = struct.unpack('<I', take(file, 4))[0]
                position = file.tell() + size
                if header['op'] == CONNECTION:
                    _learn(header, take(file, size), topics)
                elif header['op'] == CHUNK_INFO:
                    starts.add(struct.unpack('<Q', header['chunk_pos'])[0])
    return sorted(start for start in starts if start < end and _begins(file, start))


def _begins(file: BinaryIO, start: int) -> bool:
    """Whether there is a chunk where a perhaps damaged index says so."""
    with suppress(Cut, *GARBLED, OSError):
        file.seek(start)
        return _header(file).get('op') == CHUNK
    return False


def _record(file: BinaryIO, known: Optional[int]) -> Optional[Tuple[Dict[str, bytes], bytes]]:
    """Header and data of the next record; None at the end. ``known``: where the next chunk begins."""
    start = file.read(4)
    if not start:
        return None
    if len(start) < 4:
        raise Cut
    header = _fields(take(file, struct.unpack('<I', start)[0]))
    size = struct.unpack('<I', take(file, 4))[0]
    if known is not None and file.tell() + size > known:
        raise Broken
    return header, take(file, size)


def _message(topics: Topics, record: Tuple[Dict[str, bytes], bytes]) -> Optional[Message]:
    """The message that a record is; of others None, with connections added to ``topics``."""
    header, data = record
    if header.get('op') == CONNECTION:
        _learn(header, data, topics)
    elif header.get('op') == MESSAGE:
        seconds, nanoseconds = struct.unpack('<II', header['time'])
        key = struct.unpack('<I', header['conn'])[0]
        if key in topics:
            return (*topics[key], seconds * 10**9 + nanoseconds, data)
    return None


def _unpacked(record: Tuple[Dict[str, bytes], bytes]) -> Optional[bytes]:
    header, data = record
    return UNPACK[header['compression'].decode()](data) if header.get('op') == CHUNK else None


def _learn(header: Dict[str, bytes], data: bytes, topics: Topics) -> None:
    """Add a connection."""
    kind = _fields(data)['type'].decode()
    topics[struct.unpack('<I', header['conn'])[0]] = (header['topic'].decode(), kind.replace('/', '/msg/', 1))


def _header(file: BinaryIO) -> Dict[str, bytes]:
    return _fields(take(file, struct.unpack('<I', take(file, 4))[0]))


def _fields(data: bytes) -> Dict[str, bytes]:
    fields, offset = {}, 0
    while offset < len(data):
        size = struct.unpack_from('<I', data, offset)[0]
        name, _, value = data[offset + 4 : offset + 4 + size].partition(b'=')
        fields[name.decode()] = value
        offset += 4 + size
    return fields
