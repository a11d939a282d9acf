# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from typing import Any

import pytest

from rtseg_models.card import Card
from rtseg_models.errors import BundleError
from rtseg_models.labels import CAMVID


def card() -> Card:
    return Card(
        network='fast_scnn',
        class_names=CAMVID.names,
        colours=CAMVID.colours,
        ignore_id=11,
        input_size=(512, 1024),
        output_stride=8,
        mean=(0.5, 0.5, 0.5),
        std=(0.25, 0.25, 0.25),
        weights_sha256='0' * 64,
        dataset='camvid',
        licence='Apache-2.0',
        agreement={'bf16': 0.997},
        miou={'val': 0.6},
        origin={'seed': 1},
    )


def test_a_card_survives_the_disk() -> None:
    assert Card.from_json(card().to_json(), 'card.json') == card()


def test_colour_table_is_black_beyond_the_classes() -> None:
    table = card().colour_table()
    assert len(table) == 256
    assert table[3] == (128, 64, 128)
    assert table[11] == table[255] == (0, 0, 0)


def change(path: str, value: Any) -> str:
    facts = json.loads(card().to_json())
    place = facts
    *parents, last = path.split('.')
    for key in parents:
        place = place[int(key) if isinstance(place, list) else key]
    place[int(last) if isinstance(place, list) else last] = value
    return json.dumps(facts)


@pytest.mark.parametrize(
    'path,value,said',
    [
        ('schema', 2, 'schema is 2'),
        ('network', 5, "'network'"),
        ('classes', [], "'classes' holds 0"),
        ('classes.1.id', 0, 'entry 1 has id 0'),
        ('classes.1.name', 'sky', "name 'sky'"),
        ('classes.1.colour', [1, 2], r'colour \[1, 2\]'),
        ('classes.1.colour', [1, 2, 300], r'colour \[1, 2, 300\]'),
        ('input_size', [512], "'input_size'"),
        ('input_size', [16, 1024], "'input_size'"),
        ('std', [0.1, 0.0, 0.1], "'std'"),
        ('mean', ['a', 0, 0], "'mean'"),
        ('ignore_id', 3, "'ignore_id'"),
        ('output_stride', 0, "'output_stride'"),
        ('output_stride', True, "'output_stride'"),
        ('align_corners', 1, "'align_corners'"),
        ('agreement', {'bf16': '0.99'}, "'agreement' has 'bf16': '0.99'"),
        ('agreement', {'bf16': None}, "'agreement' has 'bf16': None"),
        ('miou', {'val': float('nan')}, "'miou' has 'val': nan"),
        ('miou', {'val': 66.4}, "'miou' has 'val': 66.4"),
    ],
)
def test_the_first_offending_field_is_named(path: str, value: Any, said: str) -> None:
    with pytest.raises(BundleError, match=said) as caught:
        Card.from_json(change(path, value), '/somewhere/card.json')
    assert '/somewhere/card.json' in str(caught.value)


def test_a_missing_field_is_named() -> None:
    facts = json.loads(card().to_json())
    del facts['licence']
    with pytest.raises(BundleError, match="'licence' is missing"):
        Card.from_json(json.dumps(facts), 'card.json')


@pytest.mark.parametrize('text', ['', '{', '[]'])
def test_what_is_not_a_card_is_refused(text: str) -> None:
    with pytest.raises(BundleError, match=r'card\.json'):
        Card.from_json(text, 'card.json')
