# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA's own libraries tell of themselves through their C interfaces; no runtime need be imported for it."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from typing import Any, NamedTuple, Optional

_MULTIPROCESSOR_COUNT = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT


class Gpu(NamedTuple):
    """A GPU as the CUDA driver has it; modules of one name, such as ``Orin``, differ in their multiprocessors."""

    name: str
    multiprocessors: int


def gpu(index: int = 0) -> Optional[Gpu]:
    """What the driver tells of a GPU; None where it tells nothing."""
    name, device, count = ctypes.create_string_buffer(256), ctypes.c_int(), ctypes.c_int()
    try:
        driver = ctypes.CDLL('libcuda.so.1')
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGet(ctypes.byref(device), index)
            or driver.cuDeviceGetName(name, len(name), device)
            or driver.cuDeviceGetAttribute(ctypes.byref(count), _MULTIPROCESSOR_COUNT, device)
        )
    except (OSError, AttributeError):
        return None
    return None if failed else Gpu(name.value.decode(errors='replace'), count.value)


def gpu_name(index: int = 0) -> str:
    """Name of a GPU, such as ``NVIDIA H200`` or ``Orin``; empty where the driver tells none."""
    found = gpu(index)
    return found.name if found is not None else ''


@lru_cache(maxsize=None)
def tensorrt_version() -> str:
    """TensorRT's version as its library packs it into a number, such as ``101300``; empty where there is none."""
    for library in ('libnvinfer.so.10', 'libnvinfer.so.8', ctypes.util.find_library('nvinfer')):
        version = _library_version(library) if library else ''
        if version:
            return version
    return ''


def _library_version(library: str) -> str:
    try:
        loaded: Any = ctypes.CDLL(library)
        return str(loaded.getInferLibVersion())
    except (OSError, AttributeError):
        return ''
