# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From a training checkpoint of ours to a bundle with its figures measured."""

from __future__ import annotations

import json
import os
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import Callable, Optional, Sequence

import numpy as np
import torch

from ..bundle import Bundle, load_bundle
from ..card import Card, Size
from ..datasets.sample import Dataset
from ..engine import Pipeline
from ..engine.backends import Options, installed
from ..errors import BundleError
from ..evaluation import evaluate
from ..networks import CLASSIFIERS, build_network, logit_stride
from ..training.checkpoint import read_checkpoint
from .bundle_writer import write_bundle


def bundle_from_checkpoint(path: Path, out: Path, *, sizes: Sequence[Size] = ()) -> Bundle:
    """Write the averaged weights of a checkpoint as a bundle at ``out``, figures not yet measured."""
    state = read_checkpoint(path)
    recipe = json.loads(state['recipe'])
    classes = state['class_set']
    if recipe['network'] in CLASSIFIERS:
        raise BundleError(f'{path}: a checkpoint of {recipe["network"]}, which classifies whole images')
    network = build_network(recipe['network'], len(classes), **recipe['network_args'])
    network.load_state_dict({k: v for k, v in state['ema'].items() if not k.startswith('aux_heads.')})
    card = Card(
        network=recipe['network'],
        network_args=recipe['network_args'],
        class_names=classes.names,
        colours=classes.colours,
        ignore_id=classes.ignore_id,
        input_size=tuple(recipe['input_size']),
        output_stride=logit_stride(network),
        mean=tuple(recipe['mean']),
        std=tuple(recipe['std']),
        weights_sha256='',
        dataset=classes.name,
        licence='Apache-2.0',
        origin={
            'trained_on': list(state['trained_on']),
            'recipe': recipe,
            'epochs': state['epoch'],
            'started_from': state['lineage'],
            'seed': recipe['seed'],
            'minutes': round(state['minutes'], 1),
            'hardware': state['hardware'],
            'torch': torch.__version__,
            'git_commit': _commit(),
        },
    )
    return write_bundle(network.eval(), card, out, sizes=sizes)


def measure(bundle: Bundle, data: Dataset, split: str, progress: Optional[Callable[[int, int], None]] = None) -> Bundle:
    """Measure IoU, and on ``val`` the agreement of bf16 with fp32, and write both into the card."""
    pipeline = Pipeline(bundle, options=Options(precision='fp32'))
    figures = evaluate(pipeline, data, progress)
    pipeline.close()
    card = bundle.card
    iou = {k: None if v is None else round(v, 4) for k, v in figures.to_json()['iou'].items()}
    card = replace(
        card,
        miou={**card.miou, split: round(figures.confusion.miou(), 4)},
        origin={**card.origin, 'iou': {**card.origin.get('iou', {}), split: iou}},
    )
    if split == 'val' and installed('openvino'):
        card = replace(card, agreement={**card.agreement, 'bf16': round(_agreement(bundle, data, 'bf16'), 5)})
    return rewrite_card(bundle, card)


def rewrite_card(bundle: Bundle, card: Card) -> Bundle:
    """Replace a bundle's card in one step."""
    part = bundle.path / 'card.json.part'
    part.write_text(card.to_json(), encoding='utf-8')
    os.replace(part, bundle.path / 'card.json')
    return load_bundle(str(bundle.path))


def _agreement(bundle: Bundle, data: Dataset, precision: str) -> float:
    """Share of pixels whose label in OpenVINO at ``precision`` equals fp32's, over the whole dataset."""
    exact = Pipeline(bundle, backend='openvino', options=Options(precision='fp32'))
    reduced = Pipeline(bundle, backend='openvino', options=Options(precision=precision))
    shares = [np.mean(exact(data[i].rgb).labels == reduced(data[i].rgb).labels) for i in range(len(data))]
    exact.close()
    reduced.close()
    return float(np.mean(shares))


def _commit() -> str:
    """The commit of the source tree this runs from; empty outside a checkout."""
    folder = Path(__file__).parent
    found = subprocess.run(['git', '-C', str(folder), 'rev-parse', 'HEAD'], capture_output=True, text=True, check=False)
    return found.stdout.strip()
