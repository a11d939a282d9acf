# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints of four public repositories, under our names, with the facts that they were trained by.

Rules turn a tensor's name in our network into its name in the repository. Every tensor of ours must be found, and every
tensor of theirs used, training heads apart; what is missing or left over is an error that names it. Files are opened
with ``weights_only=True``: nothing but tensors and plain data is read from a pickle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, Sequence, Tuple, Union

from torch import Tensor

from ..bundle import Bundle
from ..card import Card, Size
from ..errors import BundleError, UsageError
from ..labels import CAMVID, CITYSCAPES, ClassSet
from ..networks import build_network
from ..networks.weights_file import read_weights
from .bundle_writer import write_bundle
from .published_names import DABNET, ERFNET, FARSEE, TRAMAC, Rule, published_name

Rgb = Tuple[float, float, float]

IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
GREY_STD = (1 / 255, 1 / 255, 1 / 255)  # for networks that were fed grey values 0..255
COUNTERS = '.num_batches_tracked'  # absent from files older than PyTorch 0.4.1; no use outside training


def _unit(red: float, green: float, blue: float) -> Rgb:
    """A colour in grey values 0..255, in units of 0..1."""
    return red / 255, green / 255, blue / 255


class Source(NamedTuple):
    """A class set that a repository publishes weights for, and how it prepares and evaluates images."""

    classes: ClassSet
    input_size: Size
    mean: Rgb
    std: Rgb


class Importer(NamedTuple):
    """How one repository's checkpoints become a network of ours."""

    network: str
    arguments: Dict[str, Any]
    rules: Sequence[Rule]
    training_only: str  # prefix of tensors that only training uses
    head: Tuple[str, int]  # the last layer's weight in the repository, and its class axis
    sources: Dict[int, Source]  # by the head's number of classes
    repository: str
    licence: str
    align_corners: bool = False
    void_in: str = ''  # prefix of our last layer, where theirs has one more class at the end: void


class Imported(NamedTuple):
    """A checkpoint under our names; ``facts`` are fields of a ``Card``."""

    network: str
    network_args: Dict[str, Any]
    state: Dict[str, Tensor]
    facts: Dict[str, Any]


_FULL, _HALF = (1024, 2048), (512, 1024)

IMPORTERS: Dict[str, Importer] = {
    'tramac-fast-scnn': Importer(
        'fast_scnn',
        {'stem_padding': 0, 'dw_relu': True, 'ffm_dilation': 1, 'ffm_bias': True, 'align_corners': True},
        TRAMAC,
        'auxlayer.',
        ('classifier.conv.1.weight', 0),
        {19: Source(CITYSCAPES, _FULL, IMAGENET_MEAN, IMAGENET_STD)},
        'https://github.com/Tramac/Fast-SCNN-pytorch',
        'Apache-2.0',
        True,
    ),
    'erfnet-pytorch': Importer(
        'erfnet',
        {},
        ERFNET,
        'encoder.output_conv.',
        ('decoder.output_conv.weight', 1),
        {20: Source(CITYSCAPES, _HALF, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))},
        'https://github.com/Eromera/erfnet_pytorch',
        'CC-BY-NC-4.0',
        void_in='decoder.6.',
    ),
    'dabnet': Importer(
        'dabnet',
        {},
        DABNET,
        '',
        ('classifier.0.conv.weight', 0),
        {
            19: Source(CITYSCAPES, _HALF, _unit(73.16, 82.91, 72.39), GREY_STD),
            11: Source(CAMVID, (360, 480), _unit(99.63, 103.33, 105.66), GREY_STD),
        },
        'https://github.com/Reagan1311/DABNet',
        'MIT',
    ),
    'zh320-farseenet': Importer(
        'farsee_net',
        {},
        FARSEE,
        '',
        ('backend_network.sub_pixel_low.0.weight', 0),
        {19 * 16: Source(CITYSCAPES, _FULL, IMAGENET_MEAN, IMAGENET_STD)},  # 16 sub-pixels per class
        'https://github.com/zh320/realtime-semantic-segmentation-pytorch',
        'Apache-2.0',
        True,
    ),
}


def import_checkpoint(kind: str, path: Union[str, Path]) -> Imported:
    """Read a published checkpoint; ``kind`` is a key of ``IMPORTERS``.

    UsageError for an unknown kind, NotFound for a missing file; BundleError, in one sentence, for a file that cannot be
    read or is a checkpoint of another network.
    """
    if kind not in IMPORTERS:
        raise UsageError(f'unknown kind of checkpoint {kind!r}; known: {", ".join(IMPORTERS)}')
    importer = IMPORTERS[kind]
    path = Path(path).absolute()
    given = _read(path)
    source = _source(path, kind, given)
    network = build_network(importer.network, len(source.classes), **importer.arguments)
    state = _place(path, kind, network.state_dict(), given)
    facts = {
        'class_names': source.classes.names,
        'colours': source.classes.colours,
        'ignore_id': source.classes.ignore_id,
        'input_size': source.input_size,
        'mean': source.mean,
        'std': source.std,
        'align_corners': importer.align_corners,
        'dataset': source.classes.name,
        'licence': importer.licence,
        'origin': {'source': importer.repository, 'file': path.name, 'imported_as': kind},
    }
    return Imported(importer.network, dict(importer.arguments), state, facts)


def import_bundle(kind: str, path: Union[str, Path], out: Path, *, sizes: Sequence[Size] = ()) -> Bundle:
    """Write a published checkpoint as a bundle at ``out``, weights in float32 as published."""
    imported = import_checkpoint(kind, path)
    network = build_network(imported.network, len(imported.facts['class_names']), **imported.network_args)
    network.load_state_dict(imported.state)
    card = Card(
        network=imported.network,
        network_args=imported.network_args,
        output_stride=int(network.stride),  # type: ignore[arg-type]
        weights_sha256='',
        **imported.facts,
    )
    return write_bundle(network.eval(), card, out, sizes=sizes, half=False)


def _read(path: Path) -> Dict[str, Tensor]:
    """The tensors of a checkpoint, freed of its wrapping and of the prefix of parallel training."""
    content = read_weights(path)
    for wrapping in ('state_dict', 'model'):
        if isinstance(content, dict) and isinstance(content.get(wrapping), dict):
            content = content[wrapping]
    if not isinstance(content, dict) or not content or not all(isinstance(v, Tensor) for v in content.values()):
        raise BundleError(f'{path}: holds no state dict; a dict of tensors by name was expected')
    prefix = 'module.'
    if all(name.startswith(prefix) for name in content):
        content = {name[len(prefix) :]: tensor for name, tensor in content.items()}
    return dict(content)


def _source(path: Path, kind: str, given: Dict[str, Tensor]) -> Source:
    """The class set that the head's size tells."""
    importer = IMPORTERS[kind]
    head, axis = importer.head
    if head not in given:
        raise BundleError(f'{path}: tensor {head!r} is missing; this is not a checkpoint of {kind}')
    if given[head].ndim <= axis or given[head].shape[axis] not in importer.sources:
        known = ' or '.join(map(str, importer.sources))
        raise BundleError(
            f'{path}: tensor {head!r} is {tuple(given[head].shape)}; {kind} has {known} along axis {axis}'
        )
    return importer.sources[int(given[head].shape[axis])]


def _place(path: Path, kind: str, own: Dict[str, Tensor], given: Dict[str, Tensor]) -> Dict[str, Tensor]:
    """``given`` under the names of ``own``; BundleError lists what is missing, left over or of another shape."""
    importer = IMPORTERS[kind]
    names = {name: published_name(importer.rules, name) for name in own}
    missing = [n for n in names.values() if n not in given and not n.endswith(COUNTERS)]
    training_only = importer.training_only
    left_over = [n for n in given.keys() - set(names.values()) if not (training_only and n.startswith(training_only))]
    if missing or left_over:
        faults = (('missing', missing), ('left over', left_over))
        parts = [f'tensors {fault}: {_listed(which)}' for fault, which in faults if which]
        raise BundleError(f'{path}: not a checkpoint of {kind}: {"; ".join(parts)}')
    state = {}
    for name, tensor in own.items():
        found = given.get(names[name], tensor)
        if importer.void_in and name.startswith(importer.void_in):
            found = _without_void(found)
        if found.shape != tensor.shape:
            raise BundleError(
                f'{path}: tensor {names[name]!r} is {tuple(found.shape)}; {kind} has {tuple(tensor.shape)}'
            )
        state[name] = found.clone()
    return state


def _without_void(tensor: Tensor) -> Tensor:
    """The last layer's weight (16,20,2,2) or bias (20,) without its last class, void."""
    return tensor[:, :-1] if tensor.ndim > 1 else tensor[:-1]


def _listed(names: List[str], most: int = 5) -> str:
    shown = ', '.join(sorted(names)[:most])
    return shown if len(names) <= most else f'{shown} and {len(names) - most} more'
