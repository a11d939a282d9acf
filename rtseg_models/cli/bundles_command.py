# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg bundles``: what is shipped."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Dict, List, Optional

import click
from rich.table import Table

from ..bundle import load_bundle, shipped_bundles
from .output import json_option, print_wide, write_json

TABLE_WIDTH = 105


@click.command('bundles')
@json_option
def command(json_path: Optional[Path]) -> None:
    """List the shipped bundles with their measured mIoU."""
    rows: List[Dict[str, Any]] = []
    for name in shipped_bundles():
        bundle = load_bundle(name)
        rows.append(
            {
                'name': name,
                'network': bundle.card.network,
                'classes': bundle.card.classes,
                'dataset': bundle.card.dataset,
                'miou': bundle.card.miou,
                'input_size': list(bundle.card.input_size),
                'graphs': [list(s) for s in bundle.sizes()],
                'bytes': bundle.size_bytes(),
            }
        )
    if json_path is not None:
        write_json(json_path, rows)
        return
    table = Table(title='Bundles')
    for heading in ('name', 'network', 'classes', 'dataset', 'input', 'graphs', 'mIoU', 'size'):
        table.add_column(heading, justify='right' if heading in ('classes', 'size') else 'left')
    for row in rows:
        table.add_row(
            row['name'],
            row['network'],
            str(row['classes']),
            row['dataset'],
            'x'.join(map(str, row['input_size'])),
            '\n'.join('x'.join(map(str, s)) for s in row['graphs']),
            '\n'.join(f'{k} {v:.3f}' for k, v in row['miou'].items()),
            f'{row["bytes"] / 1e6:.1f} MB',
        )
    print_wide(table, TABLE_WIDTH)
