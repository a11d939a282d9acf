# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg recipes``: what can be trained."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Optional

import click
from rich.table import Table

from ..training.recipes import RECIPES
from .output import json_option, print_wide, write_json

TABLE_WIDTH = 170


@click.command('recipes')
@json_option
def command(json_path: Optional[Path]) -> None:
    """List the training recipes."""
    if json_path is not None:
        write_json(json_path, [asdict(r) for r in RECIPES.values()])
        return
    table = Table(
        'recipe', 'stages', 'epochs', 'batch', 'optimiser', 'rate', 'schedule', 'crop', 'source', title='Recipes'
    )
    for r in RECIPES.values():
        stages = [stage for _, stage in r.stages()]
        table.add_row(
            r.name,
            ' + '.join(name or '(last)' for name, _ in r.stages()),
            ' + '.join(str(s.epochs) for s in stages),
            str(r.batch),
            r.optimiser,
            f'{r.lr:g}',
            r.schedule,
            f'{r.crop[0]}x{r.crop[1]}',
            r.source,
        )
    table.columns[0].no_wrap = True
    print_wide(table, TABLE_WIDTH)
