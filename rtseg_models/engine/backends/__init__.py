# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runtimes by name behind one protocol. A runtime is imported when it is chosen, never before."""

from __future__ import annotations

import importlib
import importlib.util
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, Optional, Protocol

import numpy as np

from ...bundle import Bundle
from ...card import Size
from ...errors import ConfigurationError, Unavailable


@dataclass(frozen=True)
class Options:
    """What a backend may be told. ``threads`` 0 leaves the number to the runtime; ``cache_dir`` None means no cache."""

    device: str = 'auto'
    precision: str = 'auto'
    threads: int = 0
    cache_dir: Optional[Path] = None


class Backend(Protocol):
    """A network on a runtime, ready for images of one size."""

    name: str
    device: str
    precision: str

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        """Rgb (1,H,W,3) uint8 at the network's input size to logits (1,C,h,w) float32, valid until the next call."""
        ...

    def close(self) -> None:
        """Release the runtime's memory; the backend is unusable afterwards."""
        ...


MODULES: Dict[str, str] = {
    'openvino': 'openvino',
    'onnxruntime': 'onnxruntime',
    'torch': 'torch',
}
"""Backend name to the distribution it needs; ``backends/<name>_backend.py`` holds it. The order is that of ``auto``."""


def installed(name: str) -> bool:
    """Whether the backend's runtime can be imported here (it is not imported to find out)."""
    return importlib.util.find_spec(MODULES[name]) is not None


def open_backend(bundle: Bundle, size: Size, name: str, options: Options) -> Backend:
    """The named backend, or for ``auto`` the first installed one in the order OpenVINO, ONNX Runtime, PyTorch.

    Unavailable names the package to install; ConfigurationError a size without a graph.
    """
    if name == 'auto':
        name = next((n for n in MODULES if installed(n)), '')
        if not name:
            raise Unavailable(f'no runtime is installed; install one of: {", ".join(MODULES.values())}')
    if name not in MODULES:
        raise ConfigurationError(f'unknown backend {name!r}; known: auto, {", ".join(MODULES)}')
    if not installed(name):
        raise Unavailable(f'backend {name!r} needs the package {MODULES[name]!r}, which is not installed')
    module = importlib.import_module(f'{__name__}.{name}_backend')
    backend: Backend = module.create(bundle, size, options)
    return backend
