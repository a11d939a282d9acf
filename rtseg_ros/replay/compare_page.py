# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The HTML page that compares two runs."""

from __future__ import annotations

from html import escape
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import cv2
import numpy as np

from rtseg_models.engine.paint import colourise
from rtseg_models.labels import UNLABELLED

from ..bag import Bag
from ..image_codec import BadFrame
from ..reporting.charts import Plot, binned, curves, number, picture, rgb_hex
from ..reporting.page import document, legend, percent, picture_row, section, tile
from .runs import Key, Run, paired_masks
from .stages import decode


def page(a: Run, b: Run, facts: Dict[str, Any]) -> str:
    """The comparison of run A with run B; ``facts`` are those of compare.json."""
    head = (
        '<header><div class="over">Comparison of two runs</div>'
        f'<h1>{escape(a.folder.name)} <span style="color:var(--faint)">→</span> {escape(b.folder.name)}</h1>'
        f'<p class="lead">A: {escape(a.label)}<br>B: {escape(b.label)}<br>'
        f'{facts["frames"]:,} frames of {escape(a.report["title"])} in both</p></header>'
    )
    parts = [
        head,
        f'<section><p class="verdict">{verdict(facts)}</p></section>',
        tiles(facts),
        by_class(a, facts),
        speed(facts),
        moved(facts),
        over_time(facts),
        frames(a, b, facts),
        legend(a.names, [c['colour'] for c in a.report['classes']]),
        remarks(a, b, facts),
    ]
    return document(f'{a.folder.name} and {b.folder.name}', (p for p in parts if p))


def verdict(facts: Dict[str, Any]) -> str:
    """The answer in a sentence or two: quality as far as the interval tells, then cost."""
    said = []
    miou = facts['figures'].get('miou')
    if miou and miou['interval']:
        low, high = (100 * v for v in miou['interval'])
        span = f'{100 * miou["delta"]:+.2f} points of mean IoU, 95 % interval {low:+.2f} to {high:+.2f}'
        if low > 0:
            said.append(f'<b class="better">B is better</b>: {span}.')
        elif high < 0:
            said.append(f'<b class="worse">B is worse</b>: {span}.')
        elif miou['delta'] == low == high == 0:
            said.append('<b>A and B are equally good</b>: every figure is the same.')
        else:
            said.append(f'<b>No difference in quality can be told</b>: {span}.')
    else:
        said.append('There is no ground truth, so this page says what differs, not what is better.')
    if facts['changed'] is not None:
        said.append(f'{percent(facts["changed"], 2)} % of all pixels are labelled differently.')
    times = [facts[run]['stage_ms'].get('total', {}).get('p50') for run in 'ab']
    if all(times):
        ratio = times[1] / times[0]
        how = 'as long as' if 0.98 < ratio < 1.02 else (f'{ratio:.2f} times as long as')
        said.append(f'A frame takes B {how} A ({times[0]:.1f} ms to {times[1]:.1f} ms, median).')
    return ' '.join(said)


def tiles(facts: Dict[str, Any]) -> str:
    """Key figures of both."""
    row = []
    for name, key in (('Mean IoU', 'miou'), ('Pixel accuracy', 'pixel_accuracy')):
        figure = facts['figures'].get(key)
        if figure:
            row.append(tile(name, percent(figure['b'], 2), '%', f'A {percent(figure["a"], 2)} %'))
    for name, key, unit in (('Throughput', 'fps', 'fps'),):
        a, b = facts['a'][key], facts['b'][key]
        if a and b:
            row.append(tile(name, f'{b:.1f}', unit, f'A {a:.1f} {unit}'))
    flicker = [facts[run]['flicker']['all'] for run in 'ab']
    if None not in flicker:
        row.append(tile('Flicker', percent(flicker[1], 2), '%', f'A {percent(flicker[0], 2)} %'))
    if facts['changed'] is not None:
        row.append(tile('Pixels changed', percent(facts['changed'], 2), '%', f'{facts["frames"]:,} frames'))
    return f'<div class="tiles">{"".join(row)}</div>'


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
    for name, figure in rows.items():
        low, high = figure['interval']
        kind = 'better' if low > 0 else 'worse' if high < 0 else ''
        lines.append(
            f'<tr><td><i class="swatch" style="background:{colours[name]}"></i> {escape(name)}</td>'
            f'<td class="number">{percent(figure["a"])}</td><td class="number">{percent(figure["b"])}</td>'
            f'<td class="number {kind}"><b>{100 * figure["delta"]:+.2f}</b></td>'
            f'<td style="width:46%">{_whisker(figure["delta"], low, high, reach, kind)}</td></tr>'
        )
    heads = '<th>Class</th>' + ''.join(f'<th class="number">{h}</th>' for h in ('A %', 'B %', 'B − A')) + '<th></th>'
    sub = (
        'Difference of the IoU in points with its 95 % interval (paired bootstrap over blocks of '
        f'{facts["block_frames"]} frames, {facts["resamples"]:,} draws). Coloured where the interval leaves out zero. '
        f'The axis ends at ±{100 * reach:.2f} points.'
    )
    return section('Where it is better, where worse', sub, f'<table><tr>{heads}</tr>{"".join(lines)}</table>')


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
    return plot.svg(f'{100 * delta:+.2f} points, {100 * low:+.2f} to {100 * high:+.2f}')


def speed(facts: Dict[str, Any]) -> str:
    """Milliseconds by stage."""
    stages = list(dict.fromkeys([*facts['a']['stage_ms'], *facts['b']['stage_ms']]))
    if not stages:
        return ''
    lines = []
    for stage in stages:
        a, b = (facts[run]['stage_ms'].get(stage) for run in 'ab')
        cells = ''.join(
            f'<td class="number">{number(round(v[p], 2)) if v else "–"}</td>'
            for p in ('p50', 'p95', 'p99')
            for v in (a, b)
        )
        ratio = f'{b["p50"] / a["p50"]:.2f}' if a and b and a['p50'] else '–'
        lines.append(f'<tr><td>{escape(stage)}</td>{cells}<td class="number"><b>{ratio}</b></td></tr>')
    heads = ''.join(f'<th class="number">{p} {run}</th>' for p in ('p50', 'p95', 'p99') for run in 'AB')
    body = f'<table><tr><th>ms per frame</th>{heads}<th class="number">B / A</th></tr>{"".join(lines)}</table>'
    said = 'Compare times only where both ran on one machine at one load: '
    machines = {facts[run]['machine'].get('processor', '?') for run in 'ab'}
    said += 'both report ' + ' and '.join(escape(str(m)) for m in sorted(machines)) + '.'
    return section('What it costs', said, f'<div class="scroll">{body}</div>')


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
    deltas = np.array([np.nan if r.get('delta') is None else r['delta'] for r in rows])
    if not np.isnan(deltas).all():
        body += '<br><h3>Mean IoU of the frame, B − A</h3>' + _signed(xs, deltas)
    return section('Along the run', '', body)


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


def frames(a: Run, b: Run, facts: Dict[str, Any]) -> str:
    """The frames that changed most: image, both masks, and where they differ."""
    wanted = {(r['bag'], r['topic'], r['stamp_ns'], r['index']): r for r in facts['most_changed'] if r['changed'] > 0}
    tables = [_table(run) for run in (a, b)]
    shown: Dict[Key, str] = {}
    for key, mask_a, mask_b in paired_masks(a, b, set(wanted)):
        rgb = _image(a, key, mask_a.shape)
        pictures = [('image', picture(rgb))] if rgb is not None else []
        pictures += [
            ('A', picture(colourise(np.ascontiguousarray(mask_a), tables[0]), exact=True)),
            ('B', picture(colourise(np.ascontiguousarray(mask_b), tables[1]), exact=True)),
            ('labelled differently', picture(_changed(rgb, tables[0][mask_a], tables[1][mask_b]))),
        ]
        row = wanted[key]
        said = f'{percent(row["changed"])} % of the pixels changed'
        if row.get('delta') is not None:
            said += f', mean IoU {percent(row["miou_a"])} → {percent(row["miou_b"])} %'
        shown[key] = picture_row(f'{key[0]}, frame {key[3]}', said, pictures)
    body = ''.join(shown[key] for key in wanted if key in shown)
    return section('Frames that changed most', '', body) if body else ''


def _table(run: Run) -> np.ndarray:
    table = np.zeros((256, 3), np.uint8)
    for i, entry in enumerate(run.report['classes']):
        table[i] = entry['colour']
    table[UNLABELLED] = (59, 63, 70)
    return table


def _image(run: Run, key: Key, shape: Tuple[int, ...]) -> Optional[np.ndarray]:
    """The frame's picture from the recording, None where that is no longer in its place."""
    source = run.report['source']
    path = Path(dict(zip(source['bags'], source['bag_paths'])).get(key[0], ''))
    topics = source['topics']
    topic = (
        topics[0]
        if len(topics) == 1
        else next((t for t in topics if key[1] == f'/segmentation/{t.strip("/")}/mask'), '')
    )
    if not path.exists() or not topic:
        return None
    with Bag(path) as bag:
        for record in bag.at(topic, run.frames[key]['record_time_ns']):
            rgb = decode(record) if record.stamp_ns == key[2] else None
            if rgb is not None and not isinstance(rgb, BadFrame) and rgb.shape[:2] == shape:
                return rgb
    return None


def _changed(rgb: Optional[np.ndarray], colours_a: np.ndarray, colours_b: np.ndarray) -> np.ndarray:
    """Grey image with the changed pixels in magenta, (H,W,3) uint8."""
    base = colours_a if rgb is None else np.ascontiguousarray(rgb)
    grey = cv2.cvtColor(cv2.cvtColor(base, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    shown = (grey * 0.55 + 80).astype(np.uint8)
    shown[(colours_a != colours_b).any(axis=2)] = (214, 39, 160)
    return shown


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
    for name, run in (('A', a), ('B', b)):
        items += [f'{name}: {fault}' for fault in run.report['faults']]
    if not items:
        return ''
    return section('Remarks', '', '<ul>' + ''.join(f'<li>{escape(i)}</li>' for i in items) + '</ul>', 'plain')
