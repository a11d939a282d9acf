# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""TensorRT through ONNX Runtime's provider, with its engine and timing caches on disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional, Tuple

import onnxruntime

from ...bundle import Bundle
from ...card import Size
from ...errors import Unavailable
from . import Options, choose_precision, device_index
from .cache import build_cached, engine_key, is_cached
from .graphs import graph_file
from .nvidia import gpu, tensorrt_version
from .onnxruntime_backend import OnnxRuntimeBackend, explained, open_session, try_out

PROVIDER = 'TensorrtExecutionProvider'


def create(bundle: Bundle, size: Size, options: Options) -> OnnxRuntimeBackend:
    """An engine for the graph of ``size``; building one takes minutes, loading one from the cache seconds."""
    if not options.device.startswith('cuda'):
        raise Unavailable(f'device {options.device!r}: the tensorrt backend runs on NVIDIA GPUs (cuda or cuda:N)')
    precision = _precision(bundle, options)
    with graph_file(bundle, size, options.cache_dir) as graph:

        def build(folder: Optional[Path]) -> Any:
            return open_session(graph, PROVIDER, provider_settings(precision, options.device, folder), options)

        with explained(PROVIDER, graph):
            session = build_cached(options.cache_dir, _key(bundle, size, options), build, options.keep)
    backend = OnnxRuntimeBackend(session, 'tensorrt', options.device, precision)
    try_out(backend, size, PROVIDER)
    return backend


def is_built(bundle: Bundle, size: Size, options: Options) -> bool:
    """Whether the cache holds the engine, so that ``create`` takes seconds. Unavailable for a precision it has not."""
    return is_cached(options.cache_dir, _key(bundle, size, options))


def provider_settings(precision: str, device: str, folder: Optional[Path]) -> Dict[str, Any]:
    """Options of the provider. It recognises an engine of another GPU or version itself, too, and rebuilds it."""
    settings: Dict[str, Any] = {'device_id': device_index(device), 'trt_fp16_enable': precision == 'fp16'}
    if folder is not None:
        settings.update(
            trt_engine_cache_enable=True,
            trt_engine_cache_path=str(folder),
            trt_timing_cache_enable=True,
        )
        if _release() >= (1, 17):  # older ones refuse the key, and keep the timings beside the engine
            settings['trt_timing_cache_path'] = str(folder)
    return settings


def _release() -> Tuple[int, ...]:
    """Major and minor number of ONNX Runtime."""
    return tuple(int(part) for part in onnxruntime.__version__.split('.')[:2])


def _precision(bundle: Bundle, options: Options) -> str:
    return choose_precision(bundle.card, options.precision, ('fp16', 'fp32'), 'the tensorrt backend')


def _key(bundle: Bundle, size: Size, options: Options) -> str:
    version = f'{onnxruntime.__version__}-{tensorrt_version()}'
    found = gpu(device_index(options.device))
    device = options.device if found is None else f'{options.device}-{found.name}-{found.multiprocessors}'
    return engine_key(bundle, size, _precision(bundle, options), 'tensorrt', version, device)
