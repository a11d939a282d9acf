# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg models``: what can be built, beside what the papers say of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, Optional

import click
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from ..catalogue import describe_networks
from .output import console, json_option, write_json


@click.command('models')
@json_option
def command(json_path: Optional[Path]) -> None:
    """List every network and variant: counted from the built network, published figures beside it."""
    networks = describe_networks()
    if json_path is not None:
        write_json(json_path, networks)
        return
    table = Table('network', 'year', title='Networks at 19 classes, as deployed')
    for heading in ('params', 'multiply-adds', 'at input'):
        table.add_column(heading, justify='right')
    for network in networks:
        size = 'x'.join(map(str, network['size']))
        table.add_row(
            network['name'], str(network['year']), f'{network["params"]:,}', f'{network["macs"] / 1e9:.2f} G', size
        )
    console.print(table)
    for network in networks:
        if network['published']:
            title = Text.assemble('\n', (network['name'], 'bold'), f'  {network["paper"]} ({network["year"]})')
            console.print(title)
        for figure in network['published']:
            console.print(Padding(_sentence(figure), (0, 0, 0, 2)))


def _sentence(figure: Dict[str, Any]) -> str:
    """One published figure with what it was measured on."""
    parts = []
    if figure['miou'] is not None:
        parts.append(f'{figure["miou"]:.1f} mIoU on {figure["dataset"]} {figure["split"]}')
    if figure['fps'] is not None:
        parts.append(f'{figure["fps"]:g} fps on {figure["device"]}')
    height, width = figure['size']
    return f'{", ".join(parts)} at {height}x{width}: {figure["protocol"]} ({figure["source"]})'
