# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The messages of a damaged MCAP file (https://mcap.dev/spec), by its framing and by what is left of its index."""

from __future__ import annotations

import io
import struct
from contextlib import suppress
from pathlib import Path
from typing import BinaryIO, Dict, Iterator, List, Optional, Tuple

from .framing import GARBLED, UNPACK, Broken, Cut, Format, Message, take, walk

SCHEMA, CHANNEL, MESSAGE, CHUNK, CHUNK_INDEX, FOOTER, ZERO = (bytes([n]) for n in (3, 4, 5, 6, 8, 2, 0))


class Topics:
    """Topic and type by channel id, as schemas and channels tell them on the way."""

    def __init__(self) -> None:
        self.schemas: Dict[int, str] = {}
        self.channels: Dict[int, Tuple[str, str]] = {}

    def learn(self, opcode: bytes, record: bytes) -> None:
        """Add a schema or a channel."""
        if opcode == SCHEMA:
            self.schemas[struct.unpack_from('<H', record)[0]] = _text(record, 2)[0]
        else:
            key, schema = struct.unpack_from('<HH', record)
            self.channels[key] = (_text(record, 4)[0], self.schemas.get(schema, ''))

    def message(self, record: Tuple[bytes, bytes]) -> Optional[Message]:
        """The message that a record is; of others None, with schemas and channels added."""
        opcode, content = record
        if opcode in (SCHEMA, CHANNEL):
            self.learn(opcode, content)
        elif opcode == MESSAGE:
            key, _, log_time, _ = struct.unpack_from('<HIQQ', content)
            if key in self.channels:
                return (*self.channels[key], log_time, content[22:])
        return None


def scan_mcap(path: Path, faults: List[str]) -> Iterator[Message]:
    """Every message that can be made out, in file order; a sentence on what is skipped goes to ``faults``."""
    topics = Topics()
    with path.open('rb') as file:
        if file.read(8) != b'\x89MCAP0\r\n':
            faults.append(f'{path}: does not begin like an MCAP file')
            return
        starts = _index(file, topics)
        file.seek(8)
        yield from walk(Format(_record, topics.message, _unpacked), file, path, faults, starts)


def _index(file: BinaryIO, topics: Topics) -> List[int]:
    """Where chunks begin. What stands outside of them is added to ``topics``: a damaged first chunk may be the only
    other place of it.
    """
    end = file.seek(0, io.SEEK_END)
    file.seek(max(8, end - 37))
    footer = file.read(17)
    summary = struct.unpack_from('<Q', footer, 9)[0] if footer[:9] == b'\x02\x14' + bytes(7) else end
    starts: Dict[int, int] = {}
    for position in (8, summary):
        with suppress(Cut, *GARBLED, OSError):
            while position < end:
                file.seek(position)
                opcode, size = struct.unpack('<cQ', take(file, 9))
                if opcode in (SCHEMA, CHANNEL):
                    topics.learn(opcode, take(file, size))
                elif opcode == CHUNK_INDEX:
                    start, length = struct.unpack_from('<QQ', take(file, size), 16)
                    starts[start] = length
                elif opcode in (ZERO, FOOTER):
                    break
                position += 9 + size
    return sorted(start for start, length in starts.items() if start < end and _begins(file, start, length))


def _begins(file: BinaryIO, start: int, length: int) -> bool:
    """Whether there is a chunk where a perhaps damaged index says so."""
    with suppress(Cut, *GARBLED, OSError):
        file.seek(start)
        return take(file, 9) == struct.pack('<cQ', CHUNK, length - 9)
    return False


def _record(file: BinaryIO, known: Optional[int]) -> Optional[Tuple[bytes, bytes]]:
    """Opcode and content of the next record; None at the end. ``known``: where the next chunk begins."""
    opcode = file.read(1)
    if known is None and (not opcode or opcode == FOOTER):
        return None
    size = struct.unpack('<Q', take(file, 8))[0]
    if known is not None and (opcode == FOOTER or file.tell() + size > known):
        raise Broken
    return opcode, take(file, size)


def _text(record: bytes, offset: int) -> Tuple[str, int]:
    """A length-prefixed text and the offset after it."""
    size = struct.unpack_from('<I', record, offset)[0]
    end = offset + 4 + size
    return record[offset + 4 : end].decode(), end


def _unpacked(record: Tuple[bytes, bytes]) -> Optional[bytes]:
    opcode, content = record
    if opcode != CHUNK:
        return None
    name, offset = _text(content, 28)
    return UNPACK[name](content[offset + 8 :])
