# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle whose graph, weights and card contradict each other is refused by name on every runtime."""

from __future__ import annotations

import json
import shutil
from typing import Any, Callable, Dict

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from rtseg_models.bundle import WEIGHTS, Bundle, load_bundle, sha256_of, shipped_bundles
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import installed
from rtseg_models.engine.backends.graph_weights import check_graph
from rtseg_models.errors import BundleError

BIAS = 'classifier.3.bias'
Tensors = Dict[str, np.ndarray]


@pytest.fixture
def copy(tmp_path) -> Bundle:
    """A bundle that may be spoilt."""
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    shutil.copytree(shipped_bundles()['fast_scnn-camvid'], tmp_path / 'spoilt')
    return load_bundle(str(tmp_path / 'spoilt'))


def rewritten(
    bundle: Bundle, change: Callable[[Tensors], Any], card: Callable[[Any], Any] = lambda facts: None
) -> Bundle:
    """The bundle with other weights, whose hash its card knows, and with another card."""
    tensors = load_file(str(bundle.weights_path))
    change(tensors)
    save_file(tensors, str(bundle.weights_path))
    facts = json.loads((bundle.path / 'card.json').read_text())
    facts['weights_sha256'] = sha256_of(bundle.weights_path)
    card(facts)
    (bundle.path / 'card.json').write_text(json.dumps(facts))
    return load_bundle(str(bundle.path))


SPOILT = {
    'missing': (lambda t: t.pop(BIAS), f'{WEIGHTS}: tensor {BIAS!r}, which 512x1024.onnx needs, is missing'),
    'strange': (
        lambda t: t.update(a=np.ones(3, np.float32)),
        f"{WEIGHTS}: tensor 'a' does not belong to 512x1024.onnx",
    ),
    'wrong shape': (
        lambda t: t.update({BIAS: np.zeros(5, np.float32)}),
        f'{WEIGHTS}: tensor {BIAS!r} is (5,), 512x1024.onnx expects (11,)',
    ),
    'wrong place': (lambda t: t.update({BIAS: t[BIAS].astype(np.float16)}), 'expects it at'),
}


@pytest.mark.parametrize('runtime', ['openvino', 'onnxruntime'])
@pytest.mark.parametrize('fault', SPOILT)
def test_the_first_tensor_that_does_not_fit_is_named(copy, fault, runtime):
    if not installed(runtime):
        pytest.skip(f'{runtime} is not installed')
    change, said = SPOILT[fault]
    with pytest.raises(BundleError) as caught:
        Pipeline(rewritten(copy, change), backend=runtime)
    assert said in str(caught.value)
    assert str(copy.path) in str(caught.value)


def test_a_card_of_other_classes_is_refused(copy):
    bundle = rewritten(copy, lambda tensors: None, lambda facts: facts['classes'].pop())
    with pytest.raises(BundleError, match=r"card\.json: field 'classes' has 10 entries, .* puts out 11 classes"):
        check_graph(bundle.graph(bundle.card.input_size), bundle)


def test_a_card_of_another_stride_is_refused(copy):
    bundle = rewritten(copy, lambda tensors: None, lambda facts: facts.update(output_stride=4))
    with pytest.raises(BundleError, match=r"card\.json: field 'output_stride' is 4, .* 128x256 .* puts out 64x128"):
        check_graph(bundle.graph((512, 1024)), bundle)
    with pytest.raises(BundleError, match=r"card\.json: field 'output_stride' is 4"):  # this graph does not tell
        Pipeline(bundle, backend='onnxruntime', input_size=(360, 480)).warm_up(1)


def test_a_graph_under_the_name_of_another_size_is_refused(copy):
    copy.graph((512, 1024)).rename(copy.graph((360, 480)))
    with pytest.raises(BundleError, match=r'360x480\.onnx: takes images of 512x1024'):
        check_graph(copy.graph((360, 480)), copy)


@pytest.mark.parametrize('length', [0, 10, 1000, 100_000])
def test_a_graph_cut_short_is_named(copy, length):
    graph = copy.graph(copy.card.input_size)
    graph.write_bytes(graph.read_bytes()[:length])
    with pytest.raises(BundleError, match=graph.name):
        check_graph(graph, copy)


def test_every_shipped_graph_fits_its_weights():
    for path in shipped_bundles().values():
        bundle = load_bundle(str(path))
        for size in bundle.sizes():
            check_graph(bundle.graph(size), bundle)
