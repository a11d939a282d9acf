# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip('torch', reason='PyTorch is not installed')

from rtseg_models.bundle import load_bundle, shipped_bundles  # noqa: E402
from rtseg_models.engine import Pipeline  # noqa: E402
from rtseg_models.engine.backends import Options, torch_upsample  # noqa: E402
from rtseg_models.engine.backends.torch_cuda import Lean, fold_batch_norms  # noqa: E402
from rtseg_models.engine.backends.torch_upsample import DeviceGrid, label_in_bands, label_logits  # noqa: E402
from rtseg_models.engine.postprocess import Grid, dense_labels, upsample  # noqa: E402
from rtseg_models.networks import build_network  # noqa: E402
from rtseg_models.networks.deployed import Deployed  # noqa: E402

needs_gpu = pytest.mark.skipif(not torch.cuda.is_available(), reason='no NVIDIA GPU that PyTorch can use')


def lively(network):
    """The network with batch-norm statistics that are not the identity's."""
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean.normal_(0, 0.3, generator=generator)
            module.running_var.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


@pytest.mark.parametrize('name', ['contextnet', 'dabnet', 'enet', 'erfnet', 'farsee_net', 'fast_scnn'])
def test_folding_batch_norms_changes_nothing_but_rounding(name):
    network = lively(build_network(name, 5))
    deployed = Deployed(network, (0.5, 0.4, 0.3), (0.2, 0.2, 0.2)).eval()
    rgb = torch.from_numpy(np.random.default_rng(0).integers(0, 256, (1, 64, 128, 3), np.uint8))
    with torch.inference_mode():
        wanted, found = deployed(rgb), Lean(deployed, torch.float32)(rgb)
    assert found.is_contiguous() and found.dtype == torch.float32
    torch.testing.assert_close(found, wanted, rtol=0, atol=1e-4 * float(wanted.std()) + 1e-6)


def test_batch_norms_after_convolutions_are_folded():
    layers = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 1), torch.nn.BatchNorm2d(4), torch.nn.ReLU()).eval()
    fold_batch_norms(layers)
    assert [type(m).__name__ for m in layers] == ['Conv2d', 'Identity', 'ReLU']


def check_labels(device):
    rng = np.random.default_rng(4)
    for size, cells, stride in (((90, 131), (8, 12), 8), ((7, 5), (9, 11), 4), ((33, 17), (33, 17), 1)):
        net = (cells[0] * stride, cells[1] * stride)
        logits = (rng.normal(size=(3, 11, *cells)) * 5).astype(np.float32)
        grid = DeviceGrid(Grid.between(size, net, stride, cells), device)
        labels, finite = label_logits(torch.from_numpy(logits).to(device), grid)
        assert bool(finite)
        for one, found in zip(logits, labels.cpu().numpy()):
            differs = found != dense_labels(one, size, net, stride)
            top_two = np.sort(upsample(one, size, net, stride), axis=0)[-2:]
            assert ((top_two[1] - top_two[0])[differs] < 1e-4).all()
        logits[1, 2] = np.nan
        assert not bool(label_logits(torch.from_numpy(logits).to(device), grid)[1])


def test_labels_by_pytorch_operations():
    check_labels('cpu')


class OnTheGpu(torch.Tensor):
    """A tensor in the host's memory that says it is the GPU's."""

    is_cuda = True


@pytest.fixture
def fused(monkeypatch):
    """What stands for the fused kernel, and how often it was tried."""
    calls = []

    def give(error):
        def launch(logits, grid):
            calls.append(error)
            raise error

        monkeypatch.setattr(torch_upsample, '_fused', lambda: launch)
        monkeypatch.setattr(torch_upsample, '_given_up', [])
        return calls

    return give


def test_a_fused_kernel_that_cannot_be_built_is_given_up_with_a_warning(fused, caplog):
    """Triton builds its launcher with a C compiler at the first launch; wheels bring Triton and no compiler."""
    calls = fused(RuntimeError('Failed to find C compiler. Please specify via CC environment variable.'))
    grid = DeviceGrid(Grid.between((90, 131), (64, 96), 8, (8, 12)), 'cpu')
    logits = torch.randn((2, 11, 8, 12), generator=torch.Generator().manual_seed(1))
    for _ in range(2):
        labels, finite = label_logits(logits.as_subclass(OnTheGpu), grid)
        assert torch.equal(torch.as_tensor(labels), label_in_bands(logits, grid)) and bool(finite)
    assert len(calls) == 1
    (line,) = (r.getMessage() for r in caplog.records if r.levelname == 'WARNING')
    assert 'Failed to find C compiler' in line


def test_a_triton_that_cannot_be_imported_is_given_up_too(fused, monkeypatch, caplog):
    fused(None)

    def missing():
        raise ImportError("libc.so.6: version `GLIBC_2.99' not found")

    monkeypatch.setattr(torch_upsample, '_fused', missing)
    grid = DeviceGrid(Grid.between((90, 131), (64, 96), 8, (8, 12)), 'cpu')
    logits = torch.zeros((1, 11, 8, 12))
    assert torch.equal(
        torch.as_tensor(label_logits(logits.as_subclass(OnTheGpu), grid)[0]), label_in_bands(logits, grid)
    )
    assert 'GLIBC_2.99' in caplog.text


@pytest.mark.parametrize('error', [RuntimeError('CUDA error: device lost'), torch.cuda.OutOfMemoryError('no room')])
def test_a_lost_device_and_short_memory_are_not_taken_for_a_kernel_that_cannot_be_built(error, fused):
    calls = fused(error)
    grid = DeviceGrid(Grid.between((90, 131), (64, 96), 8, (8, 12)), 'cpu')
    logits = torch.zeros((1, 11, 8, 12)).as_subclass(OnTheGpu)
    for _ in range(2):
        with pytest.raises(type(error)):
            label_logits(logits, grid)
    assert len(calls) == 2


@needs_gpu
def test_labels_by_the_fused_kernel():
    check_labels('cuda')


@needs_gpu
@pytest.mark.parametrize('precision', ['fp32', 'fp16'])
def test_a_batch_on_the_gpu_gives_the_golden_labels(precision):
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    bundle = load_bundle('fast_scnn-camvid')
    pipeline = Pipeline(bundle, backend='torch', options=Options(device='cuda', precision=precision))
    assert pipeline.self_test() >= 0.99
    rgb, expected = bundle.golden()
    for result in pipeline.batch([rgb] * 4):
        assert (result.labels == expected).mean() >= 0.99
    logits = pipeline.backend.infer(rgb[None])
    assert logits.dtype == np.float32 and np.isfinite(logits).all()
    pipeline.close()
