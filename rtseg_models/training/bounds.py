# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the fields of a recipe may be."""

from __future__ import annotations

import math
from typing import Any, Callable, Iterator, Mapping, Tuple

from ..card import LARGEST_SIDE, SMALLEST_SIDE
from ..errors import UsageError

CHOICES = {
    'optimiser': ('sgd', 'rmsprop', 'adam'),
    'schedule': ('poly', 'step', 'plateau'),
    'decay_on': ('dense', 'all'),
    'loss': ('cross_entropy', 'ohem', 'lovasz'),
    'precision': ('fp32', 'bf16', 'fp16'),
}

Rule = Tuple[str, Callable[[Any], bool], str]

RULES: Tuple[Rule, ...] = (
    ('epochs batch accumulate patience', lambda v: v >= 1, '1 or more'),
    ('lr label_scale', lambda v: v > 0, 'a number above 0'),
    ('ema street_share momentum second_momentum', lambda v: 0 <= v < 1, '0 to below 1'),
    ('flip blur', lambda v: 0 <= v <= 1, 'a probability, 0 to 1,'),
    ('seed street_frames warmup_steps validate_every', lambda v: v >= 0, '0 or more'),
    ('shift aspect rotation noise brightness contrast saturation hue cast gamma', lambda v: v >= 0, '0 or more'),
    ('weight_decay epsilon power factor', lambda v: v >= 0, '0 or more'),
    ('class_weight_c', lambda v: v == 0 or v > 1, '0, which is none, or a number above 1'),
    ('scale', lambda v: 0 < v[0] <= v[1], 'a range from low to high, above 0,'),
    ('scales', lambda v: all(s > 0 for s in v), 'a list of numbers above 0'),
    ('std', lambda v: min(v) > 0, 'three numbers above 0'),
    ('splits', bool, 'at least one split'),
    ('crop', lambda v: min(v) >= SMALLEST_SIDE, f'{SMALLEST_SIDE} pixels or more on each side'),
    (
        'input_size',
        lambda v: SMALLEST_SIDE <= min(v) <= max(v) <= LARGEST_SIDE,
        f'{SMALLEST_SIDE} to {LARGEST_SIDE} pixels on each side',
    ),
)
"""Fields, what they have to be, and how that is said before 'is needed'."""


def check_fields(fields: Mapping[str, Any]) -> None:
    """UsageError names the first field of a recipe that cannot be what it is, and what it may be."""
    for name, known in CHOICES.items():
        if fields[name] not in known:
            raise UsageError(f'{name} is {fields[name]!r}; known: {", ".join(known)}')
    for name, value in fields.items():
        if not all(map(math.isfinite, _numbers(value))):
            raise UsageError(f'{name} is {value!r}; finite numbers are needed')
    for names, fits, needed in RULES:
        for name in names.split():
            if not fits(fields[name]):
                raise UsageError(f'{name} is {fields[name]!r}; {needed} is needed')
    frames, share, batch = fields['street_frames'], fields['street_share'], fields['batch']
    if bool(frames) != bool(share):
        raise UsageError(
            f'street_frames is {frames!r} and street_share {share!r}; rendered frames need both, and neither leaves '
            'them out: --set street_frames=0 --set street_share=0'
        )
    if share and not 0 < round(batch * share) < batch:
        raise UsageError(
            f'street_share {share!r} of batch {batch} is {round(batch * share)} images; both rendered and real ones '
            'are needed in a batch'
        )


def _numbers(value: Any) -> Iterator[float]:
    if isinstance(value, float):
        yield value
    elif isinstance(value, (tuple, list, dict)):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _numbers(part)
