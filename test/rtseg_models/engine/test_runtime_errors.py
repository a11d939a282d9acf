# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What GPU runtimes raise, told apart: short memory is tried once more, a broken context ends the process."""

from __future__ import annotations

import numpy as np
import pytest

from rtseg_models.engine.postprocess import Grid
from rtseg_models.errors import DeviceLost

RGB = np.zeros((1, 8, 8, 3), np.uint8)


class Session:
    """In place of an onnxruntime session: fails with one of its messages."""

    def __init__(self, error):
        self._error = error

    def run(self, outputs, inputs):
        raise self._error


@pytest.mark.parametrize(
    ('device', 'text', 'kind'),
    [
        ('cuda', 'CUDA failure 2: out of memory ; GPU=0 ; hostname=x ; expr=cudaMalloc', MemoryError),
        ('cpu', 'BFCArena::AllocateRawInternal Failed to allocate memory for requested buffer of size 9', MemoryError),
        ('cuda', 'CUDA failure 700: an illegal memory access was encountered ; GPU=0', DeviceLost),
        ('cuda:1', 'CUDA error executing cudaMemcpy(dst_data, src_data, bytes, cudaMemcpyHostToDevice)', DeviceLost),
        ('cpu', 'CUDA failure 700: an illegal memory access was encountered', RuntimeError),
        ('cuda', 'Got invalid dimensions for input: image', RuntimeError),
    ],
)
def test_onnxruntime_errors_are_told_apart(device, text, kind):
    backend = pytest.importorskip('rtseg_models.engine.backends.onnxruntime_backend')
    session = Session(RuntimeError(text))
    with pytest.raises(kind, match=text.split()[0]):
        backend.OnnxRuntimeBackend(session, 'onnxruntime', device, 'fp32').infer(RGB)


@pytest.fixture
def cuda_backend():
    """A CUDA backend as it is where no GPU is: only what guards its runs works."""
    module = pytest.importorskip('rtseg_models.engine.backends.torch_cuda')
    backend = module.CudaBackend.__new__(module.CudaBackend)
    backend.device, backend.device_name, backend._captured = 'cuda', 'a GPU', {1: 'a graph'}
    return backend


class Run:
    """Work on the GPU that fails as often as there are errors."""

    def __init__(self, *errors):
        self.left = list(errors)

    def __call__(self):
        if self.left:
            raise self.left.pop(0)
        return 'labels'


def short_memory():
    return pytest.importorskip('torch').cuda.OutOfMemoryError('CUDA out of memory')


def test_pytorch_frees_memory_and_tries_once_more(cuda_backend):
    assert cuda_backend._guarded(Run(short_memory())) == 'labels'
    assert cuda_backend._captured == {}
    run = Run(short_memory(), short_memory(), short_memory())
    with pytest.raises(type(short_memory())):
        cuda_backend._guarded(run)
    assert len(run.left) == 1


@pytest.mark.parametrize('before', [0, 1])
def test_pytorch_tells_a_lost_context(cuda_backend, before):
    lost = RuntimeError('CUDA error: an illegal memory access was encountered')
    with pytest.raises(DeviceLost, match='a GPU'):
        cuda_backend._guarded(Run(*[short_memory()] * before, lost))


def test_other_errors_of_pytorch_stay_as_they_are(cuda_backend):
    with pytest.raises(RuntimeError, match='mat1'):
        cuda_backend._guarded(Run(RuntimeError('mat1 and mat2 shapes cannot be multiplied')))


def test_grids_of_ever_new_image_sizes_are_forgotten(cuda_backend, monkeypatch):
    module = pytest.importorskip('rtseg_models.engine.backends.torch_cuda')
    monkeypatch.setattr(module, 'DeviceGrid', lambda grid, device: (grid, device))
    cuda_backend._grids = {}
    for height in range(100, 300):
        grid = Grid.between((height, 128), (64, 96), 8, (8, 12))
        assert cuda_backend._device_grid(grid) == (grid, 'cuda') == cuda_backend._device_grid(grid)
        assert len(cuda_backend._grids) <= 32
