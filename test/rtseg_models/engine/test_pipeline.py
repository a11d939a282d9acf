# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace

import numpy as np
import pytest

from rtseg_models.bundle import load_bundle, shipped_bundles
from rtseg_models.engine import NonFiniteLogits, Pipeline, pipeline
from rtseg_models.engine.backends import Options, installed
from rtseg_models.engine.postprocess import dense_labels
from rtseg_models.engine.preprocess import stretch
from rtseg_models.errors import BundleError


class Painter:
    """A backend whose logits follow the image: class k leads where the pixel's red is k."""

    name, device, precision, fallback = 'painter', 'cpu', 'fp32', ''

    def __init__(self, stride=8, classes=4):
        self.stride, self.classes, self.broken = stride, classes, False

    def infer(self, rgb):
        red = rgb[:, :: self.stride, :: self.stride, 0]
        logits = (red[:, None] == np.arange(self.classes)[:, None, None]).astype(np.float32) * 5
        if self.broken:
            logits[0, 1, 2, 3] = np.nan
        return logits

    def close(self):
        pass


class Batcher(Painter):
    """The same on a device of its own."""

    def __init__(self):
        super().__init__()
        self.batches = []

    def label(self, rgb, grid):
        self.batches.append(len(rgb))
        logits = self.infer(rgb)
        if self.broken:
            return None
        return np.stack([dense_labels(one, grid.size, rgb.shape[1:3], self.stride) for one in logits])


@pytest.fixture(params=[Painter, Batcher])
def painted(request, monkeypatch):
    backend = request.param()
    monkeypatch.setattr(pipeline, 'open_backend', lambda *a: backend)
    card = SimpleNamespace(input_size=(64, 96), output_stride=8, align_corners=False)
    return Pipeline(SimpleNamespace(card=card, name='painted'))


def picture(height=90, width=150, seed=0):
    blocks = np.random.default_rng(seed).integers(0, 4, (height // 30, width // 30), np.uint8)
    red = blocks.repeat(30, axis=0).repeat(30, axis=1)
    return np.stack([red, red, red], axis=-1)


def test_labels_are_those_of_the_dense_definition_at_camera_size(painted):
    rgb = picture()
    result = painted(rgb)
    logits = painted.backend.infer(stretch(rgb, (64, 96)))[0]
    np.testing.assert_array_equal(result.labels, dense_labels(logits, (90, 150), (64, 96), 8))
    assert list(result.stage_ms) == ['preprocess', 'network', 'postprocess'] and result.confidence is None


def test_labels_can_come_at_another_size_and_in_a_given_array(painted):
    rgb = picture()
    assert painted(rgb, size=(64, 96)).labels.shape == (64, 96)
    out = np.empty((90, 150), np.uint8)
    result = painted(rgb, out=out)
    assert result.labels is out
    np.testing.assert_array_equal(out, painted(rgb).labels)


def test_labels_of_earlier_calls_stay_as_they_were(painted):
    first = painted(picture(seed=1))
    kept = first.labels.copy()
    painted(picture(seed=2))
    np.testing.assert_array_equal(first.labels, kept)


def test_confidence_and_threshold(painted):
    rgb = picture()
    plain = painted(rgb)
    sure = painted(rgb, confidence=True)
    assert sure.confidence.shape == (90, 150) and sure.confidence.max() == round(255 / (1 + 3 * np.exp(-5)))
    np.testing.assert_array_equal(sure.labels, plain.labels)
    strict = painted(rgb, threshold=0.9)
    assert strict.confidence is None
    np.testing.assert_array_equal(strict.labels == 255, sure.confidence < round(255 * 0.9))


@pytest.mark.parametrize('arguments', [{}, {'confidence': True}, {'threshold': 0.5}])
def test_nan_logits_raise(painted, arguments):
    painted.backend.broken = True
    with pytest.raises(NonFiniteLogits, match='painted on painter'):
        painted(picture(), **arguments)


@pytest.mark.parametrize('sizes', [[(90, 150)] * 3, [(90, 150), (60, 90)], []])
def test_a_batch_equals_its_images_one_by_one(painted, sizes):
    images = [picture(*size, seed=i) for i, size in enumerate(sizes)]
    results = painted.batch(images)
    assert len(results) == len(images)
    if isinstance(painted.backend, Batcher):
        assert painted.backend.batches == ([3] if len(set(sizes)) == 1 else [1] * len(sizes))
    for image, result in zip(images, results):
        np.testing.assert_array_equal(result.labels, painted(image).labels)


@pytest.mark.parametrize('options', [{'confidence': True}, {'threshold': 0.9}, {'size': (64, 96)}])
def test_a_batch_takes_the_options_of_single_images(painted, options):
    images = [picture(seed=i) for i in range(2)]
    for image, result in zip(images, painted.batch(images, **options)):
        alone = painted(image, **options)
        np.testing.assert_array_equal(result.labels, alone.labels)
        np.testing.assert_array_equal(result.confidence, alone.confidence)


def test_images_of_the_networks_size_are_stacked_unchanged(painted):
    images = [np.resize(picture(seed=i), (64, 96, 3)) for i in range(3)]
    for image, result in zip(images, painted.batch(images)):
        np.testing.assert_array_equal(result.labels, painted(image).labels)


def test_warming_up_covers_every_batch_of_the_cameras(painted):
    painted.warm_up(2, cameras=3)
    if painted.takes_batches:
        assert painted.backend.batches == [1, 1, 2, 2, 3, 3]


@pytest.fixture(scope='module')
def bundle():
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    return load_bundle('fast_scnn-camvid')


@pytest.mark.parametrize('name', ['openvino', 'onnxruntime', 'torch'])
def test_the_golden_sample_on_every_runtime(bundle, name):
    if not installed(name):
        pytest.skip(f'{name} is not installed')
    assert Pipeline(bundle, backend=name, options=Options(device='cpu', precision='fp32')).self_test() >= 0.999


def test_no_pytorch_unless_it_is_chosen(bundle):
    if not (installed('openvino') or installed('onnxruntime')):
        pytest.skip('only PyTorch is installed')
    script = (
        'import sys\n'
        'from rtseg_models.bundle import load_bundle\n'
        'from rtseg_models.engine import Pipeline\n'
        "assert not {'torch', 'openvino', 'onnxruntime'} & set(sys.modules)\n"
        f'p = Pipeline(load_bundle({str(bundle.path)!r}), input_size=(360, 480))\n'
        'p.warm_up(1)\n'
        "assert not {'torch', 'rclpy', 'lightning'} & set(sys.modules), p.backend.name\n"
    )
    subprocess.run([sys.executable, '-c', script], check=True)


@pytest.mark.parametrize(
    'precision, wrong, passes',
    [
        ('fp32', 0.0005, True),
        ('fp32', 0.005, False),
        ('bf16', 0.005, True),
        ('bf16', 0.02, False),
        ('int8', 0.02, True),
        ('int8', 0.06, False),
    ],
)
def test_the_self_test_asks_more_of_exact_arithmetic(monkeypatch, precision, wrong, passes):
    closed = []
    backend = SimpleNamespace(name='b', precision=precision, close=lambda: closed.append(1))
    monkeypatch.setattr(pipeline, 'open_backend', lambda *_: backend)
    expected = np.zeros((100, 100), np.uint8)
    found = expected.copy()
    found.reshape(-1)[: round(10_000 * wrong)] = 1
    monkeypatch.setattr(Pipeline, '__call__', lambda self, rgb: SimpleNamespace(labels=found))
    tested = Pipeline(
        SimpleNamespace(card=SimpleNamespace(input_size=(64, 96)), path='p', golden=lambda: (None, expected))
    )
    if passes:
        assert tested.self_test() == pytest.approx(1 - wrong)
    else:
        with pytest.raises(BundleError, match='golden sample agrees'):
            tested.self_test()
    tested.close()
    assert closed == [1]


def test_an_input_that_is_no_multiple_of_the_stride(monkeypatch):
    logits = np.random.default_rng(0).normal(size=(1, 4, 8, 13)).astype(np.float32)
    monkeypatch.setattr(pipeline, 'open_backend', lambda *_: SimpleNamespace(name='b', infer=lambda rgb: logits))
    card = SimpleNamespace(input_size=(60, 100), output_stride=8, align_corners=False)
    labels = Pipeline(SimpleNamespace(card=card, name='odd'))(np.zeros((90, 150, 3), np.uint8)).labels
    np.testing.assert_array_equal(labels, dense_labels(logits[0], (90, 150), (60, 100), 8))
