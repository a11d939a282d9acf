# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA's own libraries tell of themselves through their C interfaces; no runtime need be imported for it."""

from __future__ import annotations

import ctypes
import ctypes.util
from functools import lru_cache
from typing import Any, NamedTuple, Optional, Tuple

_MULTIPROCESSOR_COUNT = 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
_GPU_SENSOR = 0  # NVML_TEMPERATURE_GPU


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


class GpuHealth(NamedTuple):
    """Memory in use by all processes (megabytes of 1024 x 1024 bytes) and degrees Celsius; None where untold."""

    memory_mb: Optional[float] = None
    temperature_c: Optional[float] = None


class _Memory(ctypes.Structure):
    """``nvmlMemory_t``."""

    _fields_ = [(name, ctypes.c_ulonglong) for name in ('total', 'free', 'used')]


def gpu_health(index: int = 0) -> GpuHealth:
    """What NVIDIA's management library tells of a GPU, in the numbering of CUDA; a Jetson's tells little or nothing."""
    library, device = _managed(index)
    if library is None:
        return GpuHealth()
    memory, degrees = _Memory(), ctypes.c_uint()
    told = not library.nvmlDeviceGetMemoryInfo(device, ctypes.byref(memory))
    warm = not library.nvmlDeviceGetTemperature(device, _GPU_SENSOR, ctypes.byref(degrees))
    return GpuHealth(memory.used / 2**20 if told else None, float(degrees.value) if warm else None)


@lru_cache(maxsize=None)
def _managed(index: int) -> Tuple[Any, ctypes.c_void_p]:
    """The management library and its handle of a GPU, which the PCI bus tells from others; None where that fails."""
    place, number, device = ctypes.create_string_buffer(64), ctypes.c_int(), ctypes.c_void_p()
    try:
        driver, library = ctypes.CDLL('libcuda.so.1'), ctypes.CDLL('libnvidia-ml.so.1')
        library.nvmlDeviceGetMemoryInfo.argtypes = [ctypes.c_void_p, ctypes.c_void_p]
        library.nvmlDeviceGetTemperature.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p]
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGet(ctypes.byref(number), index)
            or driver.cuDeviceGetPCIBusId(place, len(place), number)
            or library.nvmlInit_v2()
            or library.nvmlDeviceGetHandleByPciBusId_v2(place, ctypes.byref(device))
        )
    except (OSError, AttributeError):
        return None, device
    return None if failed else library, device


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
