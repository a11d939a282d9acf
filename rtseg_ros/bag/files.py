# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What reading and writing of bags have in common: the image types, their definitions and a bag's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List, Optional, Tuple

from rosbags.typesys import Stores, get_typestore

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
    """What can be unpacked of a packed storage file, in ``folder``; and why that is not all, empty where it is."""
    copy = folder / unpacked_name(path).name
    with copy.open('wb') as out:
        try:
            with zstd.open(path, 'rb') as packed:
                for block in iter(lambda: packed.read1(1 << 20), b''):  # read would drop what precedes an error
                    out.write(block)
        except (zstd.ZstdError, EOFError) as error:
            return copy, str(error)
    return copy, ''
