# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Optional

import numpy as np
import openvino

from ...bundle import Bundle
from ...card import Size
from ...errors import BundleError, Unavailable
from . import Options, choose_precision
from .cache import build_cached, engine_key
from .graphs import graph_file, quantised_graph

_HINTS = {'fp32': 'f32', 'bf16': 'bf16', 'int8': 'f32'}
"""Precision to what OpenVINO computes in where a layer is not quantised."""


class OpenVINOBackend:
    """A compiled OpenVINO model with its own request; precision is always set: its default varies with the CPU."""

    name = 'openvino'
    device = 'cpu'

    def __init__(self, compiled: Any, precision: str) -> None:
        self.precision = precision
        self.fallback = ''
        self._request = compiled.create_infer_request()
        self._image: Optional[np.ndarray] = None

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        if rgb is not self._image:  # the request keeps the tensor, which keeps the pixels
            self._image = rgb
            self._request.set_input_tensor(openvino.Tensor(rgb, shared_memory=True))
        self._request.start_async()
        self._request.wait()
        logits: np.ndarray = self._request.get_output_tensor(0).data
        return logits

    def close(self) -> None:
        self._request = self._image = None


@lru_cache(maxsize=None)
def _core() -> Any:
    """One for the process, as OpenVINO advises.

    Its CPU plugin gives the thread that loads it a stack for signal handlers, and frees that with itself. Of several
    plugins the thread may be left with a freed one, and then Ctrl-C kills the process.
    """
    return openvino.Core()


def create(bundle: Bundle, size: Size, options: Options) -> OpenVINOBackend:
    """Compile the graph of ``size``; Unavailable for a device or precision that OpenVINO's CPU plugin has not."""
    if options.device not in ('auto', 'cpu'):
        raise Unavailable(f'device {options.device!r}: the openvino backend runs on the CPU')
    core = _core()
    quantised = quantised_graph(bundle, size)
    if options.precision == 'int8' and not quantised.is_file():
        raise Unavailable(f"precision 'int8': {bundle.path} has no {quantised.name}; rtseg export --int8 makes one")
    has_bf16 = 'BF16' in core.get_property('CPU', 'OPTIMIZATION_CAPABILITIES')
    offered = ['int8'] * quantised.is_file() + ['bf16'] * has_bf16 + ['fp32']
    precision = choose_precision(bundle.card, options.precision, offered, 'OpenVINO on this CPU')
    settings: Dict[str, Any] = {
        'INFERENCE_PRECISION_HINT': _HINTS[precision],
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': '1',
    }
    if options.threads:
        settings['INFERENCE_NUM_THREADS'] = options.threads
        settings['ENABLE_CPU_PINNING'] = False  # pinned, several such networks would share the first cores

    with graph_file(bundle, size, options.cache_dir) as graph:

        def compile_model(folder: Optional[Path]) -> Any:
            cached = settings if folder is None else {**settings, 'CACHE_DIR': str(folder)}
            source = quantised if precision == 'int8' else graph
            try:
                return core.compile_model(str(source), 'CPU', cached)
            except RuntimeError as error:
                if folder is not None:  # perhaps for the cache's sake
                    raise
                raise BundleError(f'{source}: OpenVINO {openvino.__version__} cannot compile it: {error}') from error

        key = engine_key(bundle, size, precision, 'openvino', openvino.__version__, f'cpu{options.threads or ""}')
        return OpenVINOBackend(build_cached(options.cache_dir, key, compile_model, options.keep), precision)
