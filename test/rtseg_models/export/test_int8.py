# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil

import numpy as np
import pytest

from rtseg_models.bundle import load_bundle, shipped_bundles
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.errors import RtsegError, Unavailable
from rtseg_models.export.int8 import quantise
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


def frames():
    street = Street(3, height=180, width=240)
    return [street.frame(i * 20).rgb for i in range(3)]


def test_int8_is_not_offered_without_its_graph(bundle):
    with pytest.raises(Unavailable, match="'int8': OpenVINO on this CPU offers"):
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
