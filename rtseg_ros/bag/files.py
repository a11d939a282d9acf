# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What reading and writing of bags have in common: the image types, their definitions and a bag's files."""

from __future__ import annotations

import re
from contextlib import ExitStack
from pathlib import Path
from typing import Any, BinaryIO, List, Optional, Tuple

from rosbags.typesys import Stores, get_typestore

from rtseg_models.errors import RtsegError

from .framing import zstd

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')

ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS2 = get_typestore(Stores.ROS2_HUMBLE)


STORAGE = ('.mcap', '.db3')
PACKED = '.zstd'
"""What ``ros2 bag record --compression-mode file`` adds to a storage file's name."""


def storage_files(path: Path) -> List[Path]:
    """The storage files of a bag in recording order: split files end in a number.

    Of a file that is there packed and unpacked, as a recorder that was killed while packing leaves it, the unpacked.
    """
    if not path.is_dir():
        return [path] if path.suffix == '.bag' or unpacked_name(path).suffix in STORAGE else []
    found = [p for p in path.iterdir() if unpacked_name(p).suffix in STORAGE]
    once = {unpacked_name(p): p for p in sorted(found, reverse=True)}  # the shorter name comes last
    return sorted(once.values(), key=lambda p: (part_number(p) or 0, p.name))


def part_number(path: Path) -> Optional[int]:
    """The number that a split bag's file ends in."""
    found = re.search(r'_(\d+)$', unpacked_name(path).stem)
    return int(found[1]) if found else None


def unpacked_name(path: Path) -> Path:
    """The path without what packing adds to it."""
    return path.with_suffix('') if path.suffix == PACKED else path


def unpacked_copy(path: Path, folder: Path) -> Tuple[Path, str]:
    """What can be unpacked of a packed storage file, in ``folder``; and why that is not all, empty where it is.

    RtsegError where the folder's disk has no room for it.
    """
    copy = folder / unpacked_name(path).name
    try:
        with copy.open('wb') as out:
            return copy, _unpack(path, out)
    except OSError as error:
        raise RtsegError(
            f'{path}: cannot be unpacked into {folder}: {error.strerror}; have TMPDIR name a disk with room'
        ) from error


def _unpack(path: Path, out: BinaryIO) -> str:
    """Why not all of a packed file could be read, empty where it could; OSError where it cannot be written."""
    with ExitStack() as stack:
        packed: Any = None
        while True:
            try:
                packed = packed or stack.enter_context(zstd.open(path, 'rb'))
                block = packed.read1(1 << 20)  # read would drop what precedes an error
            except (zstd.ZstdError, EOFError, OSError) as error:
                return str(error)
            if not block:
                return ''
            out.write(block)
