# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What is asked of NVIDIA's libraries; stand-ins answer as their C interfaces are documented."""

from __future__ import annotations

import ctypes
import ctypes.util
import importlib.machinery
import importlib.util
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
    nvidia.tensorrt_version.cache_clear()
    yield
    nvidia.tensorrt_version.cache_clear()


def test_the_driver_names_its_gpus(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ctypes, 'CDLL', lambda name: Driver())
    assert nvidia.gpu_name() == 'Orin' and nvidia.gpu() == ('Orin', 14)
    assert nvidia.gpu_name(1) == ''


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
