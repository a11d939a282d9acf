# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg import``: a bundle from a checkpoint that somebody else published."""

from __future__ import annotations

from pathlib import Path
from typing import Tuple

import click

from ..card import Size
from ..export.importers import IMPORTERS, import_bundle
from .model_options import SIZE
from .output import console


@click.command('import')
@click.argument('kind', type=click.Choice(sorted(IMPORTERS)))
@click.argument('file', type=click.Path(path_type=Path))
@click.option('--out', required=True, type=click.Path(path_type=Path), help='A new bundle folder.')
@click.option('--size', 'sizes', multiple=True, type=SIZE, help="Input size beside the source's; repeatable.")
def command(kind: str, file: Path, out: Path, sizes: Tuple[Size, ...]) -> None:
    """Write FILE, a checkpoint of the public repository KIND, as a bundle with the source's classes and licence."""
    bundle = import_bundle(kind, file, out, sizes=sizes)
    card = bundle.card
    console.print(f'{out}: {card.network}, {card.classes} classes of {card.dataset}, licence {card.licence}')
