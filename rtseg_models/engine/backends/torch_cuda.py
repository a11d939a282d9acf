# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch on an NVIDIA GPU: channels-last, folded batch norms, one CUDA graph per batch size, pinned host memory."""

from __future__ import annotations

import copy
from typing import Any, Callable, Dict, Optional, TypeVar

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ...card import Size
from ...errors import DeviceLost, OutOfDeviceMemory
from ...networks.deployed import Deployed
from ..postprocess import Grid
from .torch_upsample import DeviceGrid, label_logits

_DTYPES = {'fp32': torch.float32, 'fp16': torch.float16, 'bf16': torch.bfloat16}
_OUT_OF_MEMORY = ('out of memory', 'ALLOC_FAILED', "can't allocate memory", 'not enough memory')
_WARM_UP = 3
_MOST_GRIDS = 32
_new_stream: Any = torch.cuda.Stream
Result = TypeVar('Result')


class CudaBackend:
    """A network on one GPU. Pixels go up and labels come down through pinned memory, asynchronously to the host."""

    name = 'torch'

    def __init__(self, deployed: Deployed, size: Size, device: str, precision: str, deterministic: bool) -> None:
        self.device = device
        self.precision = precision
        self.fallback = ''
        self.device_name = torch.cuda.get_device_name(device)
        # TF32 would round convolutions to 10 bits behind fp32's name.
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = not deterministic
        torch.backends.cudnn.deterministic = deterministic
        self._network: Optional[Lean] = Lean(deployed, _DTYPES[precision]).to(device)
        self._size = size
        self._stream = _new_stream(device)
        self._captured: Dict[int, _Captured] = {}
        self._grids: Dict[Grid, DeviceGrid] = {}

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        def run() -> np.ndarray:
            with torch.cuda.stream(self._stream):  # which the copy must follow, too
                logits = self._run(rgb).to('cpu', non_blocking=True)
            self._stream.synchronize()
            found: np.ndarray = logits.numpy()
            return found

        return self._guarded(run)

    def label(self, rgb: np.ndarray, grid: Grid) -> Optional[np.ndarray]:
        """Rgb (N,H,W,3) uint8 at the input size to fresh labels (N,H,W) uint8; None where logits are not finite."""

        def run() -> Optional[np.ndarray]:
            logits = self._run(rgb)
            with torch.cuda.stream(self._stream):
                labels, finite = label_logits(logits, self._device_grid(grid))
                # Fresh for the caller, and cheap from the second on: PyTorch caches pinned memory.
                host = torch.empty(labels.shape, dtype=torch.uint8, pin_memory=True)
                host.copy_(labels, non_blocking=True)
                good = bool(finite.cpu())  # waits for this stream, and so for the labels
            return host.numpy() if good else None

        return self._guarded(run)

    def close(self) -> None:
        """Give the GPU's memory back."""
        self._captured.clear()
        self._grids.clear()
        self._network = None
        torch.cuda.empty_cache()

    def _run(self, rgb: np.ndarray) -> Tensor:
        count = len(rgb)
        if self._network is None:
            raise RuntimeError('the backend is closed')
        if count not in self._captured:
            self._captured[count] = _Captured(self._network, count, self._size, self.device, self._stream)
        return self._captured[count].replay(rgb)

    def _device_grid(self, grid: Grid) -> DeviceGrid:
        if grid not in self._grids:
            if len(self._grids) >= _MOST_GRIDS:  # a camera whose size keeps changing must not fill the memory
                self._grids.clear()
            self._grids[grid] = DeviceGrid(grid, self.device)
        return self._grids[grid]

    def _guarded(self, run: Callable[[], Result]) -> Result:
        """Run; where memory is short free it and try once more: OutOfDeviceMemory where that was in vain.

        DeviceLost where the context is broken for good.
        """
        try:
            try:
                return run()
            except RuntimeError as error:
                if not short_of_memory(error):
                    raise
            # Out here the error is gone, and with it the frames that hold the failed run's tensors.
            self._captured.clear()
            torch.cuda.empty_cache()
            return run()
        except RuntimeError as error:
            if short_of_memory(error):
                raise OutOfDeviceMemory(first_line(error)) from error
            if 'CUDA error' in str(error):
                raise DeviceLost(f'{self.device} ({self.device_name}): {error}') from error
            raise


def short_of_memory(error: RuntimeError) -> bool:
    """Whether memory was short: OutOfMemoryError is raised by PyTorch's own allocator of GPU memory alone."""
    return isinstance(error, torch.cuda.OutOfMemoryError) or any(sign in str(error) for sign in _OUT_OF_MEMORY)


def first_line(error: Exception) -> str:
    """What PyTorch says before its advice for those who debug kernels."""
    return str(error).partition('\n')[0]


class Lean(nn.Module):
    """A deployed network with its batch norms folded, channels last, in ``dtype``; pixels are normalised in float32."""

    def __init__(self, deployed: Deployed, dtype: torch.dtype) -> None:
        super().__init__()
        self._deployed = copy.deepcopy(deployed)
        fold_batch_norms(self._deployed.network)
        self._deployed.network.to(dtype=dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self._dtype = dtype

    def forward(self, rgb: Tensor) -> Tensor:
        pixels = self._deployed.normalise(rgb.permute(0, 3, 1, 2))
        logits: Tensor = self._deployed.network(pixels.to(self._dtype, memory_format=torch.channels_last))
        return logits.float().contiguous()


def fold_batch_norms(module: nn.Module) -> None:
    """Fold, in place, every batch norm that follows a convolution in a Sequential into it. Others stay as they are."""
    for child in module.children():
        fold_batch_norms(child)
    if not isinstance(module, nn.Sequential):
        return
    names = list(module._modules)
    for name, following in zip(names, names[1:]):
        convolution, norm = module._modules[name], module._modules[following]
        if type(convolution) is nn.Conv2d and type(norm) is nn.BatchNorm2d:
            module._modules[name] = fuse_conv_bn_eval(convolution, norm)
            module._modules[following] = nn.Identity()


class _Captured:
    """The network as one CUDA graph for a batch size, with its input on both sides of the bus."""

    def __init__(self, network: nn.Module, count: int, size: Size, device: str, stream: Any) -> None:
        self._host = torch.empty((count, *size, 3), dtype=torch.uint8, pin_memory=True)
        self._pixels = self._host.numpy()
        self._input = torch.zeros((count, *size, 3), dtype=torch.uint8, device=device)
        self._stream = stream
        self._graph = torch.cuda.CUDAGraph()
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.inference_mode(), torch.cuda.stream(stream):
            for _ in range(_WARM_UP):
                network(self._input)
            # Another network may be serving in another thread; 'global' would make its calls errors meanwhile.
            with torch.cuda.graph(self._graph, stream=stream, capture_error_mode='thread_local'):
                self._logits: Tensor = network(self._input)

    def replay(self, rgb: np.ndarray) -> Tensor:
        """Logits (N,C,h,w) float32 on the device, valid until the next call; the stream is still at work on them."""
        with torch.cuda.stream(self._stream):
            for i, image in enumerate(rgb):  # one image goes up while the next is copied into pinned memory
                self._pixels[i] = image
                self._input[i].copy_(self._host[i], non_blocking=True)
            self._graph.replay()
        return self._logits
