# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The figures in a card: measured on these weights, or taken over from a run of the same recipe on other splits.

``miou`` and ``origin['iou']`` name a figure by its split at the card's input size (``val``, ``held_out_drive``) and by
split and size at another size of the bundle (``val@180x240``), always against labels of full size. A figure that was
taken over stands in ``origin['figures']`` too, with the weights that it was measured on and how those were trained.
"""

from __future__ import annotations

import logging
import os
from dataclasses import replace
from typing import Any, Callable, Dict, Optional, Sequence

import numpy as np

from ..bundle import Bundle, load_bundle
from ..card import Card, Size
from ..datasets.sample import Dataset
from ..engine import Pipeline
from ..engine.backends import Options, installed
from ..errors import ConfigurationError, Unavailable
from ..evaluation import evaluate

_log = logging.getLogger('rtseg')

FREE = ('name', 'source', 'splits', 'hold_out', 'seed', 'validate_every')
"""Fields of a recipe in which a selection run and the run that is shipped may differ unmentioned."""


def figure_name(split: str, size: Size, card: Card) -> str:
    """What a figure of ``split`` at input ``size`` is called."""
    return split if size == card.input_size else f'{split}@{size[0]}x{size[1]}'


def measure(bundle: Bundle, data: Dataset, split: str, progress: Optional[Callable[[int, int], None]] = None) -> Bundle:
    """Measure IoU at every size of the bundle, and on ``val`` the agreement of bf16 with fp32, and write the card.

    A split that the weights learnt from gets no IoU, which would flatter.
    """
    card = bundle.card
    for size in bundle.sizes() if split not in card.origin.get('trained_on', []) else []:
        pipeline = Pipeline(bundle, input_size=size, options=Options(precision='fp32'))
        figures = evaluate(pipeline, data, progress)
        pipeline.close()
        iou = {k: None if v is None else round(v, 4) for k, v in figures.to_json()['iou'].items()}
        card = _with_figure(card, figure_name(split, size, card), round(figures.confusion.miou(), 4), iou)
    if split == 'val' and installed('openvino'):
        try:
            shared = _agreement(bundle, data, 'bf16')
        except Unavailable as error:  # a CPU without bf16
            _log.warning('the agreement of bf16 is not measured: %s', error)
        else:
            card = replace(card, agreement={**card.agreement, 'bf16': round(shared, 5)})
    return rewrite_card(bundle, card)


def with_figures(bundle: Bundle, sources: Sequence[Bundle]) -> Bundle:
    """Write into the card the figures that ``sources`` measured on their own weights and the bundle lacks.

    So weights trained on all splits tell what their recipe reached on data that it had not seen. Of two sources that
    have a figure, the first gives it. ConfigurationError where a source is another network or knows other classes.
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
    return rewrite_card(bundle, card)


def rewrite_card(bundle: Bundle, card: Card) -> Bundle:
    """Replace a bundle's card in one step."""
    part = bundle.path / 'card.json.part'
    part.write_text(card.to_json(), encoding='utf-8')
    os.replace(part, bundle.path / 'card.json')
    return load_bundle(str(bundle.path))


def _with_figure(card: Card, name: str, miou: float, iou: Optional[Dict[str, Optional[float]]]) -> Card:
    origin = card.origin if iou is None else {**card.origin, 'iou': {**card.origin.get('iou', {}), name: iou}}
    return replace(card, miou={**card.miou, name: miou}, origin=origin)


def _check_kinship(bundle: Bundle, source: Bundle) -> None:
    for field in ('network', 'network_args', 'class_names', 'input_size'):
        ours, theirs = getattr(bundle.card, field), getattr(source.card, field)
        if ours != theirs:
            raise ConfigurationError(
                f'{source.path}: its figures say nothing about {bundle.path}: {field} is {theirs!r}, not {ours!r}'
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


def _agreement(bundle: Bundle, data: Dataset, precision: str) -> float:
    """Share of pixels whose label in OpenVINO at ``precision`` equals fp32's, over the whole dataset."""
    reduced = Pipeline(bundle, backend='openvino', options=Options(precision=precision))
    exact = Pipeline(bundle, backend='openvino', options=Options(precision='fp32'))
    shares = [np.mean(exact(data[i].rgb).labels == reduced(data[i].rgb).labels) for i in range(len(data))]
    exact.close()
    reduced.close()
    return float(np.mean(shares))
