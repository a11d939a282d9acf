# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered streets as a dataset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from rtseg_models.datasets import open_checked, open_dataset
from rtseg_models.datasets.synthetic import SPLITS
from rtseg_models.errors import BundleError, NotFound


def test_samples_are_rendered_on_demand() -> None:
    dataset = open_dataset('synthetic', Path('no such folder'), 'val')
    assert len(dataset) == 60
    first, again = dataset[0], dataset[0]
    assert first.rgb.shape == (720, 1280, 3)
    assert first.label.shape == (720, 1280)
    assert first.label.max() < len(dataset.class_set)
    assert np.array_equal(first.rgb, again.rgb)
    assert dataset[1].name != first.name


def test_splits_share_no_street() -> None:
    seeds = [set(range(first, first + count)) for first, count in SPLITS.values()]
    assert sum(map(len, seeds)) == len(set.union(*seeds))


def test_unknown_split_and_sample() -> None:
    with pytest.raises(NotFound, match='known: train, val, test'):
        open_dataset('synthetic', Path(), 'everything')
    with pytest.raises(BundleError, match='known: train, val, test'):
        open_checked('synthetic', Path(), ['everything'])
    with pytest.raises(IndexError, match='60 of'):
        open_dataset('synthetic', Path(), 'test')[60]
