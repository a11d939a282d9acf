# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Room for images in Fast DDS: the shipped profile, chosen before rclpy starts unless the user chose otherwise.

An image larger than Fast DDS's default shared-memory segment travels as UDP datagrams, and best effort loses one of
them every time. The publishing side needs the profile; see ``config/fastdds_large_images.xml``.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Mapping, MutableMapping

PROFILE = 'fastdds_large_images.xml'
PROFILE_VARIABLES = ('FASTDDS_DEFAULT_PROFILES_FILE', 'FASTRTPS_DEFAULT_PROFILES_FILE')
"""The variable that names a profile file in Fast DDS 3, and in Fast DDS 2."""

FAST_DDS_2 = ('humble', 'iron', 'jazzy')
"""Distributions with Fast DDS 2, which does not read the new variable; Fast DDS 3 complains about the old one."""

SHARED_MEMORY = Path('/dev/shm')
ROOM_NEEDED = 72 << 20
"""Bytes of shared memory that a process with the profile takes: its segment of 64 MiB, and what Fast DDS adds."""

USERS_CHOICE = (*PROFILE_VARIABLES, 'FASTDDS_BUILTIN_TRANSPORTS', 'RMW_FASTRTPS_USE_QOS_FROM_XML')
USERS_FILES = ('DEFAULT_FASTDDS_PROFILES.xml', 'DEFAULT_FASTRTPS_PROFILES.xml')


def config_file(name: str) -> Path:
    """A file of ``config/``: of the source tree around this module, else of the installed package (colcon, pip)."""
    source = Path(__file__).resolve().parents[1] / 'config' / name
    if source.is_file():
        return source
    from ament_index_python.packages import get_package_share_directory

    try:
        share = Path(get_package_share_directory('rtseg_ros'))
    except (LookupError, OSError):  # not found, or not even AMENT_PREFIX_PATH is set
        share = Path(sys.prefix) / 'share' / 'rtseg_ros'
    return share / 'config' / name


def make_room_for_images(environment: MutableMapping[str, str]) -> str:
    """Select the shipped profile in ``environment`` (os.environ) and say in a sentence what was done and why."""
    middleware = environment.get('RMW_IMPLEMENTATION') or 'rmw_fastrtps_cpp'
    if not middleware.startswith('rmw_fastrtps'):
        return f'transport: left to {middleware}'
    chosen = [f'{name}={environment[name]}' for name in USERS_CHOICE if environment.get(name)]
    chosen += [name for name in USERS_FILES if Path(name).is_file()]
    if chosen:
        return f'transport: Fast DDS as chosen by {", ".join(chosen)}'
    if environment.get('ROS_LOCALHOST_ONLY') == '1' and environment.get('ROS_DISTRO') == 'humble':
        return (  # whose middleware adds the local interface to the profile's transports, which know all interfaces
            'transport: Fast DDS defaults, since the profile would leave ROS_LOCALHOST_ONLY without effect on Humble; '
            'large best-effort images may be lost'
        )
    path = config_file(PROFILE)
    if not path.is_file():
        return f'transport: Fast DDS defaults, since {path} is missing; large best-effort images will be lost'
    free = _free_shared_memory()
    if free < ROOM_NEEDED:  # Fast DDS would go on with UDP alone and say nothing
        return (
            f'transport: Fast DDS defaults, since {SHARED_MEMORY} has {free >> 20} MiB free of the '
            f'{ROOM_NEEDED >> 20} that {path.name} needs; start a container with --ipc=host or --shm-size=512m, '
            'or run "fastdds shm clean" where killed processes left theirs behind; else large images will be lost'
        )
    environment[profile_variable(environment)] = str(path)
    return f'transport: Fast DDS with {path}'


def profile_variable(environment: Mapping[str, str]) -> str:
    """The name of the variable that this distribution's Fast DDS reads."""
    return PROFILE_VARIABLES[environment.get('ROS_DISTRO') in FAST_DDS_2]


def _free_shared_memory() -> int:
    """Bytes; where nothing can be asked, there is room."""
    try:
        state = os.statvfs(SHARED_MEMORY)
    except OSError:
        return ROOM_NEEDED
    return state.f_bavail * state.f_frsize
