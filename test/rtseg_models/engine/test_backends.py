# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import logging
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from rtseg_models.bundle import load_bundle, shipped_bundles
from rtseg_models.card import Card
from rtseg_models.engine import backends
from rtseg_models.engine.backends import Options, choose_precision, installed, open_backend
from rtseg_models.engine.backends.cache import build_cached, engine_key
from rtseg_models.errors import ConfigurationError, Unavailable

SMALL = (360, 480)


@pytest.fixture(scope='module')
def bundle():
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    return load_bundle('fast_scnn-camvid')


def card_with(agreement):
    return Card('n', ('a',), ((0, 0, 0),), 255, (32, 32), 8, (0, 0, 0), (1, 1, 1), '', '', '', agreement=agreement)


@pytest.mark.parametrize(
    ('agreement', 'offered', 'chosen'),
    [
        ({}, ('bf16', 'fp32'), 'fp32'),
        ({'bf16': 0.9949}, ('bf16', 'fp32'), 'fp32'),
        ({'bf16': 0.995}, ('bf16', 'fp32'), 'bf16'),
        ({'bf16': 0.999}, ('fp32',), 'fp32'),
        ({'bf16': 0.999, 'fp16': 0.5}, ('fp16', 'bf16', 'fp32'), 'bf16'),
    ],
)
def test_auto_takes_a_reduced_precision_only_where_the_card_measured_its_agreement(agreement, offered, chosen):
    assert choose_precision(card_with(agreement), 'auto', offered, 'here') == chosen


def test_a_precision_that_is_not_offered_is_refused():
    with pytest.raises(Unavailable, match=r"'fp16': this runtime offers bf16, fp32"):
        choose_precision(card_with({'fp16': 1.0}), 'fp16', ('bf16', 'fp32'), 'this runtime')


class Stub:
    def __init__(self, name, device):
        self.name, self.device, self.fallback = name, device, ''


@pytest.fixture
def machine(monkeypatch):
    """A machine with given runtimes, a GPU or none, and backends that open on it or not."""

    def make(runtimes, gpu=False, broken=()):
        def create(bundle, size, name, options):
            if name not in runtimes:
                raise Unavailable(f'{name} is missing')
            if name == 'openvino' and options.device != 'cpu':
                raise Unavailable('openvino runs on the CPU')
            if options.device != 'cpu' and (name in broken or not gpu):
                raise Unavailable(f'{name} finds no CUDA')
            return Stub(name, options.device)

        monkeypatch.setattr(backends, '_create', create)
        monkeypatch.setattr(backends, 'installed', lambda name: name in runtimes)
        monkeypatch.setattr(backends, 'nvidia_gpu_present', lambda: gpu)

    return make


ALL = ('openvino', 'onnxruntime', 'torch', 'tensorrt')
GRAPHED = SimpleNamespace(sizes=lambda: (SMALL,))  # a bundle for any machine, with or without onnx


@pytest.mark.parametrize(
    ('runtimes', 'gpu', 'broken', 'asked', 'device', 'name', 'on'),
    [
        (ALL, False, (), 'auto', 'auto', 'openvino', 'cpu'),
        (('onnxruntime', 'torch'), False, (), 'auto', 'auto', 'onnxruntime', 'cpu'),
        (('torch',), False, (), 'auto', 'auto', 'torch', 'cpu'),
        (ALL, True, (), 'auto', 'auto', 'tensorrt', 'cuda'),
        (ALL, True, ('tensorrt',), 'auto', 'auto', 'onnxruntime', 'cuda'),
        (ALL, True, ('tensorrt', 'onnxruntime'), 'auto', 'cuda:1', 'torch', 'cuda:1'),
        (ALL, True, (), 'auto', 'cpu', 'openvino', 'cpu'),
        (ALL, True, (), 'openvino', 'auto', 'openvino', 'cpu'),
        (ALL, True, (), 'torch', 'auto', 'torch', 'cuda'),
    ],
)
def test_the_rule_of_auto(machine, runtimes, gpu, broken, asked, device, name, on):
    machine(runtimes, gpu, broken)
    backend = open_backend(GRAPHED, SMALL, asked, Options(device=device))
    assert (backend.name, backend.device, backend.fallback) == (name, on, '')


@pytest.mark.parametrize(
    ('asked', 'device', 'gpu', 'cached', 'builds'),
    [
        ('tensorrt', 'cuda', True, False, True),
        ('tensorrt', 'cuda', True, True, False),
        ('auto', 'auto', True, False, True),
        ('auto', 'auto', False, False, False),
        ('auto', 'cpu', True, False, False),
        ('onnxruntime', 'cuda', True, False, False),
    ],
)
def test_only_a_tensorrt_engine_that_is_not_cached_takes_minutes(
    machine, bundle, tmp_path, asked, device, gpu, cached, builds
):
    tensorrt_backend = pytest.importorskip('rtseg_models.engine.backends.tensorrt_backend', exc_type=ImportError)
    machine(ALL, gpu)
    options = Options(device=device, cache_dir=tmp_path)
    if cached:
        build_cached(tmp_path, tensorrt_backend._key(bundle, SMALL, options), lambda f: (f / 'engine').touch())
    assert backends.must_build(bundle, SMALL, asked, options) is builds
    assert not backends.must_build(bundle, SMALL, asked, replace(options, precision='bf16'))


def test_auto_falls_back_to_the_cpu_and_says_why(machine):
    machine(ALL, gpu=True, broken=ALL)
    backend = open_backend(GRAPHED, SMALL, 'auto', Options())
    assert (backend.name, backend.device) == ('openvino', 'cpu')
    assert backend.fallback == 'tensorrt finds no CUDA; onnxruntime finds no CUDA; torch finds no CUDA'


def test_a_runtime_that_is_installed_and_cannot_be_loaded_is_unavailable_and_auto_takes_the_next(
    bundle, monkeypatch, caplog
):
    """As one that was built for another CUDA, or another NumPy."""
    pytest.importorskip('openvino')
    pytest.importorskip('onnxruntime')
    load = backends.importlib.import_module

    def broken(name):
        if name.endswith('.openvino_backend'):
            raise ImportError('libtbb.so.12: cannot open shared object file')
        return load(name)

    monkeypatch.setattr(backends.importlib, 'import_module', broken)
    monkeypatch.setattr(backends, 'nvidia_gpu_present', lambda: False)
    with pytest.raises(Unavailable, match='openvino is installed and cannot be loaded: libtbb'):
        open_backend(bundle, SMALL, 'openvino', Options())
    backend = open_backend(bundle, SMALL, 'auto', Options())
    assert (backend.name, backend.fallback) == ('onnxruntime', '') and 'libtbb' in caplog.text
    backend.close()


@pytest.mark.parametrize('asked', ['auto', 'torch', 'onnxruntime', 'openvino', 'tensorrt'])
def test_cuda_never_falls_back(machine, asked):
    machine(ALL)
    with pytest.raises(Unavailable, match=r'CUDA|CPU'):
        open_backend(GRAPHED, SMALL, asked, Options(device='cuda'))


def test_names_that_make_no_sense_are_refused(machine):
    machine(ALL)
    with pytest.raises(ConfigurationError, match='known: auto, openvino'):
        open_backend(GRAPHED, SMALL, 'caffe', Options())
    with pytest.raises(ConfigurationError, match='cuda:N'):
        open_backend(GRAPHED, SMALL, 'auto', Options(device='gpu'))
    machine(())
    with pytest.raises(Unavailable, match='install one of: openvino, onnxruntime, torch'):
        open_backend(GRAPHED, SMALL, 'auto', Options())
    with pytest.raises(Unavailable, match='onnxruntime-gpu'):
        open_backend(GRAPHED, SMALL, 'tensorrt', Options())


@pytest.mark.parametrize('name', ['onnxruntime', 'torch', 'openvino'])
def test_cuda_on_a_machine_without_it_names_versions_and_a_remedy(bundle, name):
    if not installed(name):
        pytest.skip(f'{name} is not installed')
    if backends.nvidia_gpu_present():
        pytest.skip('this machine has an NVIDIA GPU')
    with pytest.raises(Unavailable) as caught:
        open_backend(bundle, SMALL, name, Options(device='cuda'))
    assert caught.value.exit_code == 69
    if name != 'openvino':
        assert 'install' in str(caught.value) and any(c.isdigit() for c in str(caught.value))


@pytest.mark.parametrize('name', ['openvino', 'onnxruntime'])
def test_runtimes_agree_with_eager_pytorch(bundle, name):
    for needed in (name, 'torch'):
        if not installed(needed):
            pytest.skip(f'{needed} is not installed')
    image = np.random.default_rng(0).integers(0, 256, (1, *SMALL, 3), np.uint8)
    wanted = open_backend(bundle, SMALL, 'torch', Options(device='cpu')).infer(image)
    found = open_backend(bundle, SMALL, name, Options(device='cpu', precision='fp32')).infer(image)
    np.testing.assert_allclose(found, wanted, atol=1e-3 * wanted.std())


@pytest.mark.parametrize('name', ['openvino', 'onnxruntime', 'torch'])
def test_the_same_array_with_other_pixels_is_another_image(bundle, name):
    if not installed(name):
        pytest.skip(f'{name} is not installed')
    backend = open_backend(bundle, SMALL, name, Options(device='cpu'))
    image = np.zeros((1, *SMALL, 3), np.uint8)
    dark = backend.infer(image).copy()
    image[:] = 200
    bright = backend.infer(image).copy()
    assert not np.array_equal(dark, bright)
    backend.close()


def test_a_size_without_a_graph_is_exported_once_where_pytorch_is(bundle, tmp_path, caplog):
    for needed in ('torch', 'onnxruntime'):
        if not installed(needed):
            pytest.skip(f'{needed} is not installed')
    caplog.set_level(logging.INFO, 'rtseg')
    image = np.random.default_rng(0).integers(0, 256, (1, 96, 160, 3), np.uint8)
    options = Options(device='cpu', cache_dir=tmp_path / 'cache')
    wanted = open_backend(bundle, (96, 160), 'torch', options).infer(image)
    for _ in range(2):
        found = open_backend(bundle, (96, 160), 'onnxruntime', options).infer(image)
        np.testing.assert_allclose(found, wanted, atol=1e-3 * wanted.std())
    assert [r.message for r in caplog.records if 'exporting' in r.message] == [
        'fast_scnn-camvid has no graph for input size 96x160; exporting one'
    ]
    found = open_backend(bundle, (96, 160), 'onnxruntime', replace(options, cache_dir=None)).infer(image)
    np.testing.assert_allclose(found, wanted, atol=1e-3 * wanted.std())


def test_a_size_without_a_graph_is_refused_where_pytorch_is_not(bundle, monkeypatch):
    if not installed('onnxruntime'):
        pytest.skip('onnxruntime is not installed')
    from rtseg_models.engine.backends import graphs

    monkeypatch.setattr(graphs, 'installed', lambda name: False)
    with pytest.raises(ConfigurationError, match='rtseg export --size 96x160'):
        open_backend(bundle, (96, 160), 'onnxruntime', Options(device='cpu'))


def test_keys_differ_in_everything_that_makes_an_engine_stale(bundle, tmp_path):
    facts = {'size': (512, 1024), 'precision': 'fp32', 'runtime': 'r', 'version': '1', 'device': 'cpu'}
    changed = {'size': (1024, 512), 'precision': 'fp16', 'runtime': 's', 'version': '2', 'device': 'cuda:1'}
    keys = {engine_key(bundle, **facts), *(engine_key(bundle, **{**facts, k: v}) for k, v in changed.items())}
    other = replace(bundle, card=replace(bundle.card, weights_sha256='0' * 64))
    keys.add(engine_key(other, **facts))
    keys.add(engine_key(replace(bundle, card=replace(bundle.card, mean=(0.5, 0.5, 0.5))), **facts))
    keys.add(engine_key(replace(bundle, card=replace(bundle.card, network_args={'dw_relu': True})), **facts))
    retraced = shutil.copytree(bundle.path, tmp_path / 'bundle')
    (retraced / '512x1024.onnx').write_bytes(b'another graph of the same weights')
    keys.add(engine_key(replace(bundle, path=retraced), **facts))
    assert len(keys) == 10 and all('/' not in key for key in keys)


def test_openvino_starts_from_its_cache_and_survives_damage(bundle, tmp_path):
    if not installed('openvino'):
        pytest.skip('openvino is not installed')
    image = np.random.default_rng(0).integers(0, 256, (1, *SMALL, 3), np.uint8)
    options = Options(device='cpu', precision='fp32', cache_dir=tmp_path / 'cache')
    wanted = open_backend(bundle, SMALL, 'openvino', options).infer(image).copy()
    (blob,) = Path(options.cache_dir).glob('*/*.blob')
    stamp = blob.stat().st_mtime_ns
    np.testing.assert_array_equal(open_backend(bundle, SMALL, 'openvino', options).infer(image), wanted)
    assert blob.stat().st_mtime_ns == stamp
    good = blob.read_bytes()
    blob.chmod(0o600)
    blob.write_bytes(good[: len(good) // 2] + bytes(4096) + good[len(good) // 2 + 4096 :])
    np.testing.assert_array_equal(open_backend(bundle, SMALL, 'openvino', options).infer(image), wanted)
