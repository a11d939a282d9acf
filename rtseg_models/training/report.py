# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run leaves beside its bundle: effective configuration, curves, table per class."""

from __future__ import annotations

import csv
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any, Dict, List, Mapping, Optional, Sequence

import numpy as np
import torch

from ..files import replace_text
from ..labels import ClassSet
from .launch import world
from .provenance import hardware
from .recipe import Recipe

CONFIGURATION = 'configuration.json'


def write_configuration(
    recipe: Recipe, classes: ClassSet, counts: np.ndarray, samples: int, begins_with: Optional[str], out: Path
) -> Path:
    """``out/configuration.json``: the recipe as it runs, where its first weights come from, each class's share of
    pixels, device and versions.
    """
    facts = {
        'recipe': asdict(recipe),
        'begins_with': begins_with,
        'class_set': classes.name,
        'class_shares': {n: round(float(c), 6) for n, c in zip(classes.names, counts / counts.sum())},
        'samples': samples,
        'hardware': hardware(recipe),
        'processes': world()['size'],
        'threads': torch.get_num_threads(),
        'torch': torch.__version__,
    }
    out.mkdir(parents=True, exist_ok=True)
    path = out / CONFIGURATION
    replace_text(path, json.dumps(facts, indent=2) + '\n')  # another process may be reading it
    return path


def recorded_origin(out: Path) -> Optional[str]:
    """What the run in ``out`` began with, as its configuration tells; None where that is nothing, or is not told."""
    found = _recorded(out).get('begins_with')
    return found if isinstance(found, str) else None


def recorded_stages(out: Path) -> List[str]:
    """Stages before the last of the run in ``out``, as its configuration tells; none where it does not."""
    try:
        return [str(stage['name']) for stage in _recorded(out)['recipe']['before']]
    except (LookupError, TypeError):
        return []


def _recorded(out: Path) -> Dict[str, Any]:
    try:
        found = json.loads((out / CONFIGURATION).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def write_curves(histories: Mapping[str, Sequence[Mapping[str, float]]], title: str, out: Path) -> Path:
    """``out/curves.png``: loss, rate and the figure on val over all stages' epochs, a line where a stage ends."""
    from matplotlib.figure import Figure  # the only place of training that draws

    figure = Figure(figsize=(8, 7), layout='constrained')
    loss, rate, figure_on_val = figure.subplots(3, 1, sharex=True)
    start = 0
    for name, history in histories.items():
        epochs = [start + h['epoch'] for h in history]
        loss.plot(epochs, [h['loss'] for h in history], label=name or 'final')
        rate.plot(epochs, [h['lr'] for h in history])
        for key, style in (('val_miou', '.'), ('val_top1', 'x')):
            measured = [(e, h[key]) for e, h in zip(epochs, history) if key in h]
            if measured:
                figure_on_val.plot(*zip(*measured), marker=style)
        start += len(history)
        for axis in (loss, rate, figure_on_val):
            axis.axvline(start, color='0.8', linewidth=0.8)
    scores = 'mIoU (x: top-1) on val' if any('val_top1' in h for s in histories.values() for h in s) else 'mIoU on val'
    for axis, label in ((loss, 'training loss'), (rate, 'learning rate'), (figure_on_val, scores)):
        axis.set_ylabel(label)
        axis.grid(alpha=0.3)
    loss.set_yscale('log')
    if len(histories) > 1:
        loss.legend()
    figure_on_val.set_xlabel('epoch')
    figure.suptitle(title)
    path = out / 'curves.png'
    figure.savefig(path, dpi=110)
    return path


def write_class_table(iou: Mapping[str, Mapping[str, Optional[float]]], miou: Mapping[str, float], out: Path) -> Path:
    """``out/classes.csv``: IoU per class, a column for each split measured, the mean in the last row."""
    splits = list(iou)
    rows: Dict[str, Any] = {name: [iou[s][name] for s in splits] for name in iou[splits[0]]}
    path = out / 'classes.csv'
    with path.open('w', encoding='utf-8', newline='') as file:
        writer = csv.writer(file)
        writer.writerow(['class', *splits])
        for name, values in rows.items():
            writer.writerow([name, *('' if v is None else v for v in values)])
        writer.writerow(['mean', *(miou[s] for s in splits)])
    return path
