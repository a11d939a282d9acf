# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import html
import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.metrics import ConfusionMatrix
from rtseg_ros.report import Example, FrameMeter, FrameRecord, RunSummary, bundle_facts, write_html, write_json
from rtseg_ros.reporting.charts import binned, histogram, ticks
from rtseg_ros.reporting.measures import mask_digest, stream_digest, total_matrix

FIXED_KEYS = {
    'miou', 'iou', 'pixel_accuracy', 'frames', 'confusion', 'stage_ms', 'fps', 'dropped', 'mask_sha256',
}  # fmt: skip
TOPIC = '/segmentation/mask'


def _masks(count: int, seed: int = 0) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 11, (24, 32), np.uint8) for _ in range(count)]


def _records(bundle: Bundle, masks, truths=None) -> list[FrameRecord]:
    meter = FrameMeter(bundle.card)
    return [
        meter.measure(
            mask,
            topic=TOPIC,
            stamp_ns=10**18 + i,
            index=i,
            truth=None if truths is None else truths[i],
            stage_ms={'decode': 1.0 + i, 'network': 2.0},
        )
        for i, mask in enumerate(masks)
    ]


def _summary(bundle: Bundle, records, **fields) -> RunSummary:
    card = bundle.card
    facts = {'title': 'drive <1>', 'source': {}, 'bundle': bundle_facts(bundle), 'records': records, **fields}
    return RunSummary(class_names=list(card.class_names), colours=list(card.colours), **facts)


def test_figures_are_those_of_one_confusion_matrix(tiny_bundle):
    masks, truths = _masks(5), _masks(5, seed=1)
    truths[2][:5] = 11
    masks[3][0] = 255
    matrix = ConfusionMatrix(11, 11)
    for truth, mask in zip(truths, masks):
        matrix.update(truth, mask)
    facts = _summary(tiny_bundle, _records(tiny_bundle, masks, truths)).to_json()
    assert facts['miou'] == matrix.miou() and facts['pixel_accuracy'] == matrix.pixel_accuracy()
    assert facts['confusion'] == matrix.counts.tolist() and facts['unlabelled'] == matrix.unlabelled.tolist()
    assert list(facts['iou'].values()) == matrix.iou().tolist()
    assert facts['frames'] == 5 and len(facts['per_frame']) == 5


def test_json_has_the_fixed_keys_and_no_nan(tiny_bundle, tmp_path):
    write_json(_summary(tiny_bundle, _records(tiny_bundle, _masks(2)), wall_s=4.0), tmp_path / 'report.json')
    text = (tmp_path / 'report.json').read_text()
    facts = json.loads(text, parse_constant=pytest.fail)
    assert facts.keys() >= FIXED_KEYS
    assert facts['miou'] is None and set(facts['iou'].values()) == {None} and facts['pixel_accuracy'] is None
    assert facts['fps'] == 0.5
    assert facts['stage_ms']['total']['p50'] == 3.5


def test_class_that_the_truth_cannot_hold_has_no_iou(tiny_bundle):
    masks, truths = _masks(3), [np.minimum(t, 9) for t in _masks(3, seed=1)]
    summary = _summary(tiny_bundle, _records(tiny_bundle, masks, truths), evaluable=[True] * 10 + [False])
    iou = summary.to_json()['iou']
    assert iou['bicyclist'] is None
    assert summary.to_json()['miou'] == pytest.approx(np.mean([v for v in iou.values() if v is not None]))


def test_flicker_counts_changed_pixels_and_those_under_steady_truth(tiny_bundle):
    first, second = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    second[:2] = 1  # 20 pixels change
    truth_a, truth_b = np.zeros((10, 10), np.uint8), np.zeros((10, 10), np.uint8)
    truth_b[0] = 1  # 10 of them with the truth
    truth_a[9] = truth_b[9] = 11  # void counts for nothing
    records = _records(tiny_bundle, [first, second], [truth_a, truth_b])
    assert (records[0].flicker, records[0].steady_flicker) == (None, None)
    assert records[1].flicker == 0.2
    assert records[1].steady_flicker == pytest.approx(10 / 80)


def test_flicker_starts_anew_when_the_size_changes(tiny_bundle):
    records = _records(tiny_bundle, [np.zeros((10, 10), np.uint8), np.zeros((5, 5), np.uint8)])
    assert records[1].flicker is None


def test_digests_are_of_the_packed_bytes(tiny_bundle):
    mask = _masks(1)[0]
    assert mask_digest(mask[:, ::2]) == hashlib.sha256(mask[:, ::2].tobytes()).hexdigest()
    records = _records(tiny_bundle, _masks(3))
    joined = hashlib.sha256(b''.join(bytes.fromhex(r.sha256) for r in records)).hexdigest()
    assert stream_digest(r.sha256 for r in records) == joined
    assert _summary(tiny_bundle, records).mask_sha256() == {TOPIC: joined}


def test_record_survives_json(tiny_bundle):
    masks = _masks(2)
    masks[1][3] = 255
    records = _records(tiny_bundle, masks, _masks(2, seed=1))
    again = [FrameRecord.from_json(json.loads(json.dumps(r.to_json()))) for r in records]
    assert again == records
    assert (total_matrix(again, 11).counts == total_matrix(records, 11).counts).all()


def test_dropped_frames_are_counted_with_the_nodes_own(tiny_bundle):
    lost = FrameRecord('', TOPIC, 1, '', 0, dropped='decode', detail='cut')
    facts = _summary(tiny_bundle, [lost, *_records(tiny_bundle, _masks(1))], dropped={'busy': 2, 'decode': 1}).to_json()
    assert facts['dropped'] == {'busy': 2, 'decode': 2} and facts['frames'] == 1
    assert facts['per_frame'][0]['detail'] == 'cut'


class _Page(HTMLParser):
    """Checks that tags are closed in order, and collects what a browser would load."""

    VOID = ('meta', 'br', 'img')

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.loads: list[str] = []
        self.text: list[str] = []
        self.titles: set[str] = set()

    def handle_starttag(self, tag, attrs):
        self.titles |= {v for k, v in attrs if k == 'title' and v}
        self.loads += [v for k, v in attrs if k in ('src', 'href') and v]
        assert tag != 'script'
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        pass

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


def _parsed(summary: RunSummary, tmp_path) -> _Page:
    write_html(summary, tmp_path / 'report.html')
    page = _Page()
    text = (tmp_path / 'report.html').read_text()
    page.feed(text)
    assert not page.open
    assert all(load.startswith('data:') for load in page.loads)
    assert not re.search(r'\bnan\b', re.sub(r'data:image[^"]+', '', text))
    return page


@pytest.mark.parametrize('frames', (0, 1, 2, 900))
@pytest.mark.parametrize('with_truth', (False, True))
def test_page_is_whole_and_loads_nothing(frames, with_truth, tiny_bundle, tmp_path):
    masks, truths = _masks(frames), _masks(frames, seed=1) if with_truth else None
    rgb = np.zeros((24, 32, 3), np.uint8)
    shown = [Example('frame 0', '', rgb, masks[0], truths[0] if truths else None)] if frames else []
    summary = _summary(tiny_bundle, _records(tiny_bundle, masks, truths), wall_s=1.0, examples=shown)
    text = ' '.join(_parsed(summary, tmp_path).text)
    assert 'drive <1>' in text  # escaped in the source
    assert ('What is taken for what' in text) == (with_truth and frames > 0)


def test_page_shows_the_figures_of_the_json(tiny_bundle, tmp_path):
    truths = _masks(3, seed=1)
    masks = [np.where(truth == 3, 5, np.where(truth % 2, truth, mask)) for truth, mask in zip(truths, _masks(3))]
    summary = _summary(tiny_bundle, _records(tiny_bundle, masks, truths), wall_s=1.0)
    facts, page = summary.to_json(), _parsed(summary, tmp_path)
    text = [piece.strip() for piece in page.text if piece.strip()]
    shown = text[text.index('of truth') + 1 :]
    for name, iou in facts['iou'].items():
        assert shown[shown.index(name) + 1] == f'{100 * iou:.1f} %', name
    total = facts['stage_ms']['total']
    tiles = text[text.index('Latency p50') :]
    assert tiles[1] == f'{total["p50"]:.1f}' and f'p95 {total["p95"]:.1f} ms' in tiles[:5]
    for i, (name, row) in enumerate(zip(facts['iou'], facts['confusion'])):
        for j, (other, count) in enumerate(zip(facts['iou'], row)):
            share = 100 * count / sum(row)
            assert f'{name} taken for {other}: {share:.2f} % ({count:,} pixels)' in page.titles, (i, j)


def test_provenance_tells_the_protocol_at_once_and_folds_the_training(tmp_path):
    bundle = load_bundle('dabnet-camvid')
    _parsed(_summary(bundle, _records(bundle, _masks(1))), tmp_path)
    page = (tmp_path / 'report.html').read_text()
    shown, _, folded = page[page.index('Provenance') :].partition('<details>')
    origin = bundle.card.origin
    assert html.escape(origin['protocol']) in shown and all(html.escape(limit) in shown for limit in origin['limits'])
    assert 'class weight c' in folded and 'class weight c' not in shown
    assert 'hold out: <' not in folded  # settings without a value say nothing
    for digits in (origin['git_commit'], origin['figures']['val']['weights_sha256'], bundle.card.weights_sha256):
        assert page.count(digits) == page.count(f'<code>{digits}</code>') > 0  # else they would widen the table


def test_page_of_a_truth_that_counts_nothing(tiny_bundle, tmp_path):
    truths = [np.full((24, 32), 11, np.uint8)] * 2
    summary = _summary(tiny_bundle, _records(tiny_bundle, _masks(2), truths), faults=['bag <cut>'], unmapped=['rider'])
    text = ' '.join(_parsed(summary, tmp_path).text)
    assert 'bag <cut>' in text and 'rider' in text


@pytest.mark.parametrize('low, high', ((0, 1), (0, 0.013), (-3, 17), (0, 4000), (1e9, 1e9 + 5)))
def test_ticks_lie_inside_and_are_round(low, high):
    found = ticks(low, high)
    assert 2 <= len(found) <= 9
    assert all(low - 1e-6 * (high - low) <= v <= high + 1e-6 * (high - low) for v in found)
    assert np.ptp(np.diff(found)) <= 1e-6 * (high - low)


def test_long_series_are_averaged(tiny_bundle):
    series = np.arange(10_000, dtype=float)
    series[::2] = np.nan
    short = binned(series)
    assert len(short) == 400 and short[0] == pytest.approx(13, abs=1) and not np.isnan(short).any()


def test_histogram_of_equal_values_draws_one_bar():
    assert histogram(np.full(50, 3.0), 'red', 'x').count('<rect') == 1


def _bare(records=(), **figures) -> RunSummary:
    return RunSummary('run', {}, {}, ['road'], [(0, 0, 0)], records=list(records), **figures)


def test_the_total_of_the_stages_leaves_out_writing():
    record = FrameRecord('', '/mask', 1, '', 0, stage_ms={'decode': 1.0, 'network': 2.0, 'write': 9.0})
    assert _bare([record]).stages_ms()['total'].tolist() == [3.0]


def test_flicker_is_averaged_over_the_frames_that_have_it():
    flickers = ((0.2, 0.1), (0.4, None))
    records = [
        FrameRecord('', '/mask', i, '', i, flicker=flicker, steady_flicker=steady)
        for i, (flicker, steady) in enumerate(flickers)
    ]
    assert _bare(records).mean_flicker() == {'all': pytest.approx(0.3), 'steady_truth': pytest.approx(0.1)}


def test_the_speed_share_is_that_of_the_pipelines_alone():
    assert _bare(fps=5.0, pipeline_fps=10.0).speed_share == 0.5
