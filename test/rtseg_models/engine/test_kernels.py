# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import threading

import numpy as np
import pytest

from rtseg_models.engine import kernels, kernels_numpy
from rtseg_models.engine.kernels import in_bands

WITHOUT_COMPILER = """
import logging, sys
sys.modules['rtseg_models.engine._kernels'] = None  # importing it fails as where it was not built
logging.basicConfig(level=logging.INFO, format='%(levelname)s %(name)s %(message)s')
import numpy as np
from rtseg_models.engine import kernels, kernels_numpy
from rtseg_models.engine.postprocess import Grid, dense_labels, lazy_labels
assert kernels.upsample_argmax is kernels_numpy.upsample_argmax and not kernels.COMPILED
kernels.announce(), kernels.announce()
logits = np.random.default_rng(0).normal(size=(5, 6, 7)).astype(np.float32)
grid = Grid.between((40, 50), (48, 56), 8, (6, 7))
assert (lazy_labels(logits, grid) == dense_labels(logits, (40, 50), (48, 56), 8)).all()
"""


def test_without_the_extension_numpy_does_the_work_and_says_so_once():
    done = subprocess.run([sys.executable, '-c', WITHOUT_COMPILER], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stderr.count('WARNING rtseg postprocessing runs in NumPy') == 1


@pytest.mark.parametrize(('rows', 'bands'), [(10, 1), (10, 3), (2, 4), (0, 2)])
def test_bands_cover_every_row_once_and_in_order(rows, bands):
    parts = in_bands(lambda first, last: list(range(first, last)), rows, bands)
    assert len(parts) == bands and [row for part in parts for row in part] == list(range(rows))


def test_bands_run_at_the_same_time():
    meeting = threading.Barrier(2, timeout=20)
    in_bands(lambda first, last: meeting.wait(), 2, 2)


def test_a_failing_band_is_heard_of():
    def work(first, last):
        if first:
            raise ArithmeticError(f'rows {first} to {last}')

    with pytest.raises(ArithmeticError, match='rows 5 to 10'):
        in_bands(work, 10, 2)


def _label_images(kind: str) -> list[np.ndarray]:
    """Four label images (37,53) uint8: areas of one class with noise in between, so that both paths of C run."""
    rng = np.random.default_rng(5)
    areas = np.repeat(rng.integers(0, 4, (37, 7), np.uint8), 8, axis=1)[:, :53]
    images = [np.where(rng.random(areas.shape) < 0.03, rng.integers(0, 256, areas.shape), areas) for _ in range(4)]
    if kind == 'noise':
        images = [rng.integers(0, 256, areas.shape) for _ in range(4)]
    return [np.ascontiguousarray(i, np.uint8) for i in images]


@pytest.mark.skipif(not kernels.COMPILED, reason='the C extension is not built')
@pytest.mark.parametrize('kind', ('areas', 'noise'))
@pytest.mark.parametrize('absent', ((), (1,), (2, 3), (3,), (1, 2, 3)))
def test_tallies_in_c_and_numpy_are_equal(kind, absent):
    images = [None if i in absent else image for i, image in enumerate(_label_images(kind))]
    joints = np.zeros((2, 256, 256), np.int64)
    found = [f(*images, 2, joint) for f, joint in zip((kernels.tally_labels, kernels_numpy.tally_labels), joints)]
    assert found[0] == found[1]
    assert np.array_equal(*joints) and joints[0].sum() == images[0].size


def test_tally_of_a_case_worked_by_hand():
    labels, before = np.array([[0, 1, 1, 2]], np.uint8), np.array([[0, 0, 1, 1]], np.uint8)
    truth, truth_before = np.array([[0, 1, 7, 2]], np.uint8), np.array([[0, 1, 7, 3]], np.uint8)
    joint = np.zeros((256, 256), np.int64)
    assert kernels.tally_labels(labels, before, truth, truth_before, 7, joint) == (2, 2, 1)
    assert {(int(t), int(p)): int(joint[t, p]) for t, p in np.argwhere(joint)} == {
        (0, 0): 1, (1, 1): 1, (7, 1): 1, (2, 2): 1,
    }  # fmt: skip


@pytest.mark.skipif(not kernels.COMPILED, reason='the C extension is not built')
@pytest.mark.parametrize('kind', ('areas', 'noise'))
def test_relabelling_in_c_and_numpy_is_equal(kind):
    labels = _label_images(kind)[0]
    table = np.random.default_rng(6).permutation(256).astype(np.uint8)
    outs, counts = np.empty((2, *labels.shape), np.uint8), np.zeros((2, 256), np.int64)
    for module, out, count in zip((kernels, kernels_numpy), outs, counts):
        module.relabel_and_count(labels, table, out, count)
    assert np.array_equal(outs[0], table[labels]) and np.array_equal(*outs)
    assert np.array_equal(*counts) and counts[0].sum() == labels.size


def test_images_that_do_not_fit_together_are_refused():
    if not kernels.COMPILED:
        pytest.skip('the C extension is not built')
    labels, joint = np.zeros((3, 4), np.uint8), np.zeros((256, 256), np.int64)
    with pytest.raises(ValueError, match='do not fit together'):
        kernels.tally_labels(labels, labels[1:], None, None, 255, joint)
    with pytest.raises(ValueError, match='do not fit together'):
        kernels.relabel_and_count(labels, labels[0], labels.copy(), joint[0])
