# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What reading and writing of bags have in common: the image types, their definitions and a bag's files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import List

from rosbags.typesys import Stores, get_typestore

IMAGE_TYPES = ('sensor_msgs/msg/Image', 'sensor_msgs/msg/CompressedImage')

ROS1 = get_typestore(Stores.ROS1_NOETIC)
ROS2 = get_typestore(Stores.ROS2_HUMBLE)


def storage_files(path: Path) -> List[Path]:
    """The storage files of a bag in recording order: split files end in a number."""
    if path.is_file():
        return [path] if path.suffix in ('.mcap', '.db3', '.bag') else []
    found = [p for p in path.iterdir() if p.suffix in ('.mcap', '.db3')]
    return sorted(found, key=lambda p: (int((re.findall(r'_(\d+)$', p.stem) or ['0'])[0]), p.name))
