# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU and, through its CUDA and TensorRT providers, on NVIDIA GPUs."""

from __future__ import annotations

import io
import logging
import os
from contextlib import contextmanager, redirect_stdout
from functools import lru_cache
from pathlib import Path
from typing import Any, Dict, Iterator, Optional

import numpy as np
import onnxruntime

from ...bundle import Bundle
from ...card import Size
from ...errors import BundleError, DeviceLost, RtsegError, Unavailable
from . import Options, choose_precision, device_index
from .graphs import graph_file
from .nvidia import gpu_name

_log = logging.getLogger('rtseg')
_OUT_OF_MEMORY = ('out of memory', 'Failed to allocate memory', 'bad_alloc', 'bad allocation', 'ALLOC_FAILED')
_CANNOT_START = ('CUDA failure', 'CUDA error', 'CUDNN failure', 'CUBLAS failure')
_CONTEXT_LOST = ('CUDA failure', 'CUDA error')  # all that it reports of the CUDA runtime; a context rarely survives one


class OnnxRuntimeBackend:
    """An ONNX Runtime session."""

    def __init__(self, session: Any, name: str, device: str, precision: str) -> None:
        self.name = name
        self.device = device
        self.device_name = gpu_name(device_index(device)) if device.startswith('cuda') else ''
        self.precision = precision
        self.fallback = ''
        self._session = session

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        try:
            logits: np.ndarray = self._session.run(None, {'image': rgb})[0]
        except Exception as error:  # onnxruntime tells its errors apart by their text alone
            raise _named(error, self.device) from error
        return logits

    def close(self) -> None:
        self._session = None


def create(bundle: Bundle, size: Size, options: Options) -> OnnxRuntimeBackend:
    """A session over the graph of ``size``, in fp32; Unavailable names this onnxruntime and what it lacks."""
    precision = choose_precision(bundle.card, options.precision, ('fp32',), 'the onnxruntime backend')
    on_gpu = options.device.startswith('cuda')
    provider = 'CUDAExecutionProvider' if on_gpu else 'CPUExecutionProvider'
    settings: Dict[str, Any] = {'device_id': device_index(options.device)} if on_gpu else {}
    if on_gpu and options.deterministic:
        settings['cudnn_conv_algo_search'] = 'DEFAULT'  # else it takes the fastest of those that it times
    with graph_file(bundle, size, options.cache_dir) as graph, explained(provider, graph):
        session = open_session(graph, provider, settings, options)
    backend = OnnxRuntimeBackend(session, 'onnxruntime', options.device if on_gpu else 'cpu', precision)
    if on_gpu:
        try_out(backend, size, provider)
    return backend


def try_out(backend: OnnxRuntimeBackend, size: Size, provider: str) -> None:
    """Run once: that a provider lacks kernels for the GPU shows in a run alone. Unavailable where it fails.

    MemoryError stays one: another program may have the memory.
    """
    try:
        backend.infer(np.zeros((1, *size, 3), np.uint8))
    except MemoryError:
        raise
    except Exception as error:  # onnxruntime's many, told apart by their text alone
        raise _unavailable(provider, error) from error


def open_session(graph: Path, provider: str, settings: Dict[str, Any], asked: Options) -> Any:
    """A session whose first provider is ``provider``; Unavailable where onnxruntime lacks it or cannot start it.

    MemoryError where memory is short. Whatever else it raises: see ``explained``.
    """
    version, offered = onnxruntime.__version__, onnxruntime.get_available_providers()
    if provider not in offered:
        raise Unavailable(f'onnxruntime {version} has no {provider} (it has {", ".join(offered)}): {_hint(provider)}')
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    if asked.threads:
        options.intra_op_num_threads = asked.threads
    if asked.deterministic:
        options.use_deterministic_compute = True
    if provider != 'CPUExecutionProvider':
        # TF32 would round convolutions to 10 bits behind fp32's name. TensorRT's provider has no option for it, CUDA's
        # only a recent one; NVIDIA's libraries read this when they start.
        os.environ.setdefault('NVIDIA_TF32_OVERRIDE', '0')
        # Since 1.16; else operators that a provider lacks would run on the CPU, behind its name.
        options.add_session_config_entry('session.disable_cpu_ep_fallback', '1')
        _load_cuda()
    try:
        # Without enable_fallback=0, what goes wrong would be printed, and done again on the CPU.
        session = onnxruntime.InferenceSession(str(graph), options, providers=[(provider, settings)], enable_fallback=0)
    except Exception as error:  # as above
        text = str(error)
        if any(s in text for s in _OUT_OF_MEMORY):
            raise MemoryError(text) from error
        if 'fallback to CPU EP has been explicitly disabled' in text:
            raise Unavailable(
                f'onnxruntime {version}: {provider} did not start, or cannot run all of {graph.name} (one of an older '
                f'version of this package? then export it again): {_hint(provider)}'
            ) from error
        if not any(s in text for s in _CANNOT_START):
            raise
        raise _unavailable(provider, error) from error
    session.disable_fallback()  # a run that fails must not be done again on the CPU, behind cuda's name
    found: Optional[str] = next(iter(session.get_providers()), None)
    if found != provider:  # onnxruntime goes on with the CPU when a provider's libraries do not load
        raise Unavailable(f'onnxruntime {version} offers {provider} but started {found}: {_hint(provider)}')
    return session


@lru_cache(maxsize=None)
def _load_cuda() -> None:
    """Load the CUDA libraries that pip has installed, where onnxruntime (since 1.21) does not look by itself."""
    preload = getattr(onnxruntime, 'preload_dlls', None)
    if preload is not None:
        with redirect_stdout(io.StringIO()) as said:
            preload()
        _log.debug('onnxruntime, preloading CUDA: %s', said.getvalue())


@contextmanager
def explained(provider: str, graph: Path) -> Iterator[None]:
    """Say why a session could not be opened: BundleError on the CPU, which runs any graph, else Unavailable."""
    try:
        yield
    except (RtsegError, MemoryError):
        raise
    except Exception as error:  # onnxruntime's many, told apart by their text alone
        if provider == 'CPUExecutionProvider':
            told = f'{graph}: onnxruntime {onnxruntime.__version__} cannot load it: {error}'
            raise BundleError(told) from error
        raise _unavailable(provider, error) from error


def _named(error: Exception, device: str) -> Exception:
    """The error as callers tell them apart: MemoryError, DeviceLost (on a GPU only), or itself."""
    text = str(error)
    if any(sign in text for sign in _OUT_OF_MEMORY):
        return MemoryError(text)
    if device.startswith('cuda') and any(sign in text for sign in _CONTEXT_LOST):
        return DeviceLost(f'{device}: {text}')
    return error


def _unavailable(provider: str, error: Exception) -> Unavailable:
    version = onnxruntime.__version__
    return Unavailable(f'onnxruntime {version}, {provider}: it does not run on this GPU: {error}: {_hint(provider)}')


def _hint(provider: str) -> str:
    if provider == 'CPUExecutionProvider':
        return 'reinstall onnxruntime'
    return "install onnxruntime-gpu in the version that matches this machine's CUDA, cuDNN, TensorRT and driver"
