# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The declaration of the parameters and everything that is made from it."""

import array
import math
import re
from dataclasses import FrozenInstanceError
from pathlib import Path

import pytest

from rtseg_ros.image_codec import ENCODINGS
from rtseg_ros.parameters import DEFAULTS, PARAMETERS, Settings, as_markdown, as_yaml, converted, refusal, unknown_names

ROOT = Path(__file__).resolve().parents[2]


def test_every_default_can_be_had_and_is_described():
    for name, default in DEFAULTS.items():
        assert refusal(name, default) == ''
        assert PARAMETERS[name].description.endswith('.')


def test_settings_are_a_snapshot():
    with pytest.raises(FrozenInstanceError):
        Settings().model = 'another'


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('confidence_threshold', 1.01),
        ('confidence_threshold', math.nan),
        ('confidence_threshold', 'high'),
        ('jpeg_quality', 0),
        ('jpeg_quality', 80.0),
        ('jpeg_quality', True),
        ('lazy', 1),
        ('backend', 'caffe'),
        ('device', 'cuda:N'),
        ('device', 'cuda:one'),
        ('input_height', 16),
        ('input_height', -1),
        ('cameras', ('left', 3)),
        ('cameras', ('front-left',)),
        ('cameras', ('0', '1')),
        ('cameras', ('/front',)),
        ('cameras', ('front/',)),
        ('cameras', ('a' * 101,)),
        ('model', None),
        ('encoding_override', 'h264'),
    ],
)
def test_refusals_are_sentences_with_name_value_and_range(name, value):
    sentence = refusal(name, value)
    assert repr(name) in sentence
    assert repr(value) in sentence
    assert PARAMETERS[name].range_text() in sentence
    assert sentence.endswith('.')


@pytest.mark.parametrize(
    ('name', 'value'),
    [
        ('device', 'cuda:3'),
        ('input_height', 0),
        ('input_height', 32),
        ('confidence_threshold', 1.0),
        ('cameras', ('a', 'b')),
        ('cameras', ('',)),
        ('cameras', ('rig/front_left', 'rig/_2')),
    ],
)
def test_values_at_the_edges_can_be_had(name, value):
    assert refusal(name, value) == ''


def test_whole_numbers_serve_as_floats_and_lists_as_tuples():
    assert converted('overlay_alpha', 1) == 1.0
    assert isinstance(converted('overlay_alpha', 1), float)
    assert converted('overlay_alpha', True) is True
    assert converted('cameras', ['left']) == ('left',)
    assert converted('cameras', []) == ('',)
    assert converted('cameras', array.array('B')) == ('',)
    assert converted('jpeg_quality', 80) == 80


def test_what_yaml_makes_of_a_bare_off_serves():
    assert converted('cloud', False) == 'off'
    assert refusal('cloud', converted('cloud', True))
    assert converted('lazy', False) is False
    assert refusal('backend', converted('backend', False))


def test_unknown_names_are_told_with_close_ones():
    (sentence,) = unknown_names({'overlay_alhpa': 1, 'model': 'x'})
    assert "'overlay_alhpa'" in sentence
    assert "'overlay_alpha'" in sentence
    assert unknown_names({'zzz': 1})[0].endswith('none of that name.')


def test_encodings_to_override_with_are_those_of_the_codec():
    assert set(PARAMETERS['encoding_override'].choices) == {'', *ENCODINGS}


def test_the_shipped_file_is_what_the_declaration_writes():
    assert (ROOT / 'config' / 'segment.yaml').read_text() == as_yaml()


def test_the_shipped_file_read_back_gives_the_defaults():
    yaml = pytest.importorskip('yaml')
    given = yaml.safe_load(as_yaml())['/**']['ros__parameters']
    assert {name: converted(name, value) for name, value in given.items()} == DEFAULTS


def test_the_readme_shows_the_declaration():
    readme = (ROOT / 'README.md') if (ROOT / 'README.md').is_file() else None
    if readme is None:
        pytest.skip('there is no README yet')
    found = re.search(r'<!-- parameters -->\n(.*?)<!-- /parameters -->', readme.read_text(), re.DOTALL)
    assert found, 'README.md has no parameter table between its markers'
    assert found[1].strip() == as_markdown().strip()
