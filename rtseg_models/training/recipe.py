# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A recipe: all that decides a training run, as plain data."""

from __future__ import annotations

import dataclasses
import json
from dataclasses import dataclass, field
from typing import Any, Dict, List, Sequence, Tuple

from ..errors import UsageError
from .bounds import check_fields


@dataclass(frozen=True)
class Stage:
    """A training that precedes the recipe's own: fields of the recipe that differ, and what the next stage takes over.

    ``handover`` 'encoder': the next network's ``load_encoder``; 'prune': ContextNet's filters at the next width;
    'weights': all of them, such as those of a training on smaller crops. A stage whose network is one of
    ``networks.CLASSIFIERS`` learns from classified images.
    """

    name: str
    changes: Dict[str, Any]
    handover: str


@dataclass(frozen=True)
class Recipe:
    """One training run. Sizes are (height, width); rates are per step of ``batch`` images over all processes."""

    name: str
    network: str
    dataset: str
    source: str = ''  # where the figures stand: paper and section, or that they are chosen here
    network_args: Dict[str, Any] = field(default_factory=dict)
    before: Tuple[Stage, ...] = ()

    splits: Tuple[str, ...] = ('train',)
    hold_out: str = ''  # samples whose name starts so are left out of training and measured at the end
    street_frames: int = 0  # rendered frames mixed in
    street_share: float = 0.0  # share of each batch that is rendered

    input_size: Tuple[int, int] = (360, 480)  # images are stretched to it, as the Pipeline does
    crop: Tuple[int, int] = (360, 480)
    label_scale: float = 1.0  # the loss is taken on labels of this many times the crop's size
    scale: Tuple[float, float] = (1.0, 1.0)  # range of random enlargement, uniform in the logarithm
    scales: Tuple[float, ...] = ()  # instead of a range: one of these
    aspect: float = 0.0  # width scaled by exp(+-aspect) on top
    rotation: float = 0.0  # degrees to either side
    shift: int = 0  # pixels to either side
    flip: float = 0.5  # probability of a mirrored view
    brightness: float = 0.0  # added to all channels, of a range of 1, to either side
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0  # radians to either side
    cast: float = 0.0  # factor per colour channel, to either side of 1
    gamma: float = 0.0  # exponent exp(+-gamma)
    noise: float = 0.0  # standard deviation bound of pixel noise, in grey values
    blur: float = 0.0  # probability of a slight blur

    epochs: int = 1000
    batch: int = 12
    accumulate: int = 1  # forward passes that a step's batch is spread over
    optimiser: str = 'sgd'
    lr: float = 0.045
    momentum: float = 0.9  # SGD and RMSprop; Adam's first beta
    second_momentum: float = 0.999  # Adam's second beta; RMSprop's decay
    epsilon: float = 1e-8  # Adam and RMSprop
    weight_decay: float = 4e-5
    decay_on: str = 'dense'  # dense: not on depthwise convolutions, norms and biases; all: on everything
    # poly: (1 - step / steps) ^ power; step: x factor each patience epochs; plateau: x factor on stagnation
    schedule: str = 'poly'
    power: float = 0.9
    factor: float = 0.5
    patience: int = 50  # epochs
    warmup_steps: int = 0
    loss: str = 'cross_entropy'
    class_weight_c: float = 0.0  # class weights 1 / ln(c + share); 0 = unweighted
    precision: str = 'bf16'
    ema: float = 0.0  # decay per step of the averaged weights that are shipped; 0 ships the last weights

    mean: Tuple[float, float, float] = (0.485, 0.456, 0.406)
    std: Tuple[float, float, float] = (0.229, 0.224, 0.225)
    validate_every: int = 10  # epochs between measurements on val for the curves; 0 = never
    seed: int = 1

    def __post_init__(self) -> None:
        check_fields({f.name: getattr(self, f.name) for f in dataclasses.fields(self)})

    def stages(self) -> List[Tuple[str, Recipe]]:
        """Every training of the recipe in order, the recipe's own last and nameless."""
        return [*((s.name, self._stage(s)) for s in self.before), ('', dataclasses.replace(self, before=()))]

    def _stage(self, stage: Stage) -> Recipe:
        try:
            return dataclasses.replace(self, before=(), **stage.changes)
        except UsageError as error:
            raise UsageError(f'stage {stage.name}: {error}') from error


def with_settings(recipe: Recipe, settings: Sequence[str]) -> Recipe:
    """The recipe with ``key=value`` pairs applied, values as JSON; UsageError lists the fields or names the type.

    A plain key changes the last stage, and those before it that do not set the field themselves; ``stage.key`` an
    earlier stage alone.
    """
    known = {f.name for f in dataclasses.fields(Recipe)} - {'name', 'before', 'source'}
    before = {stage.name: stage for stage in recipe.before}
    last: Dict[str, Any] = {}
    earlier: Dict[str, Dict[str, Any]] = {name: {} for name in before}
    for setting in settings:
        target, equals, text = setting.partition('=')
        name, _, key = target.rpartition('.')
        allowed = known - SHARED if name else known
        if name and name not in before:
            stages = ', '.join(before) or 'none'
            raise UsageError(f'--set {setting!r}: {name!r} is no stage before the last; known: {stages}')
        if key not in allowed or not equals:
            expected = 'STAGE.KEY=VALUE' if name else 'KEY=VALUE'
            raise UsageError(f'--set {setting!r}: expected {expected} with a key among {", ".join(sorted(allowed))}')
        present = before[name].changes.get(key, getattr(recipe, key)) if name else getattr(recipe, key)
        (earlier[name] if name else last)[key] = _parsed(setting, key, text, present)
    parts = tuple(dataclasses.replace(s, changes={**s.changes, **earlier[s.name]}) for s in recipe.before)
    changed = dataclasses.replace(recipe, before=parts, **last)
    changed.stages()  # each is checked
    return changed


SHARED = {'dataset', 'splits', 'hold_out'}
"""What all stages that learn from labelled images learn from."""


OF_ANY_LENGTH = {'splits', 'scales'}


def _parsed(setting: str, key: str, text: str, present: Any) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        value = text  # a word, which needs no quotes
    if isinstance(present, str) and not isinstance(value, str):
        value = text  # a word of digits
    if isinstance(present, float) and type(value) is int:
        value = float(value)
    if isinstance(present, tuple) and isinstance(value, list):
        kind = type(present[0]) if present else float
        fits = len(value) == len(present) or key in OF_ANY_LENGTH
        fits = fits and all(isinstance(v, str) if kind is str else _number(v) for v in value)
        fits = fits and (kind is not int or all(isinstance(v, int) or v.is_integer() for v in value))
        value = tuple(map(kind, value)) if fits else value
    else:
        fits = type(value) is type(present)
    if not fits:
        name = setting.partition('=')[0]
        raise UsageError(f'--set {setting!r}: {name} is a {type(present).__name__}, such as {json.dumps(present)}')
    return value


def _number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)
