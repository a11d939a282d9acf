# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import importlib

import numpy as np
import pytest

from rtseg_models.engine import kernels, kernels_numpy
from rtseg_models.engine.paint import blend, colourise, legend


@pytest.fixture(params=['compiled', 'numpy'], autouse=True)
def implementation(request, monkeypatch):
    module = kernels_numpy
    if request.param == 'compiled':
        if not kernels.COMPILED:
            pytest.skip('the C extension is not built here')
        module = importlib.import_module('rtseg_models.engine._kernels')
    monkeypatch.setattr(kernels, 'colourise', module.colourise)
    monkeypatch.setattr(kernels, 'blend', module.blend)


@pytest.fixture
def scene():
    rng = np.random.default_rng(5)
    rgb = rng.integers(0, 256, (37, 53, 3), np.uint8)
    labels = rng.choice(np.array([0, 1, 7, 254, 255], np.uint8), (37, 53))
    return rgb, labels, rng.integers(0, 256, (256, 3), np.uint8)


def test_colours_come_from_the_table(scene):
    _, labels, table = scene
    np.testing.assert_array_equal(colourise(labels, table), table[labels])


def test_a_table_may_have_four_channels(scene):
    _, labels, table = scene
    table = np.concatenate([table, table[:, :1]], axis=1)
    np.testing.assert_array_equal(colourise(labels, table), table[labels])


def test_colours_of_a_view_with_strides(scene):
    _, labels, table = scene
    np.testing.assert_array_equal(colourise(labels[::2, ::3], table), table[labels[::2, ::3]])


@pytest.mark.parametrize('alpha', [0.0, 0.25, 0.5, 0.8, 1.0])
def test_overlay_mixes_and_leaves_unlabelled_pixels_alone(scene, alpha):
    rgb, labels, table = scene
    overlay = blend(rgb, labels, table, alpha)
    known = labels != 255
    wanted = alpha * table[labels].astype(np.float64) + (1 - alpha) * rgb
    assert np.abs(overlay - wanted)[known].max() <= 1.0  # alpha is rounded to 1/256, the result to integers
    np.testing.assert_array_equal(overlay[~known], rgb[~known])


def test_results_are_the_same_with_and_without_a_compiler(scene):
    rgb, labels, table = scene
    wanted = np.empty_like(rgb)
    kernels_numpy.blend(rgb, labels, table, 77, wanted)
    np.testing.assert_array_equal(blend(rgb, labels, table, 77 / 256), wanted)


def test_given_arrays_are_written(scene):
    rgb, labels, table = scene
    out = np.empty_like(rgb)
    assert colourise(labels, table, out) is out
    np.testing.assert_array_equal(out, table[labels])
    assert blend(rgb, labels, table, 1.0, out) is out


def test_sizes_that_do_not_match_are_refused(scene):
    rgb, labels, table = scene
    with pytest.raises(ValueError):
        blend(rgb[:-1], labels, table, 0.5)
    with pytest.raises(ValueError):
        colourise(labels, table, np.empty((1, 1, 3), np.uint8))


def test_a_legend_shows_every_colour():
    image = legend(['road', 'sky'], [(128, 64, 128), (70, 130, 180)])
    colours = {tuple(c) for c in image.reshape(-1, 3)}
    assert {(128, 64, 128), (70, 130, 180)} <= colours
