# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures in a card: measured on these weights, or taken over from a run of the same recipe on other splits.

``miou`` and ``origin['iou']`` name a figure by its split at the card's input size (``val``, ``held_out_drive``) and by
split and size at another size of the bundle (``val@180x240``), always against labels of full size. A figure that was
taken over stands in ``origin['figures']`` too, with the weights that it was measured on and how those were trained.
"""

from __future__ import annotations

import logging
import math
from dataclasses import replace
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np
import torch

from ..bundle import Bundle, load_bundle
from ..card import UNKNOWN_SPLIT, Card
from ..datasets import DATASETS, Dataset
from ..engine import Pipeline
from ..engine.backends import Options
from ..engine.backends.torch_backend import TorchBackend
from ..engine.backends.torch_cuda import Lean
from ..engine.backends.torch_graph import deployed_network
from ..engine.pipeline import NonFiniteLogits
from ..errors import ConfigurationError, Unavailable
from ..evaluation import evaluate
from ..files import replace_text
from .bundle_writer import ON_CPU

_log = logging.getLogger('rtseg')

FREE = ('name', 'source', 'splits', 'hold_out', 'seed', 'validate_every')
"""Fields of a recipe in which a selection run and the run that is shipped may differ unmentioned."""

SPLITS = ('val', 'test', 'held_out_drive')
WEAK = 0.3
"""Classes of a smaller IoU are named among the card's limits."""

IMAGES = 100


def measure(bundle: Bundle, data: Dataset, split: str, progress: Optional[Callable[[int, int], None]] = None) -> Bundle:
    """Measure IoU at every size of the bundle, and on ``val`` the agreement of bf16 and fp16 with fp32; write the card.

    A split that the weights learnt from gets no IoU, which would flatter.
    """
    card = bundle.card
    for size in bundle.sizes() if split not in card.origin.get('trained_on', []) else []:
        with Pipeline(bundle, input_size=size, options=Options(precision='fp32')) as pipeline:
            figures = evaluate(pipeline, data, progress)
        if math.isnan(figures.confusion.miou()):
            raise ConfigurationError(f'{split}: no pixel is labelled, so there is nothing to measure')
        iou = {k: None if v is None else round(v, 4) for k, v in figures.to_json()['iou'].items()}
        card = _with_figure(card, card.figure_name(split, size), round(figures.confusion.miou(), 4), iou)
    if split == 'val':
        for precision, open_reduced in (('bf16', _in_bf16), ('fp16', _in_fp16)):
            shared = _agreement(bundle, data, open_reduced)
            card = replace(card, agreement={**card.agreement, precision: round(shared, 5)})
    return rewrite_card(bundle, with_words(card))


def with_figures(bundle: Bundle, sources: Sequence[Bundle]) -> Bundle:
    """Write into the card the figures that ``sources`` measured on their own weights and the bundle lacks.

    So weights trained on all splits tell what their recipe reached on data that it had not seen. Of two sources that
    have a figure, the first gives it. ConfigurationError where a source is another network, knows other classes or
    learnt from another dataset.
    """
    card = bundle.card
    for source in sources:
        _check_kinship(bundle, source)
        theirs = source.card.origin
        for name, value in source.card.miou.items():
            if name in card.miou or name in theirs.get('figures', {}):
                continue
            card = _with_figure(card, name, value, theirs.get('iou', {}).get(name))
            told = {**card.origin.get('figures', {}), name: _provenance(card, source.card)}
            card = replace(card, origin={**card.origin, 'figures': told})
    return rewrite_card(bundle, with_words(card))


def with_words(card: Card) -> Card:
    """The card with ``origin['protocol']``, what each figure is of, and ``origin['limits']``, in words."""
    figures = card.origin.get('figures', {})
    protocol = [f'weights: {", ".join(card.origin.get("trained_on", [])) or "unknown"}']
    for split in (s for s in SPLITS if s in card.miou):
        if split in figures:
            run = figures[split]
            without = f' without {run["hold_out"]}' if run['hold_out'] else ''
            other = ', '.join(f'{k} {v}' for k, v in run['other_settings'].items())
            protocol.append(
                f'{split}: another run of the recipe, on {", ".join(run["trained_on"])}{without}'
                + (f' ({other})' if other else '')
            )
        else:
            doubt = (
                ', which may have learnt from it before' if UNKNOWN_SPLIT in card.origin.get('trained_on', []) else ''
            )
            protocol.append(f'{split}: these weights{doubt}')
    limits = [f'trained on {domain}' for domain in [getattr(DATASETS.get(card.dataset), 'domain', '')] if domain]
    for split in (s for s in SPLITS if s in card.origin.get('iou', {})):
        weak = [f'{k} {v:.2f}' for k, v in card.origin['iou'][split].items() if v is not None and v < WEAK]
        limits += [f'IoU below {WEAK} on {split}: {", ".join(weak)}'] if weak else []
    return replace(card, origin={**card.origin, 'protocol': '; '.join(protocol), 'limits': limits})


def rewrite_card(bundle: Bundle, card: Card) -> Bundle:
    """Replace a bundle's card in one step."""
    replace_text(bundle.path / 'card.json', card.to_json())
    return load_bundle(str(bundle.path))


def _with_figure(card: Card, name: str, miou: float, iou: Optional[Dict[str, Optional[float]]]) -> Card:
    origin = card.origin if iou is None else {**card.origin, 'iou': {**card.origin.get('iou', {}), name: iou}}
    return replace(card, miou={**card.miou, name: miou}, origin=origin)


def _check_kinship(bundle: Bundle, source: Bundle) -> None:
    for field in ('network', 'network_args', 'class_names', 'input_size', 'dataset'):
        ours, theirs = getattr(bundle.card, field), getattr(source.card, field)
        if ours != theirs:
            raise ConfigurationError(
                f'{source.path}: its figures say nothing about {bundle.name}: {field} is {theirs!r}, not {ours!r}'
            )


def _provenance(card: Card, source: Card) -> Dict[str, Any]:
    """How the weights of ``source`` were trained, and where their recipe differs from this card's."""
    ours, theirs = card.origin.get('recipe', {}), source.origin.get('recipe', {})
    facts = ('trained_on', 'epochs', 'started_from', 'seed', 'minutes', 'hardware', 'git_commit')
    return {
        'weights_sha256': source.weights_sha256,
        'hold_out': theirs.get('hold_out', ''),
        **{k: source.origin[k] for k in facts if k in source.origin},
        'other_settings': {k: v for k, v in theirs.items() if k not in FREE and v != ours.get(k)},
    }


def _agreement(bundle: Bundle, data: Dataset, open_reduced: Callable[[Bundle], Pipeline]) -> float:
    """Share of pixels whose label in reduced precision equals fp32's, over a hundred images or more, or all."""
    shares = []
    with open_reduced(bundle) as reduced, Pipeline(bundle, options=ON_CPU) as exact:
        for i in range(0, len(data), max(1, len(data) // IMAGES)):
            rgb = data[i].rgb
            try:
                shares.append(np.mean(exact(rgb).labels == reduced(rgb).labels))
            except NonFiniteLogits:  # its range is too small for this network
                shares.append(0.0)
    return float(np.mean(shares))


def _in_bf16(bundle: Bundle) -> Pipeline:
    """By OpenVINO; without it, or on a CPU without bf16, PyTorch emulates it, for the robots that have it."""
    try:
        return Pipeline(bundle, backend='openvino', options=Options(device='cpu', precision='bf16'))
    except Unavailable as error:
        _log.info('the agreement of bf16 is measured in PyTorch: %s', error)
    return Pipeline(bundle, backend=TorchBackend(Lean(deployed_network(bundle), torch.bfloat16), 'bf16'))


def _in_fp16(bundle: Bundle) -> Pipeline:
    """On a GPU; without one, the network that it would run, on the CPU."""
    if torch.cuda.is_available():
        return Pipeline(bundle, backend='torch', options=Options(device='cuda', precision='fp16'))
    return Pipeline(bundle, backend=TorchBackend(Lean(deployed_network(bundle), torch.float16), 'fp16'))
