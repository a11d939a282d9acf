# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The card of a bundle: every fact that running a network needs, and where its weights came from."""

from __future__ import annotations

import json
import math
from dataclasses import asdict, dataclass, field
from typing import Any, Dict, List, Mapping, Tuple

from .errors import BundleError
from .labels import UNLABELLED, Rgb

SCHEMA = 1
SMALLEST_SIDE, LARGEST_SIDE = 32, 4096  # of an input, in pixels
UNKNOWN_SPLIT = 'unknown'
"""Stands in ``origin['trained_on']`` where nobody knows what the first weights learnt from."""

Size = Tuple[int, int]


@dataclass(frozen=True)
class Card:
    """Contents of ``card.json``. Sizes are (height, width); ``mean`` and ``std`` are red first, in units of 0..1.

    ``agreement`` maps a precision to the share of pixels whose label equals fp32's, measured on a validation set at
    export. ``miou`` maps a split, or ``<split>@<h>x<w>`` for another input size than the card's, to the mean IoU
    against labels of full size (more in ``export.figures``). ``origin`` tells how the weights came to be (dataset,
    protocol, recipe, seed, figures): facts for people.
    """

    network: str
    class_names: Tuple[str, ...]
    colours: Tuple[Rgb, ...]
    ignore_id: int
    input_size: Size
    output_stride: int
    mean: Tuple[float, float, float]
    std: Tuple[float, float, float]
    weights_sha256: str
    dataset: str
    licence: str
    network_args: Dict[str, Any] = field(default_factory=dict)
    align_corners: bool = False
    agreement: Dict[str, float] = field(default_factory=dict)
    miou: Dict[str, float] = field(default_factory=dict)
    origin: Dict[str, Any] = field(default_factory=dict)

    @property
    def classes(self) -> int:
        """Number of classes, void not counted."""
        return len(self.class_names)

    @property
    def learnt_from(self) -> Dict[str, List[str]]:
        """The splits that the weights and those they began with have seen, by dataset; empty where nobody tells."""
        own = {self.dataset: self.origin['trained_on']} if 'trained_on' in self.origin else {}
        found: Dict[str, List[str]] = self.origin.get('learnt_from', own)
        return found

    def figure_name(self, split: str, size: Size) -> str:
        """What a figure of ``split`` at input ``size`` is called in ``miou``."""
        return split if size == self.input_size else f'{split}@{size[0]}x{size[1]}'

    def colour_table(self) -> List[Rgb]:
        """256 colours by mask value; values without a class are black."""
        table: List[Rgb] = [(0, 0, 0)] * 256
        table[: self.classes] = self.colours
        return table

    def to_json(self) -> str:
        """The text of ``card.json``."""
        facts = {k: v for k, v in asdict(self).items() if k not in ('class_names', 'colours')}
        return json.dumps({'schema': SCHEMA, **facts, 'classes': self.class_rows()}, indent=2) + '\n'

    def class_rows(self) -> List[Dict[str, Any]]:
        """Id, name and colour of each class, for JSON."""
        return [
            {'id': i, 'name': name, 'colour': list(colour)}
            for i, (name, colour) in enumerate(zip(self.class_names, self.colours))
        ]

    @classmethod
    def from_json(cls, text: str, where: str) -> Card:
        """Read and check a card; BundleError names ``where`` and the first offending field."""
        try:
            facts = json.loads(text)
        except ValueError as error:
            raise BundleError(f'{where}: not JSON: {error}') from error
        if not isinstance(facts, dict):
            raise BundleError(f'{where}: a JSON object is expected, found {type(facts).__name__}')
        if facts.get('schema') != SCHEMA:
            raise BundleError(f'{where}: schema is {facts.get("schema")!r}; this version reads {SCHEMA}')
        return _checked(facts, where)


def _checked(facts: Mapping[str, Any], where: str) -> Card:
    def fail(name: str, why: str) -> BundleError:
        return BundleError(f'{where}: field {name!r} {why}')

    def need(name: str, kind: type) -> Any:
        if name not in facts:
            raise fail(name, 'is missing')
        if not isinstance(facts[name], kind) or isinstance(facts[name], bool) != (kind is bool):
            raise fail(name, f'is {facts[name]!r}; expected {kind.__name__}')
        return facts[name]

    def triple(name: str) -> Tuple[float, float, float]:
        values = need(name, list)
        if len(values) != 3 or not all(isinstance(v, (int, float)) and math.isfinite(v) for v in values):
            raise fail(name, f'is {values!r}; expected three finite numbers')
        return float(values[0]), float(values[1]), float(values[2])

    def shares(key: str) -> Dict[str, float]:
        found = need(key, dict)
        for name, value in found.items():
            if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
                raise fail(key, f'has {name!r}: {value!r}; expected a number from 0 to 1')
        return dict(found)

    names, colours = _classes(need('classes', list), fail)
    size = need('input_size', list)
    if len(size) != 2 or not all(isinstance(v, int) and SMALLEST_SIDE <= v <= LARGEST_SIDE for v in size):
        raise fail('input_size', f'is {size!r}; expected [height, width], each {SMALLEST_SIDE} to {LARGEST_SIDE}')
    std = triple('std')
    if min(std) <= 0:
        raise fail('std', f'is {list(std)!r}; expected three numbers above 0')
    ignore_id = need('ignore_id', int)
    if not len(names) <= ignore_id <= UNLABELLED:
        raise fail('ignore_id', f'is {ignore_id}; expected {len(names)} (the class count) to {UNLABELLED}')
    stride = need('output_stride', int)
    if stride < 1:
        raise fail('output_stride', f'is {stride}; expected 1 or more')
    return Card(
        network=need('network', str),
        class_names=names,
        colours=colours,
        ignore_id=ignore_id,
        input_size=(size[0], size[1]),
        output_stride=stride,
        mean=triple('mean'),
        std=std,
        weights_sha256=need('weights_sha256', str),
        dataset=need('dataset', str),
        licence=need('licence', str),
        network_args=need('network_args', dict),
        align_corners=need('align_corners', bool),
        agreement=shares('agreement'),
        miou=shares('miou'),
        origin=need('origin', dict),
    )


def _classes(rows: List[Any], fail: Any) -> Tuple[Tuple[str, ...], Tuple[Rgb, ...]]:
    names: List[str] = []
    colours: List[Rgb] = []
    for position, row in enumerate(rows):
        if not isinstance(row, dict) or not {'id', 'name', 'colour'} <= row.keys():
            raise fail('classes', f'entry {position} is {row!r}; expected id, name and colour')
        if row['id'] != position:
            raise fail('classes', f'entry {position} has id {row["id"]!r}; ids are unique and count up from 0')
        colour = row['colour']
        if not (
            isinstance(colour, list) and len(colour) == 3 and all(isinstance(v, int) and 0 <= v < 256 for v in colour)
        ):
            raise fail('classes', f'entry {position} has colour {colour!r}; expected three numbers 0 to 255')
        if not isinstance(row['name'], str) or row['name'] in names:
            raise fail('classes', f'entry {position} has name {row["name"]!r}; names are unique texts')
        names.append(row['name'])
        colours.append((colour[0], colour[1], colour[2]))
    if not 1 <= len(names) < UNLABELLED:
        raise fail('classes', f'holds {len(names)} classes; expected 1 to {UNLABELLED - 1}')
    return tuple(names), tuple(colours)
