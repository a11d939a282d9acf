# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The HTML page that compares two runs."""

from __future__ import annotations

from html import escape
from typing import Any, Dict, List, Sequence

import numpy as np

from ..reporting.charts import Plot, binned, curves, number, rgb_hex
from ..reporting.layout import document, legend, percent, section, table, tile
from .changed_frames import changed_frames
from .runs import Run
from .verdict import direction, points, verdict


def comparison_page(a: Run, b: Run, facts: Dict[str, Any]) -> str:
    """The comparison of run A with run B; ``facts`` are those of compare.json."""
    head = (
        '<header><div class="over">Comparison of two runs</div>'
        f'<h1>{escape(a.folder.name)} <span style="color:var(--faint)">→</span> {escape(b.folder.name)}</h1>'
        f'<p class="lead">A: {escape(a.label)}<br>B: {escape(b.label)}<br>'
        f'{facts["frames"]:,} frames of {escape(a.report["title"])} in both</p></header>'
    )
    parts = [
        head,
        f'<section class="plain">{verdict(facts)}</section>',
        tiles(facts),
        by_class(a, facts),
        worth_by_class(a, facts),
        speed(facts),
        moved(facts),
        over_time(facts),
        legend(a.names, [c['colour'] for c in a.report['classes']]),
        changed_frames(a, b, facts),
        remarks(a, b, facts),
    ]
    return document(f'{a.folder.name} and {b.folder.name}', (p for p in parts if p))


def tiles(facts: Dict[str, Any]) -> str:
    """Key figures of B, with those of A below."""
    row = []
    for name, key in (('Mean IoU', 'miou'), ('Pixel accuracy', 'pixel_accuracy')):
        figure = facts['figures'].get(key)
        if figure:
            row.append(_tile(name, [percent(figure[run], 2) for run in 'ab'], '%'))
    medians = [facts[run]['stage_ms'].get('total', {}).get('p50') for run in 'ab']
    if all(medians):
        row.append(_tile('Latency p50', [f'{ms:.1f}' for ms in medians], 'ms'))
    rates = [facts[run]['fps'] for run in 'ab']
    if all(rates):
        row.append(_tile('Throughput', [f'{fps:.1f}' for fps in rates], 'fps'))
    flicker = [facts[run]['flicker']['all'] for run in 'ab']
    if None not in flicker:
        row.append(_tile('Flicker', [percent(share, 2) for share in flicker], '%'))
    if facts['changed'] is not None:
        row.append(tile('Pixels changed', percent(facts['changed'], 2), '%', f'in {facts["frames"]:,} frames'))
    return f'<div class="tiles">{"".join(row)}</div>'


def _tile(name: str, values: Sequence[str], unit: str) -> str:
    return tile(f'{name} of B', values[1], unit, f'A {values[0]} {unit}')


def by_class(a: Run, facts: Dict[str, Any]) -> str:
    """IoU differences with their intervals, one class a row."""
    rows = {
        n: f for n, f in facts['iou'].items() if f['delta'] is not None and f['delta'] == f['delta'] and f['interval']
    }
    if not rows:
        return ''
    ends = [v for f in rows.values() for v in f['interval']]
    reach = max(0.005, 1.08 * max(abs(v) for v in ends))
    colours = {c['name']: rgb_hex(c['colour']) for c in a.report['classes']}
    lines = []
    for name, figure in sorted(rows.items(), key=lambda item: item[1]['delta']):
        low, high = figure['interval']
        kind = direction(figure['interval'])
        lines.append(
            f'<tr><td class="name"><i class="swatch" style="background:{colours[name]}"></i> {escape(name)}</td>'
            f'<td class="number">{percent(figure["a"])}</td><td class="number">{percent(figure["b"])}</td>'
            f'<td class="number {kind}"><b>{points(figure["delta"])}</b></td>'
            f'<td class="chart">{_whisker(figure["delta"], low, high, reach, kind)}</td></tr>'
        )
    heads = '<th>Class</th>' + ''.join(f'<th class="number">{h}</th>' for h in ('A %', 'B %', 'B − A'))
    heads += f'<th class="chart"><div class="ends"><span>{points(-reach, 1)}, B worse</span><span>0</span>'
    heads += f'<span>B better, {points(reach, 1)}</span></div></th>'
    sub = (
        'Difference of the IoU in points with its 95 % interval (paired bootstrap over blocks of '
        f'{facts["block_frames"]} frames, {facts["resamples"]:,} draws), the greatest loss first. Grey where the '
        'interval holds zero: chance may explain the difference.'
    )
    return section('Where it is better, where worse', sub, table(heads, lines))


def _whisker(delta: float, low: float, high: float, reach: float, kind: str) -> str:
    plot = Plot((-reach, reach), (0, 1), width=460, height=22)
    plot.left = plot.right = 4
    colour = {'better': 'var(--good)', 'worse': 'var(--bad)'}.get(kind, 'var(--faint)')
    zero, x, x0, x1 = (plot.x(v) for v in (0.0, delta, low, high))
    plot.add('<line class="grid" x1="4" x2="456" y1="11" y2="11"/>')
    plot.add(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="1" y2="21"/>')
    look = f'stroke="{colour}" stroke-width="5" stroke-linecap="round" stroke-opacity=".45"'
    plot.add(f'<line x1="{x0:.1f}" x2="{x1:.1f}" y1="11" y2="11" {look}/>')
    plot.add(f'<circle cx="{x:.1f}" cy="11" r="5" fill="{colour}"/>')
    return plot.svg(f'{points(delta)} points, {points(low)} to {points(high)}')


def worth_by_class(a: Run, facts: Dict[str, Any]) -> str:
    """Changed pixels by true class: broken to the left, fixed to the right, changed between wrong classes apart."""
    worth = facts['worth']
    if not worth or not worth['by_class']:
        return ''
    rows = worth['by_class']
    reach = max(max(r['fixed'], r['broken']) for r in rows.values()) or 1.0
    colours = {c['name']: rgb_hex(c['colour']) for c in a.report['classes']}
    lines = [_worth_row('<b>all</b>', worth, 0.0)]
    for name, row in sorted(rows.items(), key=lambda item: -sum(item[1].values())):
        swatch = f'<i class="swatch" style="background:{colours[name]}"></i> {escape(name)}'
        lines.append(_worth_row(swatch, row, reach))
    heads = '<th>True class</th><th class="number">broken %</th><th class="chart"></th>'
    heads += '<th class="number">fixed %</th><th class="number">fixed − broken</th><th class="number">both wrong %</th>'
    sub = (
        'Pixels that A and B label differently, as shares of all pixels with ground truth: <b>broken</b> were right in '
        'A, <b>fixed</b> are right in B, <b>both wrong</b> went from one wrong class to another.'
    )
    return section('What the changes are worth', sub, table(heads, lines))


def _worth_row(name: str, row: Dict[str, float], reach: float) -> str:
    net = round(row['fixed'] - row['broken'], 4) + 0.0  # turns -0.0 into 0.0
    kind = 'better' if net > 0 else 'worse' if net < 0 else ''
    cells = (
        ('name', name),
        ('number', percent(row['broken'], 2)),
        ('chart', _worth_bar(row, reach) if reach else ''),
        ('number', percent(row['fixed'], 2)),
        (f'number {kind}', f'<b>{points(net)}</b>'),
        ('number', percent(row['both_wrong'], 2)),
    )
    return '<tr>' + ''.join(f'<td class="{look}">{cell}</td>' for look, cell in cells) + '</tr>'


def _worth_bar(row: Dict[str, float], reach: float) -> str:
    plot = Plot((-reach, reach), (0, 1), width=400, height=22)
    plot.left = plot.right = 4
    zero, left, right = (plot.x(v) for v in (0.0, -row['broken'], row['fixed']))
    look = 'y="5" height="12" rx="2"'
    plot.add(f'<rect x="{left:.1f}" width="{zero - left:.1f}" {look} fill="var(--bad)"/>')
    plot.add(f'<rect x="{zero:.1f}" width="{right - zero:.1f}" {look} fill="var(--good)"/>')
    plot.add(f'<line class="axis" x1="{zero:.1f}" x2="{zero:.1f}" y1="1" y2="21"/>')
    return plot.svg(f'{100 * row["broken"]:.2f} % broken, {100 * row["fixed"]:.2f} % fixed')


def speed(facts: Dict[str, Any]) -> str:
    """Milliseconds by stage, those that a live node has first."""
    stages = list(dict.fromkeys([*facts['a']['stage_ms'], *facts['b']['stage_ms']]))
    if not stages:
        return ''
    lines = []
    for stage in sorted(stages, key=lambda name: name == 'write'):
        a, b = (facts[run]['stage_ms'].get(stage) for run in 'ab')
        cells = ''.join(
            f'<td class="number">{number(round(v[p], 2)) if v else "–"}</td>'
            for p in ('p50', 'p95', 'p99')
            for v in (a, b)
        )
        ratio = f'{b["p50"] / a["p50"]:.2f}' if a and b and a['p50'] else '–'
        name = {'total': '<b>total</b>', 'write': 'measure, write'}.get(stage, escape(stage))
        lines.append(f'<tr><td class="name">{name}</td>{cells}<td class="number"><b>{ratio}</b></td></tr>')
    heads = '<th>ms per frame</th>'
    heads += ''.join(f'<th class="number">{p} {run}</th>' for p in ('p50', 'p95', 'p99') for run in 'AB')
    heads += '<th class="number">p50 B / A</th>'
    said = (
        'Total is what a live node spends on a frame too. Compare times only where both ran on one machine at one load'
    )
    machines = [facts[run]['machine'] for run in 'ab']
    names = sorted({escape(str(m.get('processor', '?'))) for m in machines})
    said += f': both report {names[0]}' if len(names) == 1 else f': these did not ({" and ".join(names)})'
    crowded = [m.get('networks_side_by_side', 1) for m in machines]
    if crowded != [1, 1]:
        said += '. Networks side by side take longer for a frame: A ran {} of them, B {}'.format(*crowded)
    return section('What it costs', f'{said}.', table(heads, lines))


def moved(facts: Dict[str, Any]) -> str:
    """Pixels that went from one class to another."""
    if not facts['moved']:
        return ''
    most = facts['moved'][0]['share']
    rows = ''.join(
        f'<span class="name">{escape(m["from"])} → {escape(m["to"])}</span>'
        f'<div class="track"><div class="fill" style="width:{100 * m["share"] / most:.1f}%;'
        'background:var(--accent)"></div></div>'
        f'<span class="number">{percent(m["share"], 2)} %</span><span></span>'
        for m in facts['moved'][:12]
    )
    return section(
        'What changed its class',
        'Share of all pixels that A and B label differently, A → B.',
        f'<div class="bars">{rows}</div>',
    )


def over_time(facts: Dict[str, Any]) -> str:
    """Changed pixels, and the difference of the frames' own mean IoU, along the run."""
    rows = facts['per_frame']
    if len(rows) < 2:
        return ''
    xs = np.arange(len(rows), dtype=float)
    changed = np.array([r['changed'] for r in rows])
    body = '<h3>Share of pixels labelled differently</h3>' + curves(
        [('changed', xs, changed, 'var(--stage-0)')], 'frame', 'Changed pixels'
    )
    rated = [
        (name, xs, np.array([r.get(key, np.nan) for r in rows]), f'var(--{colour})')
        for name, key, colour in (
            ('fixed', 'fixed', 'good'),
            ('broken', 'broken', 'bad'),
            ('both wrong', 'both_wrong', 'faint'),
        )
    ]
    if any('fixed' in r for r in rows):
        keys = ''.join(f'<span><i class="swatch" style="background:{c}"></i>{n}</span>' for n, _, _, c in rated)
        body += '<br><h3>Of the pixels with ground truth</h3>' + f'<div class="legend">{keys}</div>'
        body += curves(rated, 'frame', 'Fixed and broken pixels')
    deltas = np.array([np.nan if r.get('delta') is None else r['delta'] for r in rows])
    if not np.isnan(deltas).all():
        body += '<br><h3>Mean IoU of the frame, B − A</h3>' + _signed(xs, deltas)
    return section('Along the run', 'Frames that both runs have, in the order of recording.', body)


def _signed(xs: np.ndarray, ys: np.ndarray) -> str:
    xs, ys = binned(xs), binned(ys)
    reach = float(np.nanmax(np.abs(ys))) * 1.1 or 0.01
    plot = Plot((float(xs[0]), float(xs[-1])), (-reach, reach), height=210)
    plot.axes('frame', percent=True)
    zero = plot.y(0.0)
    step = max(0.8, (plot.x(xs[1]) - plot.x(xs[0])) * 0.7)
    for x, y in zip(xs.tolist(), ys.tolist()):
        if y == y:
            top, height = min(zero, plot.y(y)), abs(plot.y(y) - zero)
            place = f'x="{plot.x(x) - step / 2:.1f}" y="{top:.1f}" width="{step:.1f}" height="{height:.1f}"'
            plot.add(f'<rect {place} fill="var(--{"good" if y > 0 else "bad"})"/>')
    return plot.svg('Difference of mean IoU per frame')


def remarks(a: Run, b: Run, facts: Dict[str, Any]) -> str:
    """What limits the comparison."""
    items: List[str] = []
    if facts['only_a'] or facts['only_b']:
        items.append(
            f'{facts["only_a"]} frames are in A only and {facts["only_b"]} in B only; they count for nothing here.'
        )
    lonely = [n for n in {*a.names, *b.names} if (n in a.names) != (n in b.names)]
    if lonely:
        items.append(f'Classes that only one of the bundles has: {", ".join(sorted(lonely))}.')
    if facts['truth_fault']:
        items.append(facts['truth_fault'])
    for name, run in (('A', a), ('B', b)):
        items += [f'{name}: {fault}' for fault in run.report['faults']]
    if not items:
        return ''
    return section('Remarks', '', '<ul>' + ''.join(f'<li>{escape(i)}</li>' for i in items) + '</ul>', 'plain')
