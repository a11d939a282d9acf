# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of NVIDIA's libraries; stand-ins answer as their C interfaces are documented."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.machinery
import importlib.util
import shutil
import subprocess
from pathlib import Path
from typing import Iterator

import pytest

from rtseg_models.engine import backends
from rtseg_models.engine.backends import nvidia


class Driver:
    """libcuda with one GPU."""

    def cuInit(self, flags: int) -> int:
        return 0

    def cuDeviceGet(self, device: object, index: int) -> int:
        return 0 if index == 0 else 101  # CUDA_ERROR_INVALID_DEVICE

    def cuDeviceGetName(self, name: ctypes.Array, length: int, device: object) -> int:
        name.value = b'Orin'
        return 0

    def cuDeviceGetAttribute(self, count: object, attribute: int, device: object) -> int:
        assert attribute == 16  # CU_DEVICE_ATTRIBUTE_MULTIPROCESSOR_COUNT
        count._obj.value = 14  # type: ignore[attr-defined]
        return 0


@pytest.fixture(autouse=True)
def asked_anew() -> Iterator[None]:
    for cached in (nvidia.tensorrt_version, nvidia._managed):
        cached.cache_clear()
    yield
    for cached in (nvidia.tensorrt_version, nvidia._managed):
        cached.cache_clear()


def test_the_driver_names_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: Driver())
    assert nvidia.gpu_name() == 'Orin' and nvidia.gpu() == ('Orin', 14)
    assert nvidia.gpu_name(1) == ''


DRIVER = """
#include <string.h>
int cuInit(unsigned flags) { return flags; }
int cuDeviceGet(int *device, int index) { *device = index; return 0; }
int cuDeviceGetPCIBusId(char *place, int length, int device) {
    strncpy(place, device ? "0000:0b:00.0" : "0000:0a:00.0", length);
    return 0;
}
"""
MANAGEMENT = """
#include <string.h>
struct memory { unsigned long long total, free, used; };
static struct device { int number; } first = {0}, second = {1};
int nvmlInit_v2(void) { return 0; }
int nvmlDeviceGetHandleByPciBusId_v2(const char *place, struct device **found) {
    *found = strcmp(place, "0000:0b:00.0") ? &first : &second;
    return 0;
}
int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory) {
    memory->used = (device->number + 1ULL) << 33;
    return 0;
}
int nvmlDeviceGetTemperature(struct device *device, int sensor, unsigned *degrees) {
    *degrees = 60 + device->number;
    return sensor || device->number ? 3 : 0; /* NVML_ERROR_NOT_SUPPORTED */
}
"""


def test_the_management_library_tells_memory_and_temperature(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiler = shutil.which('cc') or shutil.which('gcc') or pytest.skip('no C compiler is installed')
    for name, code in (('libcuda.so.1', DRIVER), ('libnvidia-ml.so.1', MANAGEMENT)):
        command = [compiler, '-shared', '-fPIC', '-x', 'c', '-o', str(tmp_path / name), '-']
        subprocess.run(command, input=code, text=True, check=True)
    load = ctypes.CDLL
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: load(str(tmp_path / name)))
    assert nvidia.gpu_health() == (8192.0, 60.0)
    assert nvidia.gpu_health(1) == (16384.0, None)


def test_tensorrt_tells_its_version(monkeypatch: pytest.MonkeyPatch) -> None:
    library = type('Library', (), {'getInferLibVersion': lambda self: 101300})
    monkeypatch.setattr(ctypes.util, 'find_library', lambda name: f'lib{name}.so.10')
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: library())
    assert nvidia.tensorrt_version() == '101300'


def test_without_the_libraries_nothing_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(name: str) -> None:
        raise OSError(f'{name}: cannot open shared object file')

    monkeypatch.setattr(ctypes, 'CDLL', missing)
    monkeypatch.setattr(ctypes.util, 'find_library', lambda name: f'lib{name}.so.10')
    assert nvidia.gpu_name() == nvidia.tensorrt_version() == ''
    assert nvidia.gpu_health() == (None, None)


def test_the_provider_without_tensorrt_itself_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The wheel of onnxruntime-gpu brings the provider, whether or not TensorRT is there."""
    (tmp_path / 'capi').mkdir()
    (tmp_path / 'capi' / 'libonnxruntime_providers_tensorrt.so').touch()
    found = importlib.machinery.ModuleSpec('onnxruntime', None, is_package=True)
    found.submodule_search_locations = [str(tmp_path)]
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: found)
    for version in ('', '101300'):
        monkeypatch.setattr(backends, 'tensorrt_version', lambda version=version: version)
        assert backends.installed('tensorrt') is bool(version)
