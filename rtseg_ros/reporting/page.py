# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The HTML page of one run."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any, Dict, List, Sequence, Tuple

import numpy as np

from .charts import curves, histogram, number, rgb_hex, stacked_area
from .frames import examples
from .layout import UNLABELLED_COLOUR, document, legend, percent, section, tile
from .measures import FrameRecord, figures

if TYPE_CHECKING:
    from ..report import RunSummary


def page(summary: RunSummary) -> str:
    """The report of a run."""
    parts = [header(summary), tiles(summary), faults(summary), legend(summary.class_names, summary.colours)]
    if summary.has_truth:
        parts += [accuracy(summary), confusion(summary)]
    parts += [latency(summary), share_over_time(summary), flicker(summary), examples(summary), facts(summary)]
    created = f' on {escape(summary.created)}' if summary.created else ''
    parts.append(f'<footer>Written by rtseg_ros{created}. Figures of every frame are in report.json.</footer>')
    return document(summary.title, (p for p in parts if p))


def header(summary: RunSummary) -> str:
    """Title and the one line that says what ran."""
    settings = summary.settings
    size = 'x'.join(str(v) for v in settings.get('input_size', []))
    pieces = [summary.bundle.get('name'), settings.get('backend'), settings.get('precision'), size and f'input {size}']
    pieces += [settings.get('device'), summary.machine.get('processor')]
    line = ' · '.join(escape(str(p)) for p in pieces if p)
    return (
        f'<header><div class="over">Segmentation report</div><h1>{escape(summary.title)}</h1>'
        f'<p class="lead">{line}</p></header>'
    )


def tiles(summary: RunSummary) -> str:
    """The figures to see first."""
    miou, iou, right = figures(summary.confusion(), summary.evaluable)
    stages, dropped, flicker_share = summary.stages_ms(), summary.all_dropped(), summary.mean_flicker()
    count = len(summary.masks)
    row = []
    if summary.has_truth:
        seen = sum(v == v for v in iou)
        truths = sum(r.confusion is not None for r in summary.masks)
        row.append(tile('Mean IoU', percent(miou), '%', f'{seen} classes'))
        row.append(tile('Pixel accuracy', percent(right), '%', f'{truths:,} frames with truth'))
    row.append(tile('Frames', f'{count:,}', more=_plural(len(summary.topics()) or 1, 'topic')))
    if summary.fps is not None:
        share = summary.speed_share
        more = f'{100 * share:.0f} % of the networks’ own rate' if share else ''
        row.append(tile('Throughput', f'{summary.fps:.1f}', 'fps', more))
    if stages:
        p50, p95 = np.percentile(stages['total'], (50, 95))
        row.append(tile('Latency p50', f'{p50:.1f}', 'ms', f'p95 {p95:.1f} ms'))
    if flicker_share['all'] is not None:
        steady = flicker_share['steady_truth']
        more = f'{percent(steady)} % where truth is steady' if steady is not None else 'of pixels per frame'
        row.append(tile('Flicker', percent(flicker_share['all']), '%', more))
    lost = sum(dropped.values())
    row.append(tile('Dropped', f'{lost:,}', more=_reasons(dropped) or 'no frame lost', alert=lost > 0))
    return f'<div class="tiles">{"".join(row)}</div>'


def _plural(count: int, noun: str) -> str:
    return f'{count} {noun}' + ('' if count == 1 else 's')


def _reasons(dropped: Any) -> str:
    return ', '.join(f'{escape(k)} {n:,}' for k, n in sorted(dropped.items(), key=lambda item: -item[1]) if n)


def faults(summary: RunSummary) -> str:
    """What could not be read, and other remarks."""
    items = [*summary.faults]
    if summary.unmapped:
        items.append('Truth classes that the bundle has not, ignored: ' + ', '.join(summary.unmapped))
    items += summary.notes
    if not items:
        return ''
    listed = ''.join(f'<li>{escape(text)}</li>' for text in items[:40])
    kind = 'warn' if summary.faults else 'plain'
    return section('Read this first' if summary.faults else 'Remarks', '', f'<ul>{listed}</ul>', kind)


def accuracy(summary: RunSummary) -> str:
    """IoU bars, one class a row."""
    matrix = summary.confusion()
    _, iou, _ = figures(matrix, summary.evaluable)
    support = matrix.counts.sum(axis=1) + matrix.unlabelled
    share = support / max(1, support.sum())
    recall = np.diag(matrix.counts) / np.maximum(1, support)
    rows = ['<span class="head">Class</span><span></span><span class="head number">IoU</span>']
    rows.append('<span class="head note" title="Share of the labelled pixels">of truth</span>')
    for i, (name, colour) in enumerate(zip(summary.class_names, summary.colours)):
        known = iou[i] == iou[i]
        width = f'{100 * iou[i]:.2f}%' if known else '0'
        fill = f'<div class="fill" style="width:{width};background:{rgb_hex(colour)}"></div>' if known else ''
        hint = f'recall {percent(float(recall[i]))} %' if support[i] else 'not in the truth'
        rows.append(
            f'<span class="name"><i class="swatch" style="background:{rgb_hex(colour)}"></i>{escape(name)}</span>'
            f'<div class="track" title="{hint}">{fill}</div>'
            f'<span class="number">{percent(iou[i])}{" %" if known else ""}</span>'
            f'<span class="note">{percent(float(share[i]))} %</span>'
        )
    sub = 'Intersection over union of each class over all frames with truth, and the share of labelled pixels it has.'
    return section('Accuracy by class', sub, f'<div class="bars">{"".join(rows)}</div>')


def confusion(summary: RunSummary) -> str:
    """Row-normalised confusion matrix as a heat map."""
    matrix = summary.confusion()
    counts = np.column_stack([matrix.counts, matrix.unlabelled]) if matrix.unlabelled.any() else matrix.counts
    columns = [*summary.class_names, 'unlabelled'][: counts.shape[1]]
    totals = counts.sum(axis=1)
    shares = counts / np.maximum(1, totals)[:, None]
    heads = ''.join(f'<th class="column"><div>{escape(n)}</div></th>' for n in columns)
    rows = [f'<tr><th></th>{heads}</tr>']
    for i, name in enumerate(summary.class_names):
        cells = []
        for j, share in enumerate(shares[i].tolist()):
            tone = 'var(--heat)' if i == j else 'var(--heat-bad)'
            paint = f'rgba({tone},{0.04 + 0.96 * share**0.7:.3f})' if share >= 0.002 else 'var(--wash)'
            shown = f'{100 * share:.0f}' if share >= 0.005 else ''
            kind = ('hit ' if i == j else '') + ('light' if share > 0.55 else '')
            title = f'{name} taken for {columns[j]}: {100 * share:.2f} % ({int(counts[i, j]):,} pixels)'
            cells.append(f'<td class="{kind}" style="background:{paint}" title="{escape(title)}">{shown}</td>')
        rows.append(f'<tr><th class="row">{escape(name)}</th>{"".join(cells)}</tr>')
    sub = 'Each row is a true class; its cells say in percent what the network made of it: blue is right, orange wrong.'
    return section(
        'What is taken for what', sub, f'<div class="scroll"><table class="heat">{"".join(rows)}</table></div>'
    )


def latency(summary: RunSummary) -> str:
    """A stacked bar of the stages' medians, then the distribution of each."""
    stages = summary.stages_ms()
    if not stages:
        return ''
    names = [s for s in stages if s != 'total']
    medians = [float(np.median(stages[s])) for s in names]
    whole = sum(medians) or 1.0
    bar, keys, x = [], [], 0.0
    for i, (name, value) in enumerate(zip(names, medians)):
        width = 1080 * value / whole
        colour = f'var(--stage-{i % 6})'
        bar.append(f'<rect x="{x:.1f}" y="0" width="{max(0.0, width - 2):.1f}" height="26" rx="5" fill="{colour}"/>')
        keys.append(
            f'<span><i class="swatch" style="background:{colour}"></i>{escape(name)}&nbsp;'
            f'<b>{number(round(value, 2))} ms</b></span>'
        )
        x += width
    stacked = f'<svg viewBox="0 0 1080 26" role="img" aria-label="Medians of the stages">{"".join(bar)}</svg>'
    small = []
    for i, name in enumerate([*names, 'total']):
        values = stages[name]
        p50, p95, p99 = np.percentile(values, (50, 95, 99))
        colour = 'var(--stage-5)' if name == 'total' else f'var(--stage-{i % 6})'
        small.append(
            f'<div><h3>{escape(name)}</h3>{histogram(values, colour, f"Latency of {name}")}'
            f'<div class="legend"><span>p50 {p50:.2f}</span><span>p95 {p95:.2f}</span><span>p99 {p99:.2f} ms</span>'
            '</div></div>'
        )
    sub = 'Median time of each stage, then how the times spread; dashed lines are the median and the 95th percentile.'
    side_by_side = summary.machine.get('networks_side_by_side', 1)
    if side_by_side > 1:
        sub += (
            f' {side_by_side} networks shared the cores, so a frame took each of them longer than it takes one alone.'
        )
    body = f'{stacked}<div class="legend" style="margin:10px 0 22px">{"".join(keys)}</div>'
    body += f'<div class="three">{"".join(small)}</div>'
    return section('Where the time goes', sub, body)


def streams(summary: RunSummary) -> List[Tuple[str, List[FrameRecord]]]:
    """Frames by bag and topic, each stream with a name where there are several."""
    keys = list(dict.fromkeys((r.bag, r.topic) for r in summary.masks))
    named = len(keys) > 1
    return [
        (f'{b} {t}'.strip() if named else '', [r for r in summary.masks if (r.bag, r.topic) == (b, t)]) for b, t in keys
    ]


def seconds(records: Sequence[FrameRecord]) -> np.ndarray:
    """Stamps in seconds after the first frame."""
    return np.array([(r.stamp_ns - records[0].stamp_ns) / 1e9 for r in records])


def share_over_time(summary: RunSummary) -> str:
    """Stacked areas of the classes' shares in the mask."""
    colours = [*(rgb_hex(c) for c in summary.colours), UNLABELLED_COLOUR]
    charts = []
    for name, records in streams(summary)[:6]:
        counts = np.array([r.pixels for r in records], float)
        shares = counts / np.maximum(1, counts.sum(axis=1, keepdims=True))
        heading = f'<h3>{escape(name)}</h3>' if name else ''
        charts.append(
            heading + stacked_area(seconds(records), shares, [*summary.class_names, 'unlabelled'], colours, 'seconds')
        )
    if not charts:
        return ''
    return section(
        'What the camera saw', 'Share of each class in the mask over time, in the classes’ colours.', ''.join(charts)
    )


def flicker(summary: RunSummary) -> str:
    """Share of pixels that change class from frame to frame."""
    charts, steady_seen = [], False
    for name, records in streams(summary)[:6]:
        every = np.array([np.nan if r.flicker is None else r.flicker for r in records])
        steady = np.array([np.nan if r.steady_flicker is None else r.steady_flicker for r in records])
        if np.isnan(every).all():
            continue
        lines = [('all', seconds(records), every, 'var(--stage-0)')]
        if not np.isnan(steady).all():
            steady_seen = True
            lines.append(('steady', seconds(records), steady, 'var(--stage-2)'))
        heading = f'<h3>{escape(name)}</h3>' if name else ''
        charts.append(heading + curves(lines, 'seconds', 'Flicker over time'))
    if not charts:
        return ''
    keys = '<span><i class="swatch" style="background:var(--stage-0)"></i>all pixels</span>'
    if steady_seen:
        keys += '<span><i class="swatch" style="background:var(--stage-2)"></i>pixels whose truth did not change</span>'
    sub = 'Share of pixels whose class differs from the frame before. Motion alone causes some; spikes are unrest.'
    return section(
        'Temporal flicker', sub, f'<div class="legend" style="margin-bottom:8px">{keys}</div>{"".join(charts)}'
    )


def facts(summary: RunSummary) -> str:
    """Tables of what ran where, on what."""
    digests = {f'mask sha256 {topic}': value for topic, value in summary.mask_sha256().items()}
    source = {k: v for k, v in summary.source.items() if k not in ('ground_truth_spec', 'folders')}
    source.update({k: repr(v) for k, v in source.items() if isinstance(v, float)})  # a range, to the last digit
    origin = dict(summary.bundle.get('origin', {}))
    shown = {key: origin.pop(key) for key in ('protocol', 'limits') if key in origin}
    left = _table('Run', {**source, **summary.settings, **digests})
    right = _table('Bundle', {**summary.bundle, 'origin': None, **shown}) + '<br>' + _table('Machine', summary.machine)
    training = f'<details><summary>How the bundle was trained</summary>{_table("", origin)}</details>' if origin else ''
    return section(
        'Provenance',
        'Enough to run it again and get the same masks.',
        f'<div class="two"><div>{left}</div><div>{right}</div></div>{training}',
    )


def _table(title: str, rows: Any) -> str:
    lines = ''.join(
        f'<tr><td class="key">{escape(_words(k))}</td><td>{_cell(v, _is_digest(k))}</td></tr>'
        for k, v in _told(rows).items()
    )
    return f'{f"<h3>{escape(title)}</h3>" if title else ""}<table>{lines}</table>'


def _told(rows: Any) -> Dict[str, Any]:
    """The rows that say something."""
    return {str(k): v for k, v in rows.items() if v not in (None, '', [], {})}


def _is_digest(key: str) -> bool:
    """Whether the value is hexadecimal digits, which only ``code`` breaks into lines."""
    return 'sha256' in key or 'commit' in key


def _words(key: str) -> str:
    """A key as people write it; topics keep their underscores."""
    return ' '.join(part if '/' in part else part.replace('_', ' ') for part in key.split(' '))


def _cell(value: Any, code: bool, between: str = '<br>') -> str:
    if isinstance(value, dict):
        inner = ((k, _cell(v, _is_digest(k), '; ')) for k, v in _told(value).items())
        return ''.join(f'<div>{escape(_words(k))}: {cell}</div>' for k, cell in inner)
    if isinstance(value, (list, tuple)):
        if len(value) == 2 and all(isinstance(v, int) for v in value):
            return f'{value[0]}x{value[1]}'
        return between.join(_cell(v, code) for v in value)
    text = escape(number(value) if isinstance(value, float) else str(value))
    return f'<code>{text}</code>' if code else text
