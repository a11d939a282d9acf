# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch: the network as its Python code defines it, at any size."""

from __future__ import annotations

from typing import Optional, Tuple, Union

import numpy as np
import torch
from torch import nn

from ...bundle import Bundle
from ...card import Size
from ...errors import DeviceLost, Unavailable
from . import Options, choose_precision, device_index
from .torch_cuda import CudaBackend, first_line, short_of_memory
from .torch_graph import check_size, deployed_network


class TorchBackend:
    """Eager PyTorch on the CPU, as a rule in float32: the reference that the other runtimes are compared with."""

    name = 'torch'
    device = 'cpu'

    def __init__(self, deployed: nn.Module, precision: str = 'fp32') -> None:
        self.fallback = ''
        self.precision = precision
        self._deployed: Optional[nn.Module] = deployed

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        if self._deployed is None:
            raise RuntimeError('the backend is closed')
        try:
            with torch.inference_mode():
                logits: np.ndarray = self._deployed(torch.from_numpy(rgb)).numpy()
        except RuntimeError as error:
            if short_of_memory(error):
                raise MemoryError(first_line(error)) from error
            raise
        return logits

    def close(self) -> None:
        self._deployed = None


def create(bundle: Bundle, size: Size, options: Options) -> Union[TorchBackend, CudaBackend]:
    """The bundle's network in PyTorch, on the CPU in eager mode or on an NVIDIA GPU; ``size`` needs no graph."""
    if options.device.startswith('cuda'):
        return _create_on_gpu(bundle, size, options)
    choose_precision(bundle.card, options.precision, ('fp32',), 'PyTorch on the CPU')
    if options.threads:
        torch.set_num_threads(options.threads)
    deployed = deployed_network(bundle)
    check_size(deployed, size)
    return TorchBackend(deployed)


def _create_on_gpu(bundle: Bundle, size: Size, options: Options) -> CudaBackend:
    """Unavailable where PyTorch cannot use the GPU. That it lacks kernels for one shows in a first run alone."""
    index = device_index(options.device)
    _require_gpu(index)
    precision = choose_precision(bundle.card, options.precision, _offered(options.device), 'PyTorch on this GPU')
    deployed = deployed_network(bundle)
    check_size(deployed, size)
    try:
        backend = CudaBackend(deployed, size, options.device, precision, options.deterministic)
        backend.infer(np.zeros((1, *size, 3), np.uint8))
    except (RuntimeError, DeviceLost) as error:
        if isinstance(error, RuntimeError) and short_of_memory(error):
            raise MemoryError(first_line(error)) from error
        raise Unavailable(
            f'device cuda:{index}: PyTorch {torch.__version__} ({_built_for()}) does not run on it: '
            f'{first_line(error)}; install a build of PyTorch with kernels for this GPU'
        ) from error
    return backend


def _offered(device: str) -> Tuple[str, ...]:
    """Precisions of a GPU; cuDNN has bf16 convolutions from compute capability 8 on."""
    major, _ = torch.cuda.get_device_capability(device_index(device))
    return ('fp16', 'bf16', 'fp32') if major >= 8 else ('fp16', 'fp32')


def _require_gpu(index: int) -> None:
    found = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if index < found:
        return
    raise Unavailable(
        f'device cuda:{index}: PyTorch {torch.__version__} ({_built_for()}) finds {found} usable GPUs; install a CUDA '
        'build of PyTorch that suits the driver that nvidia-smi names'
    )


def _built_for() -> str:
    if not torch.version.cuda:
        return 'built without CUDA'
    return ' '.join([f'built for CUDA {torch.version.cuda}', *torch.cuda.get_arch_list()])
