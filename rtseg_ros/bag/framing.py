# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What searching a damaged recording record by record takes, whatever its format."""

from __future__ import annotations

import bz2
import io
import struct
import sys
from bisect import bisect_right
from pathlib import Path
from typing import Any, BinaryIO, Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

import lz4.frame

if sys.version_info >= (3, 14):
    from compression import zstd as zstd
else:
    from backports import zstd as zstd

Message = Tuple[str, str, int, bytes]
"""Topic, type (ROS 2 spelling), record time in nanoseconds, serialised message."""

LARGE = 1 << 16

GARBLED = (struct.error, ValueError, KeyError, OverflowError, MemoryError)
"""What reading a record of garbage raises."""

SPOILT = (*GARBLED, RuntimeError, EOFError, OSError, zstd.ZstdError)
"""What unpacking a damaged chunk raises, and reading what came of it."""

UNPACK: Dict[str, Callable[[bytes], bytes]] = {
    '': bytes,
    'none': bytes,
    'zstd': zstd.decompress,
    'lz4': lz4.frame.decompress,
    'bz2': bz2.decompress,
}


class Cut(Exception):
    """The file ends inside a record."""


class Broken(Exception):
    """A record that cannot be what it says, for a chunk that the index knows begins inside it."""


def take(file: BinaryIO, size: int) -> bytes:
    """The next ``size`` bytes; Cut where the file has fewer."""
    if size > LARGE:  # garbage may promise more than memory holds
        here = file.tell()
        left = file.seek(0, io.SEEK_END) - here
        file.seek(here)
        if left < size:
            raise Cut
    data = file.read(size)
    if len(data) < size:
        raise Cut
    return data


def following(starts: Sequence[int], position: int) -> Optional[int]:
    """The first of ``starts``, which are sorted, behind ``position``."""
    place = bisect_right(starts, position)
    return starts[place] if place < len(starts) else None


class Format(NamedTuple):
    """How a format's records are read: ``read`` the next one (None at the end), given where the next chunk is known to
    begin; ``message`` of a record, which learns topics on the way; ``unpack`` a record that is a chunk, None of others.
    """

    read: Callable[[BinaryIO, Optional[int]], Any]
    message: Callable[[Any], Optional[Message]]
    unpack: Callable[[Any], Optional[bytes]]


def walk(how: Format, file: BinaryIO, path: Path, faults: List[str], starts: Sequence[int] = ()) -> Iterator[Message]:
    """Messages of a file whose chunks are known to begin at ``starts``, or of an unpacked chunk."""
    while True:
        position = file.tell()
        known = following(starts, position)
        try:
            record = how.read(file, known)
            if record is None:
                return
            message = how.message(record)
        except (Broken, Cut, *GARBLED, OSError) as error:  # the last for a bad sector
            if known is None:
                if not isinstance(error, Cut):
                    raise
                faults.append(f'{path}: cut short at byte {position}; the record that begins there is skipped')
                return
            faults.append(f'{path}: nothing can be made out from byte {position} to the chunk at {known}')
            file.seek(known)
            continue
        if message is not None:
            yield message
            continue
        try:
            content = how.unpack(record)
            if content is not None:
                yield from walk(how, io.BytesIO(content), path, faults)
        except SPOILT as error:
            faults.append(f'{path}: chunk at byte {position} is damaged ({error}); what is left of it is skipped')
