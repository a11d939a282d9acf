# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib.util
import shutil
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest
from click.testing import CliRunner

from rtseg_models.bundle import load_bundle, shipped_bundles
from rtseg_models.cli.export_command import command
from rtseg_models.datasets.sample import Sample
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.engine.backends.graphs import quantised_graph
from rtseg_models.errors import RtsegError, Unavailable
from rtseg_models.evaluation import evaluate
from rtseg_models.export.figures import rewrite_card
from rtseg_models.export.int8 import measure_int8, quantise
from rtseg_models.labels import CAMVID
from rtseg_models.street import Street

SIZE = (360, 480)


@pytest.fixture
def bundle(tmp_path):
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    pytest.importorskip('openvino', reason='openvino is not installed')
    copied = tmp_path / 'bundle'
    shutil.copytree(shipped_bundles()['fast_scnn-camvid'], copied)
    return load_bundle(str(copied))


@lru_cache(maxsize=None)  # a street takes a second to lay out
def drawn():
    street = Street(3, height=180, width=240)
    return [street.frame(i * 20) for i in range(3)]


class Drive:
    """Three rendered frames."""

    class_set = CAMVID

    def __init__(self) -> None:
        self.frames = drawn()

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), self.frames[index].rgb, self.frames[index].label)


def frames():
    return [frame.rgb for frame in Drive().frames]


def test_int8_is_not_offered_without_its_graph(bundle):
    with pytest.raises(Unavailable, match=r'no 360x480-int8\.xml; rtseg export --int8 makes one'):
        Pipeline(bundle, backend='openvino', input_size=SIZE, options=Options(device='cpu', precision='int8'))


def test_nothing_to_calibrate_on_is_refused(bundle):
    with pytest.raises(RtsegError, match='calibrate'):
        quantise(bundle, SIZE, [])


def test_an_int8_graph_gives_nearly_the_labels_of_fp32(bundle):
    pytest.importorskip('nncf', reason='NNCF is not installed')
    path = quantise(bundle, SIZE, frames())
    assert path.is_file() and not list(bundle.path.glob('tmp*'))
    reduced = Pipeline(bundle, backend='openvino', input_size=SIZE, options=Options(device='cpu', precision='int8'))
    exact = Pipeline(bundle, backend='openvino', input_size=SIZE, options=Options(device='cpu', precision='fp32'))
    shares = [np.mean(reduced(rgb).labels == exact(rgb).labels) for rgb in frames()]
    assert 0.9 < np.mean(shares) < 1
    with pytest.raises(RtsegError, match='not overwriting'):
        quantise(bundle, SIZE, frames())


def test_a_missing_quantiser_is_told_before_the_bundle_is_written(bundle, monkeypatch, tmp_path):
    monkeypatch.setattr(importlib.util, 'find_spec', lambda name: None)
    arguments = [bundle.path, '--int8', '--dataset', 'camvid', '--root', tmp_path, '--out', tmp_path / 'out']
    result = CliRunner().invoke(command, [str(a) for a in arguments])
    assert isinstance(result.exception, Unavailable) and "needs the package 'nncf'" in str(result.exception)
    assert not (tmp_path / 'out').exists()


@pytest.fixture
def disguised(bundle):
    """The bundle with another network's graph in the place of its INT8 graph: one that differs without NNCF."""
    openvino = pytest.importorskip('openvino', reason='openvino is not installed')
    other = load_bundle('contextnet-camvid')
    openvino.save_model(openvino.Core().read_model(str(other.graph(SIZE))), str(quantised_graph(bundle, SIZE)))
    return rewrite_card(bundle, replace(bundle.card, input_size=SIZE, origin={'trained_on': ['train']}))


def test_int8_is_measured_beside_fp32(disguised):
    other = load_bundle('contextnet-camvid')
    other = Pipeline(other, backend='openvino', input_size=SIZE, options=Options(precision='fp32'))
    own = Pipeline(disguised, backend='openvino', options=Options(precision='fp32'))
    shares = [np.mean(other(rgb).labels == own(rgb).labels) for rgb in frames()]
    before = disguised.card
    card = measure_int8(disguised, Drive(), 'val').card
    assert card.agreement['int8'] == pytest.approx(np.mean(shares), abs=1e-3) and card.agreement['int8'] < 0.999
    assert card.miou['val-int8'] == pytest.approx(evaluate(other, Drive()).confusion.miou(), abs=2e-3)
    assert {k: v for k, v in card.miou.items() if k != 'val-int8'} == before.miou
    assert {k: v for k, v in card.agreement.items() if k != 'int8'} == before.agreement
    assert load_bundle(str(disguised.path)).card == card


def test_int8_gets_no_iou_on_what_was_trained_on(disguised):
    trained = rewrite_card(disguised, replace(disguised.card, origin={'trained_on': ['train', 'val']}))
    card = measure_int8(trained, Drive(), 'val').card
    assert 'val-int8' not in card.miou and 'int8' in card.agreement
