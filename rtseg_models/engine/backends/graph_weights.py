# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Whether a graph, its weights and its card belong together, told without onnx or PyTorch, which robots lack.

A runtime reads the weights at the offsets that the graph names, whatever lies there: other weights of the right length
give labels without meaning. So every external tensor is compared with the header of the weights' file first.
"""

from __future__ import annotations

import json
import struct
from pathlib import Path
from typing import Any, Dict, Iterator, List, NamedTuple, Tuple, Union

from ...bundle import WEIGHTS, Bundle
from ...errors import BundleError, NotFound
from ..postprocess import cells_of

# Field numbers of onnx.proto.
_MODEL_GRAPH, _GRAPH_INITIALIZER, _GRAPH_INPUT, _GRAPH_OUTPUT = 7, 5, 11, 12
_TENSOR_DIMS, _TENSOR_NAME, _TENSOR_EXTERNAL_DATA = 1, 8, 13
_VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE, _SHAPE_DIM, _DIM_VALUE = 2, 1, 2, 1, 1
_NOT_TOLD = 0
_VARINT, _FIXED64, _BYTES, _FIXED32 = 0, 1, 2, 5


class _External(NamedTuple):
    """A tensor that a graph expects in the weights' file."""

    shape: Tuple[int, ...]
    offset: int


def check_graph(graph: Path, bundle: Bundle) -> None:
    """BundleError names the first tensor or field in which graph, weights and card contradict each other."""
    try:
        model = _fields(_one(_fields(graph.read_bytes()), _MODEL_GRAPH))
        wanted = dict(_external_tensors(model))
        _, height, width, _ = _shape(model, _GRAPH_INPUT)
        _, classes, *cells = _shape(model, _GRAPH_OUTPUT)
    except (AttributeError, IndexError, KeyError, TypeError, ValueError, struct.error) as error:
        raise BundleError(f'{graph}: not a readable ONNX graph with external weights') from error
    except OSError as error:
        raise NotFound(f'{graph}: cannot be read: {error}') from error
    _compare(wanted, graph, bundle.weights_path)
    card, where = bundle.card, bundle.path / 'card.json'
    if graph.stem != f'{height}x{width}':
        raise BundleError(f'{graph}: takes images of {height}x{width}, which its name does not say')
    if classes != card.classes:
        raise BundleError(
            f"{where}: field 'classes' has {card.classes} entries, {graph.name} puts out {classes} classes"
        )
    expected = cells_of((height, width), card.output_stride)
    if len(cells) != 2 or any(found not in (side, _NOT_TOLD) for found, side in zip(cells, expected)):
        raise BundleError(
            f"{where}: field 'output_stride' is {card.output_stride}, which makes {expected[0]}x{expected[1]} logits "
            f'of {height}x{width} pixels; {graph.name} puts out {"x".join(map(str, cells))}'
        )


def read_header(weights: Path) -> Tuple[int, Dict[str, Any]]:
    """Where the data of a safetensors file begins, and its header: dtype, shape and data_offsets of each tensor."""
    with weights.open('rb') as file:
        (length,) = struct.unpack('<Q', file.read(8))
        header: Dict[str, Any] = json.loads(file.read(length))
    header.pop('__metadata__', None)
    return 8 + length, header


def _compare(wanted: Dict[str, _External], graph: Path, weights: Path) -> None:
    start, header = read_header(weights)
    for name in sorted(wanted.keys() | header.keys()):
        if name not in header:
            raise BundleError(f'{weights}: tensor {name!r}, which {graph.name} needs, is missing')
        if name not in wanted:
            raise BundleError(f'{weights}: tensor {name!r} does not belong to {graph.name}')
        found, expected = tuple(header[name]['shape']), wanted[name].shape
        if found != expected:
            raise BundleError(f'{weights}: tensor {name!r} is {found}, {graph.name} expects {expected}')
    for name, tensor in wanted.items():
        found_at = start + header[name]['data_offsets'][0]
        if found_at != tensor.offset:
            raise BundleError(
                f'{weights}: tensor {name!r} lies at byte {found_at}, {graph.name} expects it at {tensor.offset}'
            )


def _external_tensors(model: Dict[int, List[Any]]) -> Iterator[Tuple[str, _External]]:
    for entry in model.get(_GRAPH_INITIALIZER, []):
        tensor = _fields(entry)
        facts = dict(_key_and_value(pair) for pair in tensor.get(_TENSOR_EXTERNAL_DATA, []))
        if facts.get('location') == WEIGHTS:
            name = _one(tensor, _TENSOR_NAME).decode().replace('network.', '', 1)
            name = name[: -len('.f16')] if name.endswith('.f16') else name
            yield name, _External(tuple(_integers(tensor.get(_TENSOR_DIMS, []))), int(facts['offset']))


def _shape(model: Dict[int, List[Any]], value: int) -> List[int]:
    """Sides of the graph's input or output; an exporter that cannot follow a resize does not tell all of them."""
    shape = _one(model, value)
    for number in (_VALUE_TYPE, _TYPE_TENSOR, _TENSOR_SHAPE):
        shape = _one(_fields(shape), number)
    return [int(_fields(side).get(_DIM_VALUE, [_NOT_TOLD])[0]) for side in _fields(shape)[_SHAPE_DIM]]


def _key_and_value(pair: bytes) -> Tuple[str, str]:
    fields = _fields(pair)
    return _one(fields, 1).decode(), _one(fields, 2).decode()


def _one(fields: Dict[int, List[Any]], number: int) -> Any:
    return fields[number][0]


def _integers(values: List[Union[int, bytes]]) -> Iterator[int]:
    """Values of a repeated integer field, which may be packed."""
    for value in values:
        if isinstance(value, int):
            yield value
            continue
        at = 0
        while at < len(value):
            number, at = _varint(value, at)
            yield number


def _fields(message: bytes) -> Dict[int, List[Any]]:
    """The fields of a protobuf message by number: integers, and bytes for all that has a length."""
    found: Dict[int, List[Any]] = {}
    at = 0
    while at < len(message):
        key, at = _varint(message, at)
        number, kind = key >> 3, key & 7
        value: Union[int, bytes]
        if kind == _VARINT:
            value, at = _varint(message, at)
        else:
            length, at = _varint(message, at) if kind == _BYTES else ({_FIXED64: 8, _FIXED32: 4}[kind], at)
            value, at = message[at : at + length], at + length
            if at > len(message):
                raise ValueError('cut short')
        found.setdefault(number, []).append(value)
    return found


def _varint(data: bytes, at: int) -> Tuple[int, int]:
    """A base-128 number and the position behind it."""
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 0x7F) << shift
        at, shift = at + 1, shift + 7
        if byte < 0x80:
            return value, at
