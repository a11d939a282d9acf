# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runtimes by name behind one protocol. A runtime is imported when it is chosen, never before."""

from __future__ import annotations

import importlib
import importlib.metadata
import importlib.util
import logging
import re
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple, runtime_checkable

import numpy as np

from ...bundle import Bundle
from ...card import Card, Size
from ...errors import ConfigurationError, Unavailable
from ..postprocess import Grid
from .cache import CACHE
from .nvidia import tensorrt_version

_log = logging.getLogger('rtseg')


@dataclass(frozen=True)
class Options:
    """What a backend may be told.

    ``threads`` 0 leaves the number to the runtime. ``cache_dir`` None means no cache; with ``keep``, to open a backend
    is to build ahead of time, and NotKept is raised where the cache cannot keep the engine. The backend ``auto`` leaves
    out those in ``without``. ``deterministic`` keeps a GPU's runtime from choosing algorithms by timing them, so that
    another run gives the same bytes; a TensorRT engine does once it is in the cache.
    """

    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    cache_dir: Optional[Path] = None
    keep: bool = False
    without: Tuple[str, ...] = ()
    deterministic: bool = False


class Backend(Protocol):
    """A network on a runtime, ready for images of one size.

    ``fallback`` says why a better device was not taken, and is empty where none was to be had.
    """

    name: str
    device: str
    precision: str
    fallback: str

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        """Rgb (1,H,W,3) uint8 at the network's input size to logits (1,C,h,w) float32, valid until the next call.

        The array is C-contiguous and writable, as ``preprocess.stretch`` leaves it.
        """
        ...

    def close(self) -> None:
        """Release the runtime's memory; the backend is unusable afterwards. Harmless when done before."""
        ...


@runtime_checkable
class LabellingBackend(Protocol):
    """A backend that also upsamples and labels where it computes, so that only labels cross to the host."""

    def label(self, rgb: np.ndarray, grid: Grid) -> Optional[np.ndarray]:
        """Rgb (N,H,W,3) uint8 at the input size to fresh labels (N,H,W) uint8; None where logits are not finite."""
        ...


MODULES: Dict[str, str] = {
    'openvino': 'openvino',
    'onnxruntime': 'onnxruntime',
    'torch': 'torch',
    'tensorrt': 'onnxruntime',
}
"""Backend name to the module it needs; ``backends/<name>_backend.py`` holds it."""

_PACKAGES = {'openvino': 'openvino 2025.0 or newer', 'tensorrt': 'onnxruntime-gpu and TensorRT itself, libnvinfer'}
ON_CPU = ('openvino', 'onnxruntime', 'torch')
ON_GPU = ('tensorrt', 'onnxruntime', 'torch')
_GPU_NODES = ('/dev/nvidia0', '/dev/nvhost-gpu', '/dev/nvgpu', '/dev/dxg')  # desktop, Jetson, newer Jetson, WSL
DEVICES = r'auto|cpu|cuda(:\d+)?'
"""What a device may be called, as a regular expression."""
LEAST_AGREEMENT = 0.995
"""Share of a validation set's pixels that a reduced precision must label as fp32 does before ``auto`` uses it."""


def installed(name: str) -> bool:
    """Whether a runtime that the backend can use is here (it is not imported to find out)."""
    spec = importlib.util.find_spec(MODULES[name])
    if spec is not None and name == 'openvino':
        return _openvino_reads_our_graphs()
    if spec is None or name != 'tensorrt':
        return spec is not None
    folders = [Path(p) for p in spec.submodule_search_locations or ()]
    provided = any((f / 'capi' / 'libonnxruntime_providers_tensorrt.so').is_file() for f in folders)
    return provided and tensorrt_version() != ''  # onnxruntime-gpu has the provider without TensorRT, too


def _openvino_reads_our_graphs() -> bool:
    """Older releases do not read fp16 weights from beside a graph; one installed without metadata is trusted."""
    try:
        return int(importlib.metadata.version('openvino').split('.')[0]) >= 2025
    except (importlib.metadata.PackageNotFoundError, ValueError):
        return True


def nvidia_gpu_present() -> bool:
    """Whether the kernel offers an NVIDIA GPU, usable or not."""
    return any(Path(node).exists() for node in _GPU_NODES)


def open_backend(bundle: Bundle, size: Size, name: str, options: Options) -> Backend:
    """The named backend on the device that ``options`` names.

    ``auto`` measures nothing: with an NVIDIA GPU (and a device other than ``cpu``) the first that runs on it of
    TensorRT, ONNX Runtime, PyTorch; else on the CPU the first that runs of OpenVINO, ONNX Runtime, PyTorch. Device
    ``auto`` goes to the CPU where no runtime can use the GPU that is there, and says why in ``fallback``; device
    ``cuda`` never does. Unavailable names what is missing; ConfigurationError a size without a graph.
    """
    if name != 'auto' and name not in MODULES:
        raise ConfigurationError(f'unknown backend {name!r}; known: auto, {", ".join(MODULES)}')
    if not re.fullmatch(DEVICES, options.device):
        raise ConfigurationError(f'unknown device {options.device!r}; known: auto, cpu, cuda, cuda:N')
    if name != 'auto' and not installed(name):
        package = _PACKAGES.get(name, MODULES[name])
        raise Unavailable(f'backend {name!r} needs the package {package!r}, which is not installed')
    reasons: List[str] = []
    if _tries_gpu(name, options.device):
        for candidate in _candidates(bundle, size, ON_GPU, options) if name == 'auto' else [name]:
            try:
                return _create(bundle, size, candidate, _on_gpu(options))
            except Unavailable as error:
                reasons.append(str(error))
        if options.device != 'auto' or name == 'tensorrt':
            raise Unavailable('; '.join(reasons))
    backend = _create_on_cpu(bundle, size, name, options)
    backend.fallback = '; '.join(reasons)
    return backend


def must_build(bundle: Bundle, size: Size, name: str, options: Options) -> bool:
    """Whether ``open_backend`` would first build a TensorRT engine, which takes minutes; no other takes that long."""
    if name not in ('auto', 'tensorrt') or not _tries_gpu(name, options.device) or not installed('tensorrt'):
        return False
    if name == 'auto' and 'tensorrt' not in _candidates(bundle, size, ON_GPU, options):
        return False
    try:
        return not _module('tensorrt').is_built(bundle, size, _on_gpu(options))
    except Unavailable:
        return False


def with_engine_cache(bundle: Bundle, size: Size, name: str, options: Options) -> Options:
    """``options`` with the user's cache where TensorRT may be chosen and no cache is; a warning before a build."""
    if options.cache_dir is not None or name not in ('auto', 'tensorrt'):
        return options
    if not _tries_gpu(name, options.device) or not installed('tensorrt'):
        return options
    cached = replace(options, cache_dir=CACHE)
    if must_build(bundle, size, name, cached):
        _log.warning('building the TensorRT engine of %s %dx%d; once, and it takes minutes', bundle.name, *size)
    return cached


def choose_precision(card: Card, asked: str, offered: Sequence[str], where: str) -> str:
    """The precision to run in; for ``auto`` the first of ``offered`` that the card's agreement allows, else fp32.

    ``offered`` lists reduced precisions before fp32. Unavailable where ``where`` has not what was asked for.
    """
    if asked == 'auto':
        return next((p for p in offered if card.agreement.get(p, 0.0) >= LEAST_AGREEMENT), 'fp32')
    if asked not in offered:
        raise Unavailable(f'precision {asked!r}: {where} offers {", ".join(offered)}')
    return asked


def device_index(device: str) -> int:
    """N of ``cuda:N``; 0 of ``cuda``."""
    return int(device.partition(':')[2] or 0)


def _candidates(bundle: Bundle, size: Size, runtimes: Sequence[str], options: Options) -> List[str]:
    """Those of ``runtimes`` that ``auto`` may take: PyTorch alone where ``size`` has no graph and none can be made."""
    if importlib.util.find_spec('onnx') is None and installed('torch') and size not in bundle.sizes():
        return ['torch']
    return [name for name in runtimes if name not in options.without]


def _tries_gpu(name: str, device: str) -> bool:
    return device.startswith('cuda') or (device == 'auto' and name in ('auto', *ON_GPU) and nvidia_gpu_present())


def _on_gpu(options: Options) -> Options:
    return options if options.device != 'auto' else replace(options, device='cuda')


def _create(bundle: Bundle, size: Size, name: str, options: Options) -> Backend:
    if not installed(name):
        raise Unavailable(f'backend {name!r} needs the package {_PACKAGES.get(name, MODULES[name])!r}')
    backend: Backend = _module(name).create(bundle, size, options)
    return backend


def _create_on_cpu(bundle: Bundle, size: Size, name: str, options: Options) -> Backend:
    """For ``auto`` the first of the runtimes that are installed which runs here; a WARN tells of those that do not."""
    options = replace(options, device='cpu')
    if name != 'auto':
        return _create(bundle, size, name, options)
    reasons: List[str] = []
    for candidate in _candidates(bundle, size, ON_CPU, options):
        if installed(candidate):
            try:
                backend = _create(bundle, size, candidate, options)
            except Unavailable as error:
                reasons.append(str(error))
            else:
                if reasons:
                    _log.warning('running on %s: %s', candidate, '; '.join(reasons))
                return backend
    raise Unavailable('; '.join(reasons) or f'no runtime is installed; install one of: {", ".join(ON_CPU)}')


def _module(name: str) -> Any:
    """The backend's module; Unavailable where its runtime is there and cannot be loaded, as one for another CUDA."""
    try:
        return importlib.import_module(f'{__name__}.{name}_backend')
    except (ImportError, OSError, AttributeError) as error:
        reason = str(error) or type(error).__name__
        raise Unavailable(f'{MODULES[name]} is installed and cannot be loaded: {reason}') from error
