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
from .output import console, json_option, write_json


@click.command('recipes')
@json_option
def command(json_path: Optional[Path]) -> None:
    """List the training recipes."""
    if json_path is not None:
        write_json(json_path, [asdict(r) for r in RECIPES.values()])
        return
    table = Table('recipe', 'network', 'dataset', 'epochs', 'batch', 'rate', 'crop', 'rendered', title='Recipes')
    for r in RECIPES.values():
        crop = f'{r.crop[0]}x{r.crop[1]}'
        table.add_row(
            r.name, r.network, r.dataset, str(r.epochs), str(r.batch), str(r.lr), crop, f'{100 * r.street_share:.0f} %'
        )
    console.print(table)
