# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What NVIDIA's own libraries tell of themselves through their C interfaces; no runtime need be imported for it."""

from __future__ import annotations

import ctypes
import ctypes.util


def gpu_name(index: int = 0) -> str:
    """Name of a GPU as the CUDA driver has it, such as ``NVIDIA H200`` or ``Orin``; empty where it tells none."""
    name, device = ctypes.create_string_buffer(256), ctypes.c_int()
    try:
        driver = ctypes.CDLL('libcuda.so.1')
        failed = (
            driver.cuInit(0)
            or driver.cuDeviceGet(ctypes.byref(device), index)
            or driver.cuDeviceGetName(name, len(name), device)
        )
    except (OSError, AttributeError):
        return ''
    return '' if failed else name.value.decode(errors='replace')


def tensorrt_version() -> str:
    """TensorRT's version as its library packs it into a number, such as ``101300``; empty where there is none."""
    library = ctypes.util.find_library('nvinfer')
    try:
        return str(ctypes.CDLL(library).getInferLibVersion()) if library else ''
    except (OSError, AttributeError):
        return ''
