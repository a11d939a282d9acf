# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rtseg_models.engine import kernels, kernels_numpy
from rtseg_models.engine.postprocess import Grid, confidence_of, dense_labels, lazy_labels, source_positions, upsample


@pytest.fixture(params=['compiled', 'numpy'], autouse=True, scope='module')
def implementation(request):
    """Both forms of the pixel loops, each used by everything in this file."""
    if request.param == 'numpy':
        module = kernels_numpy
    elif kernels.COMPILED:
        module = importlib.import_module('rtseg_models.engine._kernels')
    else:
        pytest.skip('the C extension is not built here')
    patch = pytest.MonkeyPatch()
    for name in ('upsample_argmax', 'upsample_confidence'):
        patch.setattr(kernels, name, getattr(module, name))
    yield module
    patch.undo()


@st.composite
def problems(draw):
    """Logits, output size, network size, stride and align_corners: every scale, odd sizes, ties, smooth and noisy."""
    classes = draw(st.sampled_from([1, 2, 3, 11, 19, 254]))
    stride = draw(st.sampled_from([1, 2, 4, 8]))
    largest = 9 if classes < 100 else 4
    net = (draw(st.integers(1, largest * stride)), draw(st.integers(1, largest * stride)))
    h, w = -(-net[0] // stride), -(-net[1] // stride)
    size = (draw(st.integers(1, 70)), draw(st.integers(1, 70)))
    if draw(st.booleans()):
        size = net
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    logits = rng.normal(size=(classes, h, w)) * draw(st.sampled_from([1e-30, 1.0, 20.0, 1e6, 1e30]))
    kind = draw(st.sampled_from(['noise', 'patches', 'ties', 'near ties', 'one bit ahead', 'one class leads']))
    if kind == 'patches':
        logits[:, :, : w // 2] = logits[:, :1, :1]
    elif kind == 'ties':
        logits = np.round(rng.normal(size=logits.shape))
    elif kind == 'near ties':
        logits = np.float32(3.7) * (1 + rng.integers(-2, 3, size=logits.shape) * np.float64(2.0**-23))
    elif kind == 'one bit ahead':  # rounding makes ties of such leads, which the lowest class then wins
        logits = np.repeat(logits[:1], classes, axis=0).astype(np.float32)
        logits[-1] = np.nextafter(logits[-1], np.float32(np.inf))
    elif kind == 'one class leads':
        logits[rng.integers(classes)] += np.abs(logits).max() * rng.choice([1e-7, 1e-6, 1.0])
    return np.ascontiguousarray(logits, np.float32), size, net, stride, draw(st.booleans())


@settings(max_examples=150, deadline=None)
@given(problems())
def test_lazy_labels_equal_the_dense_definition_bit_for_bit(problem):
    logits, size, net, stride, align_corners = problem
    grid = Grid.between(size, net, stride, logits.shape[1:], align_corners)
    np.testing.assert_array_equal(lazy_labels(logits, grid), dense_labels(logits, size, net, stride, align_corners))


@settings(max_examples=40, deadline=None)
@given(problems(), st.integers(1, 5))
def test_labels_do_not_depend_on_the_bands(problem, bands):
    logits, size, net, stride, align_corners = problem
    grid = Grid.between(size, net, stride, logits.shape[1:], align_corners)
    labels = np.full(size, 99, np.uint8)

    def band(first, last):
        return kernels.upsample_argmax(
            logits,
            *logits.shape,
            *grid.lines,
            first,
            last,
            labels,
        )

    assert all(kernels.in_bands(band, size[0], bands))
    np.testing.assert_array_equal(labels, lazy_labels(logits, grid))


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 2**32 - 1), st.sampled_from([1, 4, 8]), st.integers(20, 90), st.integers(20, 90))
def test_a_difference_from_float64_has_a_small_margin(seed, stride, height, width):
    rng = np.random.default_rng(seed)
    cells = (rng.integers(2, 12), rng.integers(2, 12))
    net = (cells[0] * stride, cells[1] * stride)
    logits = (rng.normal(size=(11, *cells)) * 10).astype(np.float32)
    labels = lazy_labels(logits, Grid.between((height, width), net, stride, cells))
    exact = _float64(logits, (height, width), net, stride)
    top_two = np.sort(exact, axis=0)[-2:]
    differs = labels != exact.argmax(axis=0)
    assert ((top_two[1] - top_two[0])[differs] < 1e-4).all()


def _float64(logits, size, net, stride):
    _, h, w = logits.shape
    y = source_positions(size[0], net[0], stride, h, False)
    x = source_positions(size[1], net[1], stride, w, False)
    i, j = np.floor(y).astype(int), np.floor(x).astype(int)
    fy, fx = (y - i)[:, None], x - j
    logits = logits.astype(np.float64)
    rows = (1 - fy) * logits[:, i] + fy * logits[:, np.minimum(i + 1, h - 1)]
    return (1 - fx) * rows[:, :, j] + fx * rows[:, :, np.minimum(j + 1, w - 1)]


def test_upsampling_agrees_with_pytorch():
    torch = pytest.importorskip('torch', reason='PyTorch is the oracle here')
    logits = np.random.default_rng(3).normal(size=(5, 13, 17)).astype(np.float32)
    for align_corners in (False, True):
        wanted = torch.nn.functional.interpolate(
            torch.from_numpy(logits[None]), size=(97, 131), mode='bilinear', align_corners=align_corners
        )
        found = upsample(logits, (97, 131), (13 * 8, 17 * 8), 8, align_corners)
        np.testing.assert_allclose(found, wanted[0].numpy(), atol=2e-5)


def test_positions_use_the_true_stride_where_the_input_is_no_multiple_of_it():
    positions = source_positions(360, 360, 16, 23, False)  # 23 cells of 16 cover 368 rows
    assert positions[0] == 0.0
    assert positions[8] == (8 + 0.5) / 16 - 0.5
    assert positions[359] == (359 + 0.5) / 16 - 0.5


def test_a_flat_field_is_filled_and_a_crossing_is_found_where_it_lies():
    logits = np.zeros((2, 1, 2), np.float32)
    logits[0, 0], logits[1, 0] = (1, 0), (0, 1)
    labels = lazy_labels(logits, Grid.between((1, 16), (8, 16), 8, (1, 2)))
    np.testing.assert_array_equal(labels[0], [0] * 8 + [1] * 8)


@pytest.mark.parametrize('value', [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize('where', [(0, 0, 0), (2, 3, 4), (1, 7, 9)])
def test_non_finite_logits_are_found_in_the_same_pass(value, where):
    logits = np.random.default_rng(0).normal(size=(3, 8, 10)).astype(np.float32)
    grid = Grid.between((45, 61), (64, 80), 8, (8, 10))
    assert lazy_labels(logits, grid) is not None
    logits[where] = value
    assert lazy_labels(logits, grid) is None
    assert lazy_labels(logits, Grid.between((8, 10), (8, 10), 1, (8, 10))) is None


@pytest.mark.parametrize('kind', ['float16', 'bfloat16'])
def test_narrow_logits_are_widened_first(kind):
    if kind == 'bfloat16':
        kind = pytest.importorskip('ml_dtypes', reason='NumPy has no bfloat16 of its own').bfloat16
    narrow = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(kind)
    labels = lazy_labels(narrow, Grid.between((33, 41), (40, 48), 8, (5, 6)))
    np.testing.assert_array_equal(labels, dense_labels(narrow.astype(np.float32), (33, 41), (40, 48), 8))


def test_labels_are_fresh_unless_an_array_is_given():
    logits = np.random.default_rng(1).normal(size=(4, 5, 6)).astype(np.float32)
    grid = Grid.between((33, 41), (40, 48), 8, (5, 6))
    first, second = lazy_labels(logits, grid), lazy_labels(logits, grid)
    assert not np.shares_memory(first, second)
    assert lazy_labels(logits, grid, first) is first


def test_out_of_another_size_is_refused(implementation):
    logits = np.zeros((4, 5, 6), np.float32)
    grid = Grid.between((33, 41), (40, 48), 8, (5, 6))
    with pytest.raises(ValueError):
        lazy_labels(logits, grid, np.empty((33, 40), np.uint8))


@settings(max_examples=60, deadline=None)
@given(problems(), st.sampled_from([0.0, 0.3, 0.9]))
def test_confidence_is_the_rounded_softmax_maximum(problem, threshold):
    logits, size, net, stride, align_corners = problem
    logits = np.clip(logits, -80, 80)
    grid = Grid.between(size, net, stride, logits.shape[1:], align_corners)
    labels = lazy_labels(logits, grid)
    plain = labels.copy()
    confidence = confidence_of(logits, grid, labels, threshold)
    full = upsample(logits, size, net, stride, align_corners).astype(np.float64)
    share = 1 / np.exp(full - full.max(axis=0)).sum(axis=0)
    assert np.abs(confidence - 255 * share).max() <= 0.5 + 1e-3
    sure, unsure = share > threshold + 1e-5, share < threshold - 1e-5
    np.testing.assert_array_equal(labels[sure], plain[sure])
    assert (labels[unsure] == 255).all()


@settings(max_examples=60, deadline=None)
@given(problems())
def test_confidence_is_the_same_in_both_implementations(problem):
    if not kernels.COMPILED:
        pytest.skip('the C extension is not built here')
    compiled = importlib.import_module('rtseg_models.engine._kernels')
    logits, size, net, stride, align_corners = problem
    grid = Grid.between(size, net, stride, logits.shape[1:], align_corners)
    arguments = (logits, *logits.shape, *grid.lines)
    results = []
    for module in (compiled, kernels_numpy):
        labels, confidence = np.zeros(size, np.uint8), np.zeros(size, np.uint8)
        module.upsample_confidence(*arguments, 0, size[0], 0.5, labels, confidence)
        results.append((labels, confidence))
    np.testing.assert_array_equal(results[0], results[1])


def test_the_compiled_code_checks_its_buffers(implementation):
    if implementation is kernels_numpy:
        pytest.skip('NumPy checks its own indices')
    logits = np.zeros((2, 3, 4), np.float32)
    low, fraction, labels = np.zeros(5, np.int32), np.zeros(5, np.float32), np.zeros((5, 5), np.uint8)

    def call(**changed):
        values = {'logits': logits, 'c': 2, 'h': 3, 'w': 4, 'rl': low, 'rf': fraction, 'cl': low, 'cf': fraction}
        values.update({'first': 0, 'last': 5, 'labels': labels, **changed})
        return implementation.upsample_argmax(*values.values())

    assert call() is True
    outside = np.array([0, 0, 0, 0, 4], np.int32)
    for wrong in ({'c': 3}, {'c': 0}, {'h': -3}, {'rl': outside}, {'cl': outside}, {'cl': -low - 1}, {'last': 6}):
        with pytest.raises(ValueError):
            call(**wrong)
    with pytest.raises(ValueError):
        call(rf=fraction[:4])
