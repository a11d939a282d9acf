# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pieces that the HTML pages are laid out with."""

from __future__ import annotations

from html import escape
from typing import Any, Iterable, Optional, Sequence, Tuple

from .charts import rgb_hex
from .style import CSS

UNLABELLED_COLOUR = '#3b3f46'


def document(title: str, body: Iterable[str]) -> str:
    """A whole HTML document."""
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f'<title>{escape(title)}</title><style>{CSS}</style></head>\n<body><main>\n'
        + '\n'.join(body)
        + '\n</main></body></html>\n'
    )


def section(title: str, sub: str, body: str, kind: str = '') -> str:
    """A card with a heading and a sentence on how to read it."""
    said = f'<p class="sub">{sub}</p>' if sub else ''
    return f'<section class="{kind}"><h2>{escape(title)}</h2>{said}{body}</section>'


def tile(name: str, value: str, unit: str = '', more: str = '', *, alert: bool = False) -> str:
    """A key figure."""
    small = f'<small>{unit}</small>' if unit else ''
    return (
        f'<div class="tile{" alert" if alert else ""}"><div class="name">{escape(name)}</div>'
        f'<div class="value">{value}{small}</div><div class="more">{more or "&nbsp;"}</div></div>'
    )


def percent(value: Optional[float], digits: int = 1) -> str:
    """A share for people; a dash where there is none."""
    return '–' if value is None or value != value else f'{100 * value:.{digits}f}'


def legend(names: Sequence[str], colours: Sequence[Any]) -> str:
    """Classes and their colours."""
    chips = [
        f'<span><i class="swatch" style="background:{rgb_hex(c)}"></i>{escape(n)}</span>'
        for n, c in zip(names, colours)
    ]
    chips.append(f'<span><i class="swatch" style="background:{UNLABELLED_COLOUR}"></i>unlabelled</span>')
    return f'<section><div class="legend">{"".join(chips)}</div></section>'


def table(heads: str, rows: Iterable[str]) -> str:
    """A table that scrolls sideways where the page is narrow."""
    return f'<div class="scroll"><table class="wide"><tr>{heads}</tr>{"".join(rows)}</table></div>'


def picture_row(title: str, detail: str, images: Sequence[Tuple[str, str]]) -> str:
    """A caption over pictures (name, data URI) side by side."""
    shown = ''.join(
        f'<figure><img src="{src}" alt="{name}" loading="lazy"><figcaption>{name}</figcaption></figure>'
        for name, src in images
    )
    caption = f'<b>{escape(title)}</b>' + (f' · {escape(detail)}' if detail else '')
    return f'<div class="frame"><p>{caption}</p><div class="shots">{shown}</div></div>'
