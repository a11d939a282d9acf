# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

import numpy as np
import pytest

from rtseg_models.datasets.folder import read_class_file
from rtseg_models.errors import BundleError, UsageError
from rtseg_ros.replay.class_mapping import ClassMapping

TWINS = ('traffic light', 'traffic_light', 'Road', 'road')


def class_file(folder, names, **more) -> str:
    rows = [{'id': i, 'name': name} for i, name in enumerate(names)]
    (folder / 'classes.json').write_text(json.dumps({'classes': rows, **more}))
    return str(folder / 'classes.json')


def test_names_that_differ_by_case_or_blanks_are_classes_of_their_own(tmp_path):
    ids = np.array([[0, 1, 2, 3, 255]], np.uint8)
    own = ClassMapping(TWINS, 255)
    np.testing.assert_array_equal(own(ids, ''), ids)
    reverse = ClassMapping(TWINS, 255, class_file(tmp_path, TWINS[::-1]))
    assert reverse(ids, '').tolist() == [[3, 2, 1, 0, 255]] and own.evaluable == reverse.evaluable == [True] * 4
    part = ClassMapping(TWINS, 255, class_file(tmp_path, ['road', 'sky']))
    assert part.evaluable == [False, False, False, True] and part.unmapped == ['sky']


@pytest.mark.parametrize(
    'theirs, own',
    ((['ROAD'], ['Road', 'road']), (['Road', 'road'], ['road']), (['bus-stop', 'bus stop'], ['Bus_Stop'])),
)
def test_names_that_may_mean_several_classes_are_refused(theirs, own, tmp_path):
    with pytest.raises(UsageError, match=f'{theirs[0]}.*as the bundle does'):
        ClassMapping(own, 255, class_file(tmp_path, theirs))


def test_several_ids_may_be_one_class(tmp_path):
    mapping = ClassMapping(['car'], 255, class_file(tmp_path, ['Car', 'Car']))
    assert mapping(np.array([[0, 1]], np.uint8), '').tolist() == [[0, 0]]


def test_the_ignored_id_counts_for_none_though_it_has_a_name(tmp_path):
    mapping = ClassMapping(['road', 'car'], 255, class_file(tmp_path, ['road', 'car'], ignore_id=0))
    assert mapping(np.array([[0, 1]], np.uint8), '').tolist() == [[255, 1]]
    assert mapping.evaluable == [False, True] and mapping.unmapped == []
    with pytest.raises(BundleError, match='not ignored'):
        ClassMapping(['road'], 255, class_file(tmp_path, ['road'], ignore_id=0))


def test_a_folder_datasets_class_file_serves(tmp_path):
    """Which has no ids: they are the places."""
    file = tmp_path / 'classes.json'
    file.write_text(
        json.dumps({'classes': [{'name': name, 'colour': [1, 2, i]} for i, name in enumerate(TWINS[::-1])]})
    )
    classes = read_class_file(file)
    mapping = ClassMapping(TWINS, 255, str(file))
    labels = np.array([[0, 1, classes.ignore_id]], np.uint8)
    assert mapping(labels, 'label').tolist() == [[TWINS.index(classes.names[0]), TWINS.index(classes.names[1]), 255]]
