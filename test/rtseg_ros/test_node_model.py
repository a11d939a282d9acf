# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Opening a network for the node, at the card's size and at others."""

import json
import shutil
from types import SimpleNamespace

import numpy as np
import pytest
from parts import quiet

from rtseg_models.bundle import load_bundle
from rtseg_models.engine import NonFiniteLogits, Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.errors import BundleError, OutOfDeviceMemory, RtsegError, Unavailable
from rtseg_ros.node import model as model_module
from rtseg_ros.node.model import Model, _Opener, cache_folder, open_model, resized
from rtseg_ros.paints import Paints
from rtseg_ros.parameters import Settings


def test_the_self_test_at_another_size_than_the_cards_runs_the_network(tiny_bundle):
    pipeline = Pipeline(tiny_bundle, input_size=(96, 128), options=Options(device='cpu', precision='fp32'))
    model = Model(pipeline, None, Paints(tiny_bundle.card), Settings())
    assert model.self_test() is None
    infer = pipeline.backend.infer
    pipeline.backend.infer = lambda rgb: np.full_like(infer(rgb), np.nan)
    with pytest.raises(NonFiniteLogits):
        model.self_test()


def unlike(model, **card):
    """A copy of the model's bundle on disk with other facts in its card."""
    path = model.bundle.path / 'card.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **card}))


@pytest.fixture
def serving_model(tiny_bundle, tmp_path):
    """A model of a bundle that may be spoilt."""
    path = shutil.copytree(tiny_bundle.path, tmp_path / 'copy')
    settings = Settings(model=str(path), device='cpu', warmup_iterations=0)
    model = open_model(settings, quiet, quiet, lambda: False)
    yield model
    model.pipeline.close()


def test_another_size_is_opened_of_the_very_weights_that_serve(serving_model):
    other = resized(serving_model, (96, 128), quiet, quiet, lambda: False)
    assert other.pipeline.input_size == (96, 128) and other.bundle is serving_model.bundle
    other.pipeline.close()
    unlike(serving_model, licence='another')
    with pytest.raises(BundleError, match='has changed since it was loaded; ~/reload_model'):
        resized(serving_model, (96, 128), quiet, quiet, lambda: False)


def test_another_size_does_not_move_the_network_to_the_cpu(serving_model, monkeypatch):
    closed = []
    found = SimpleNamespace(backend=SimpleNamespace(fallback='no kernels'), close=lambda: closed.append(1))
    monkeypatch.setattr(model_module._Opener, 'open', lambda self, size: SimpleNamespace(pipeline=found))
    with pytest.raises(Unavailable, match='only the CPU can be had: no kernels'):
        resized(serving_model, (96, 128), quiet, quiet, lambda: False)
    assert closed == [1]
    serving_model.pipeline.backend.fallback = 'no kernels'  # it is on the CPU already
    assert resized(serving_model, (96, 128), quiet, quiet, lambda: False).pipeline is found


def test_the_target_rate_is_divided_among_the_cameras(monkeypatch):
    sizes, closed = [(64, 96), (96, 128)], []

    def opened(self, size):
        return SimpleNamespace(size=size, pipeline=SimpleNamespace(close=lambda: closed.append(size)))

    monkeypatch.setattr(model_module, 'ladder_sizes', lambda *_: sizes)
    monkeypatch.setattr(model_module, '_frame_ms', lambda model: 60.0 if model.size == sizes[1] else 20.0)
    monkeypatch.setattr(_Opener, 'open', opened)
    settings = Settings(target_rate_hz=10.0, cameras=('front', 'rear'))
    found = _Opener(None, settings, quiet, quiet, lambda: False).open_largest_that_holds()
    assert found.size == sizes[0]  # 60 ms fit into 100, but not twice
    assert closed == [sizes[1]]


@pytest.mark.parametrize('error', [RtsegError, OutOfDeviceMemory, RuntimeError])
def test_a_network_that_fails_its_first_run_is_closed(error, monkeypatch):
    closed = []

    def fail(*_):
        raise error('it failed')

    pipeline = SimpleNamespace(warm_up=fail, close=lambda: closed.append(1))
    monkeypatch.setattr(model_module, 'Pipeline', lambda *_, **__: pipeline)
    settings = Settings(backend='openvino', device='cpu')
    opener = _Opener(load_bundle('fast_scnn-camvid'), settings, quiet, quiet, lambda: False)
    with pytest.raises(error, match='it failed'):
        opener.open(None)
    assert closed == [1]
    model = SimpleNamespace(pipeline=pipeline)
    monkeypatch.setattr(_Opener, 'open', lambda *_: model)
    monkeypatch.setattr(model_module, '_frame_ms', fail)
    with pytest.raises(error, match='it failed'):
        opener.open_largest_that_holds()
    assert closed == [1, 1]


def test_deterministic_means_one_thread_and_fp32(tmp_path):
    def options(**changes):
        settings = Settings(deterministic=True, cache_dir=str(tmp_path), **changes)
        return _Opener(None, settings, quiet, quiet, lambda: False)._options()

    assert (options().threads, options().precision, options().deterministic) == (1, 'fp32', True)
    assert options(precision='bf16').precision == 'bf16'
    assert _Opener(None, Settings(cache_dir=''), quiet, quiet, lambda: False)._options().threads == 0


def test_the_cache_belongs_to_its_owner_alone(tmp_path):
    assert cache_folder(str(tmp_path / 'cache'), quiet).stat().st_mode & 0o077 == 0
