# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What GPU runtimes raise, told apart: short memory is tried once more, a broken context ends the process, and a GPU
that a runtime has no kernels for is not to be had.
"""

from __future__ import annotations

import logging
import shutil
import weakref
from pathlib import Path

import numpy as np
import pytest

from rtseg_models.bundle import load_bundle
from rtseg_models.engine import backends, open_for_command
from rtseg_models.engine.backends import Options, open_backend
from rtseg_models.engine.postprocess import Grid
from rtseg_models.errors import BundleError, DeviceLost, OutOfDeviceMemory, Unavailable

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


SHORT_ELSEWHERE = [
    'CUDA error: out of memory\nCUDA kernel errors might be asynchronously reported',  # of pinned memory
    'CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`',
    "DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes.",
]


@pytest.mark.parametrize('text', ['', *SHORT_ELSEWHERE])
def test_pytorch_frees_memory_and_tries_once_more(cuda_backend, text):
    def short():
        return RuntimeError(text) if text else short_memory()

    assert cuda_backend._guarded(Run(short())) == 'labels'
    assert cuda_backend._captured == {}
    run = Run(short(), short(), short())
    with pytest.raises(OutOfDeviceMemory, match=text.partition('\n')[0].split('(')[0] or 'CUDA out of memory'):
        cuda_backend._guarded(run)
    assert len(run.left) == 1


def test_the_second_try_finds_the_memory_of_the_first_free(cuda_backend):
    """An error holds the frames that it passed, and these the tensors of the failed run."""
    kept = []

    def run():
        tensors = np.zeros(3)
        if kept:
            return kept[0]() is None
        kept.append(weakref.ref(tensors))
        raise short_memory()

    assert cuda_backend._guarded(run)


@pytest.mark.parametrize('text', SHORT_ELSEWHERE)
def test_short_memory_of_pytorch_on_the_cpu_is_a_memory_error(text):
    backend = pytest.importorskip('rtseg_models.engine.backends.torch_backend')

    def deployed(rgb):
        raise RuntimeError(text)

    with pytest.raises(MemoryError):
        backend.TorchBackend(deployed).infer(RGB)
    with pytest.raises(RuntimeError, match='mat1'):
        text = 'mat1 and mat2 shapes cannot be multiplied'
        backend.TorchBackend(deployed).infer(RGB)


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


NO_KERNELS = 'no kernel image is available for execution on the device'


@pytest.fixture
def strange_gpu(monkeypatch):
    """A GPU that each runtime finds and then fails on, as ``texts`` say: when it starts, or in its first run."""
    torch = pytest.importorskip('torch')
    onnxruntime = pytest.importorskip('onnxruntime')
    from rtseg_models.engine.backends import torch_backend
    from rtseg_models.engine.backends.torch_cuda import CudaBackend

    texts = {'run': f'CUDA failure 209: {NO_KERNELS} ; GPU=0'}

    class GpuSession(Session):
        def __init__(self, graph, options, providers):
            assert options.get_session_config_entry('session.disable_cpu_ep_fallback') == '1'
            if 'start' in texts:
                raise RuntimeError(texts['start'])
            super().__init__(RuntimeError(texts['run']))
            self._providers = [name for name, _ in providers]

        def disable_fallback(self):
            pass

        def get_providers(self):
            return self._providers

    class GpuBackend(CudaBackend):
        def __init__(self, deployed, size, device, precision, deterministic):
            self.device, self.device_name, self._captured, self._stream = device, 'a GPU', {}, None

        def _run(self, rgb):
            raise texts.get('torch', RuntimeError(f'CUDA error: {NO_KERNELS}\nCompile with TORCH_USE_CUDA_DSA'))

    class InferenceSession:
        """The real one on the CPU."""

        real = onnxruntime.InferenceSession

        def __new__(cls, graph, options, providers, enable_fallback):
            on_cpu = providers[0][0] == 'CPUExecutionProvider'
            return (cls.real if on_cpu else GpuSession)(graph, options, providers=providers)

    found = ['TensorrtExecutionProvider', 'CUDAExecutionProvider', 'CPUExecutionProvider']
    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: found)
    monkeypatch.setattr(onnxruntime, 'InferenceSession', InferenceSession)
    monkeypatch.setattr(torch_backend, 'CudaBackend', GpuBackend)
    monkeypatch.setattr(torch_backend, '_require_gpu', lambda index: None)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda index: (5, 3))
    monkeypatch.setattr(backends, 'installed', lambda name: name in backends.MODULES)
    monkeypatch.setattr(backends, 'nvidia_gpu_present', lambda: True)
    return texts


@pytest.mark.parametrize('deterministic', [False, True])
def test_a_deterministic_run_times_no_algorithm(tiny_bundle, strange_gpu, monkeypatch, deterministic):
    onnxruntime, asked = pytest.importorskip('onnxruntime'), []

    def session(graph, options, providers, enable_fallback):
        asked.append((options.use_deterministic_compute, providers[0][1].get('cudnn_conv_algo_search')))
        raise RuntimeError(f'CUDA failure 209: {NO_KERNELS}')

    monkeypatch.setattr(onnxruntime, 'InferenceSession', session)
    with pytest.raises(Unavailable):
        open_backend(tiny_bundle, (64, 96), 'onnxruntime', Options(device='cuda', deterministic=deterministic))
    assert asked == [(True, 'DEFAULT') if deterministic else (False, None)]


@pytest.mark.parametrize('moment', ['start', 'run'])
@pytest.mark.parametrize('name', ['tensorrt', 'onnxruntime', 'torch'])
def test_a_runtime_without_kernels_for_the_gpu_is_unavailable(tiny_bundle, strange_gpu, name, moment, tmp_path, caplog):
    strange_gpu[moment] = f'CUDA failure 209: {NO_KERNELS} ; GPU=0'
    with pytest.raises(Unavailable, match=NO_KERNELS) as caught:
        open_backend(tiny_bundle, (64, 96), name, Options(device='cuda', cache_dir=tmp_path))
    told = str(caught.value)
    assert ('PyTorch 2.' if name == 'torch' else 'onnxruntime 1.') in told and 'install' in told
    assert '\n' not in told and 'TORCH_USE_CUDA_DSA' not in told
    assert 'of no use' not in caplog.text  # the cache


def test_commands_keep_engines_and_tell_of_the_cpu(tiny_bundle, strange_gpu, tmp_path, monkeypatch, caplog):
    monkeypatch.setattr(backends, 'CACHE', tmp_path / 'cache')
    asked = []
    monkeypatch.setattr(backends, 'must_build', lambda bundle, size, name, options: asked.append(options) or True)
    with caplog.at_level(logging.WARNING, 'rtseg'):
        assert open_for_command(tiny_bundle).backend.device == 'cpu'
    assert [options.cache_dir for options in asked] == [tmp_path / 'cache']
    assert 'building the TensorRT engine of tiny 64x96' in caplog.text
    assert 'running on the CPU: ' in caplog.text and NO_KERNELS in caplog.text
    own = Options(cache_dir=Path('elsewhere'))
    for name, options in (('auto', own), ('torch', Options()), ('auto', Options(device='cpu'))):
        assert backends.with_engine_cache(tiny_bundle, (64, 96), name, options) is options
    assert len(asked) == 1


def test_auto_goes_on_where_tensorrt_knows_a_layer_not(tiny_bundle, strange_gpu, tmp_path):
    strange_gpu['start'] = 'the parser knows no such layer'
    with pytest.raises(Unavailable, match=r'TensorrtExecutionProvider: .*the parser knows no such layer'):
        open_backend(tiny_bundle, (64, 96), 'tensorrt', Options(device='cuda', cache_dir=tmp_path))
    backend = open_backend(tiny_bundle, (64, 96), 'auto', Options(cache_dir=tmp_path))
    assert backend.device == 'cpu' and 'the parser knows no such layer' in backend.fallback


@pytest.mark.parametrize('name', ['onnxruntime', 'openvino'])
def test_a_graph_that_a_runtime_cannot_load_is_named(tiny_bundle, name, tmp_path):
    pytest.importorskip(name)
    copy = shutil.copytree(tiny_bundle.path, tmp_path / 'bundle')
    graph = copy / '64x96.onnx'
    content = graph.read_bytes()
    assert content.count(b'Conv') > 1
    graph.write_bytes(content.replace(b'Conv', b'Wonv', 1))  # an operator that nobody has
    with pytest.raises(BundleError, match=f'{graph}: .*cannot'):
        open_backend(load_bundle(str(copy)), (64, 96), name, Options(device='cpu'))


@pytest.mark.parametrize('name', ['auto', 'onnxruntime', 'torch'])
def test_device_auto_goes_to_the_cpu_where_no_runtime_has_kernels_for_the_gpu(tiny_bundle, strange_gpu, name):
    backend = open_backend(tiny_bundle, (64, 96), name, Options())
    assert backend.device == 'cpu' and backend.fallback.count(NO_KERNELS) == (3 if name == 'auto' else 1)
    assert np.isfinite(backend.infer(np.zeros((1, 64, 96, 3), np.uint8))).all()


def test_a_graph_that_a_provider_cannot_run_whole_is_built_once_and_explained(
    tiny_bundle, strange_gpu, tmp_path, caplog
):
    strange_gpu['start'] = 'This session contains graph nodes that are assigned to the default CPU EP, but fallback to '
    strange_gpu['start'] += 'CPU EP has been explicitly disabled by the user.'
    with pytest.raises(Unavailable, match=r'TensorrtExecutionProvider did not start, or cannot run all of 64x96\.onnx'):
        open_backend(tiny_bundle, (64, 96), 'tensorrt', Options(device='cuda', cache_dir=tmp_path))
    assert 'of no use' not in caplog.text  # the cache, without which it would be built once more


def test_onnxruntime_does_not_go_on_with_the_cpu_by_itself(tiny_bundle, monkeypatch, capsys):
    """Its own class would print what went wrong, and open a session on the CPU in place of the one asked for."""
    onnxruntime = pytest.importorskip('onnxruntime')
    tried = []

    def create(self, providers, *rest):
        tried.append(providers)
        raise RuntimeError('CUDA failure 2: out of memory ; GPU=0')

    monkeypatch.setattr(onnxruntime, 'get_available_providers', lambda: ['CUDAExecutionProvider'])
    monkeypatch.setattr(onnxruntime.InferenceSession, '_create_inference_session', create)
    with pytest.raises(MemoryError, match='out of memory'):
        open_backend(tiny_bundle, (64, 96), 'onnxruntime', Options(device='cuda'))
    assert len(tried) == 1 and capsys.readouterr().out == ''


@pytest.mark.parametrize('moment', ['start', 'run'])
def test_a_gpu_without_room_at_the_start_is_not_taken_for_one_that_does_not_suit(tiny_bundle, strange_gpu, moment):
    strange_gpu[moment] = 'CUDA failure 2: out of memory ; GPU=0'
    strange_gpu['torch'] = short_memory()
    for name in ('onnxruntime', 'torch'):
        with pytest.raises(MemoryError, match='out of memory'):
            open_backend(tiny_bundle, (64, 96), name, Options())
