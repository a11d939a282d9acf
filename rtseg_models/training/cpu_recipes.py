# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What can be trained on two CPU cores in some hours: small crops, few epochs, Adam.

A stage hands its weights to the next. docs/training.md tells what they reached, and which of them is in which bundle.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Dict, List

from .recipe import Recipe, Stage

SMALL = {'crop': (192, 256), 'scale': (0.55, 1.5), 'batch': 8}
WIDE = {'crop': (320, 512), 'scale': (0.65, 1.6), 'batch': 8}
QUARTER, HALF = (180, 240), (240, 320)  # FarSee-Net's whole images, against labels of 360x480
ADAM = {**WIDE, 'optimiser': 'adam', 'lr': 1e-3, 'warmup_steps': 50}
STREETS = {'street_frames': 600, 'street_share': 0.25}
NO_STREETS = {'street_frames': 0, 'street_share': 0.0}
WHOLE = {'input_size': HALF, 'crop': HALF, 'label_scale': 1.5}
GENTLY = {**WHOLE, 'scale': (0.8, 1.5), 'lr': 3e-4, 'warmup_steps': 20, 'ema': 0.99, 'batch': 8}
LARGER = {'crop': (288, 352), 'scale': (0.7, 1.5), 'ema': 0.995}
AGAIN = {**LARGER, 'warmup_steps': 50, 'lr': 8e-4, 'batch': 4, 'loss': 'lovasz'}
SLOWLY = {'lr': 1e-3, 'warmup_steps': 100, 'ema': 0.998}
DROPOUT = {'network_args': {'residual_gain': 0.0}, 'lr': 2e-3, 'epochs': 26}
NO_DROPOUT = {'network_args': {'residual_gain': 0.0, 'dropout': (0.0, 0.0)}}
ENTROPY = {'loss': 'cross_entropy'}  # of the stages before one with the surrogate of the IoU
SGD = {'optimiser': 'sgd', 'lr': 0.045, 'warmup_steps': 100, 'epochs': 38}
QUARTERS = {'input_size': QUARTER, 'crop': QUARTER, 'label_scale': 2.0, 'scale': (0.75, 1.75), 'batch': 8}
CROPS = {**SMALL, 'input_size': (360, 480), 'label_scale': 1.0, 'scale': (0.4, 1.5), 'lr': 5e-4, 'warmup_steps': 50}
SMALL_ALONE = {**ENTROPY, **SMALL, 'batch': 4, 'lr': 1e-3, 'warmup_steps': 50, 'ema': 0.998, 'epochs': 80}


def cpu_recipes(tuned: Dict[str, Recipe]) -> List[Recipe]:
    """``<network>-camvid-cpu`` of the tuned recipes by name."""

    def short(name: str, *before: Stage, **changes: Any) -> Recipe:
        source = f'{tuned[name].source}; few epochs for two CPU cores'
        return replace(tuned[name], name=f'{name}-cpu', source=source, before=before, **changes)

    return [
        short(
            'fast_scnn-camvid',
            Stage('camvid', {**ENTROPY, **NO_STREETS, 'epochs': 80, 'lr': 1e-3}, 'weights'),
            Stage('streets', {**ENTROPY, 'epochs': 30}, 'weights'),
            Stage('surrogate', {**NO_STREETS, 'epochs': 8, 'lr': 3e-4}, 'weights'),
            **{**ADAM, 'lr': 5e-4},
            loss='lovasz',
            epochs=16,
        ),
        short('fast_scnn-camvid-only', **ADAM, epochs=80),
        short(
            'contextnet-camvid',
            Stage('sgd', {**ENTROPY, **NO_STREETS, **SGD}, 'weights'),
            Stage('adam', {**ENTROPY, **NO_STREETS, 'epochs': 40, 'lr': 1e-3}, 'weights'),
            Stage('surrogate', {**NO_STREETS, 'epochs': 14}, 'weights'),
            **{**ADAM, 'lr': 5e-4},
            **STREETS,
            loss='lovasz',
            epochs=12,
        ),
        short(
            'farsee_net-camvid',
            Stage('quarter', {**ENTROPY, **QUARTERS, **SLOWLY, 'epochs': 38}, 'weights'),
            Stage('crops', {**ENTROPY, **CROPS, 'ema': 0.998, 'epochs': 28}, 'weights'),
            Stage('gently', {**ENTROPY, **GENTLY, 'epochs': 6}, 'weights'),
            **{**WHOLE, **AGAIN, 'crop': HALF, 'scale': (0.8, 1.6), 'lr': 6e-4},
            epochs=24,
        ),
        short(
            'erfnet-camvid',
            Stage('dropout', {**SMALL_ALONE, **DROPOUT}, 'weights'),
            Stage('small', SMALL_ALONE, 'weights'),
            Stage('larger', {**ENTROPY, **LARGER, 'lr': 4e-4, 'warmup_steps': 20, 'epochs': 12}, 'weights'),
            Stage('surrogate', {'epochs': 12}, 'weights'),
            Stage('again', {'epochs': 20}, 'weights'),
            **NO_DROPOUT,
            **AGAIN,
            epochs=30,
        ),
        short(
            'dabnet-camvid',
            Stage('small', {**SMALL, **SLOWLY, **ENTROPY, **NO_STREETS, 'epochs': 48}, 'weights'),
            Stage('larger', {**NO_STREETS, 'batch': 8, 'epochs': 18}, 'weights'),
            Stage('again', {**NO_STREETS, 'epochs': 24}, 'weights'),
            Stage('longer', {**NO_STREETS, 'epochs': 30}, 'weights'),
            **AGAIN,
            **STREETS,
            epochs=12,
        ),
    ]
