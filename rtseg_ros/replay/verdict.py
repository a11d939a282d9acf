# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The answer that the comparison of two runs begins with, in sentences."""

from __future__ import annotations

from html import escape
from typing import Any, Dict, List, Optional

from ..reporting.layout import percent

NAMED = 4
"""How many classes the answer names on each side."""
EQUAL_SPEED = 0.02
"""Runs whose times differ by no more than this share count as equally fast."""


def verdict(facts: Dict[str, Any]) -> str:
    """Whether B is better, as far as the interval tells; then where, at what cost and by which changes, a line each."""
    lines = [
        ('Classes', _classes(facts['iou'])),
        ('Speed', _speed(facts)),
        ('Changes', _changes(facts)),
    ]
    listed = ''.join(f'<li><b>{name}</b>: {said}</li>' for name, said in lines if said)
    return f'<p class="verdict">{_quality(facts["figures"].get("miou"))}</p><ul>{listed}</ul>'


def points(share: float, digits: int = 2) -> str:
    """A difference of two shares in percentage points, with its sign."""
    return f'{100 * share:+.{digits}f}'.replace('-', '−')


def direction(interval: Optional[List[float]]) -> str:
    """``better`` or ``worse`` where a difference's interval leaves out zero, else nothing."""
    if not interval or interval[0] <= 0 <= interval[1]:
        return ''
    return 'better' if interval[0] > 0 else 'worse'


def _quality(miou: Optional[Dict[str, Any]]) -> str:
    if not miou or not miou['interval']:
        return 'There is no ground truth, so this page says what differs, not what is better.'
    low, high = miou['interval']
    if miou['delta'] == low == high == 0:
        return '<b>A and B are equally good</b>: every figure is the same.'
    span = f'{points(miou["delta"])} points of mean IoU (95&nbsp;% interval {points(low)} to {points(high)})'
    found = direction(miou['interval'])
    if found:
        return f'<b class="{found}">B is {found}</b>: {span}.'
    return f'<b>Undecided</b>: {span}, and the interval holds zero. More frames with ground truth would tell.'


def _classes(iou: Dict[str, Dict[str, Any]]) -> str:
    """The classes whose difference is certain, the largest first."""
    if not any(f['interval'] for f in iou.values()):
        return ''
    certain = [(name, f) for name, f in iou.items() if direction(f['interval'])]
    sides: Dict[str, List[str]] = {'worse': [], 'better': []}
    for name, figure in sorted(certain, key=lambda item: -abs(item[1]['delta'])):
        sides[direction(figure['interval'])].append(f'{escape(name)} ({points(figure["delta"], 1)})')
    if not certain:
        return 'none differs by more than chance may explain.'
    said = []
    for kind, named in sides.items():
        more = f' and {len(named) - NAMED} more' if len(named) > NAMED else ''
        said.append(f'{kind} at {", ".join(named[:NAMED]) or "none"}{more}')
    return f'{"; ".join(said)}.'


def _speed(facts: Dict[str, Any]) -> str:
    times = [facts[run]['stage_ms'].get('total', {}).get('p50') for run in 'ab']
    if not all(times):
        return ''
    a, b = times
    if abs(b / a - 1) <= EQUAL_SPEED:
        how = 'B is as fast as A'
    else:
        how = f'B is {a / b:.2f} times as fast' if b < a else f'B is slower, {b / a:.2f} times the time of A'
    said = f'{how}: {b:.1f} ms a frame, A {a:.1f} ms (median).'
    if facts['a']['machine'].get('processor') != facts['b']['machine'].get('processor'):
        said += ' They ran on different machines.'
    return said


def _changes(facts: Dict[str, Any]) -> str:
    if facts['changed'] is None:
        return ''
    said = f'{percent(facts["changed"], 2)} % of all pixels are labelled differently.'
    worth = facts['worth']
    if worth and facts['changed']:
        said += (
            f' Of the pixels with ground truth B fixes {percent(worth["fixed"], 2)} %, breaks '
            f'{percent(worth["broken"], 2)} % and moves {percent(worth["both_wrong"], 2)} % from one wrong class to '
            'another.'
        )
    return said
