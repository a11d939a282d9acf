# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import subprocess
import sys
import threading

import pytest

from rtseg_models.engine.kernels import in_bands

WITHOUT_COMPILER = """
import logging, sys
sys.modules['rtseg_models.engine._kernels'] = None  # importing it fails as where it was not built
logging.basicConfig(level=logging.INFO, format='%(name)s %(message)s')
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
    assert done.stderr.count('rtseg postprocessing runs in NumPy') == 1


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
