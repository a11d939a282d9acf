# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from recordings import PERIOD_NS, START_NS, drive, frames, write_bag
from replays import KEY, LABELS, TOPIC, run_of

from rtseg_models.errors import NotFound, UsageError
from rtseg_ros.replay.command import main
from rtseg_ros.replay.compare import accuracy, compare_runs
from rtseg_ros.replay.runs import Run
from rtseg_ros.replay.truth import TruthSpec
from rtseg_ros.replay.verdict import verdict


@pytest.fixture(scope='module')
def runs(tiny_bundle, tmp_path_factory) -> tuple[Path, Path]:
    """One bag through one bundle at two input sizes."""
    folder = tmp_path_factory.mktemp('runs')

    bag = write_bag(folder / 'drive', drive(frames(8)))
    for name, size in (('a', '64x96'), ('b', '96x128')):
        arguments = [bag, '--topic', TOPIC, '--model', tiny_bundle.path, '--ground-truth-topic', LABELS]
        arguments += ['--out', folder / name, '--input-size', size]
        assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    return folder / 'a', folder / 'b'


def compared(a: Path, b: Path, out: Path) -> dict:
    page = compare_runs(a, b, out)
    assert '<script' not in page.read_text()
    return json.loads((out / 'compare.json').read_text(), parse_constant=pytest.fail)


def test_differences_are_those_of_the_reports(runs, tmp_path):
    facts = compared(*runs, tmp_path / 'out')
    one, two = (json.loads((r / 'report.json').read_text()) for r in runs)
    assert facts['frames'] == facts['truth_frames'] == 8
    assert facts['figures']['miou']['a'] == pytest.approx(one['miou'], abs=1e-12)
    assert facts['figures']['miou']['delta'] == pytest.approx(two['miou'] - one['miou'], abs=1e-12)
    for name, figure in facts['iou'].items():
        assert (figure['a'], figure['b']) == (one['iou'][name], two['iou'][name])
        if figure['interval']:
            assert figure['interval'][0] <= figure['interval'][1]
    assert 0 < facts['changed'] < 1
    assert (
        facts['changed'] == pytest.approx(sum(m['share'] for m in facts['moved']), abs=1e-9)
        or len(facts['moved']) == 20
    )


def test_a_run_against_itself_differs_nowhere(runs, tmp_path):
    facts = compared(runs[0], runs[0], tmp_path / 'out')
    assert facts['changed'] == 0 and facts['moved'] == []
    assert facts['figures']['miou']['interval'] == [0.0, 0.0]
    assert 'equally good' in (tmp_path / 'out' / 'compare.html').read_text()


def test_recordings_whose_clock_was_set_back_compare(tiny_bundle, tmp_path):
    drives = drive(frames(4)), [replace(e, record_time_ns=e.record_time_ns - 10**12) for e in drive(frames(4))]
    (tmp_path / 'drive').mkdir()
    for name, entries in zip('ab', (drives[0][:4], drives[1][4:])):
        (file,) = write_bag(tmp_path / name, entries, 'mcap').glob('*.mcap')
        file.rename(tmp_path / 'drive' / f'{name}.mcap')
    for out in ('one', 'other'):
        arguments = [tmp_path / 'drive', '--topic', TOPIC, '--model', tiny_bundle.path, '--out', tmp_path / out]
        assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    facts = compared(tmp_path / 'one', tmp_path / 'other', tmp_path / 'out')
    assert facts['frames'] == len([e for e in (*drives[0][:4], *drives[1][4:]) if e.topic == TOPIC]) > 2
    assert facts['changed'] == 0


def test_comparison_is_reproducible(runs, tmp_path):
    assert compared(*runs, tmp_path / '1') == compared(*runs, tmp_path / '2')


def test_interval_covers_the_truth_about_as_often_as_it_says():
    rng = np.random.default_rng(4)
    covered = 0
    for _ in range(60):
        parts = []
        for right in (0.7, 0.75):
            rows = {}
            for i in range(60):
                hits = int(rng.binomial(100, right))
                rows['bag', 'mask', i, i] = {'confusion': [[0, 0, hits], [0, 1, 100 - hits], [1, 1, 100]]}
            classes = [{'name': 'road'}, {'name': 'car'}]
            parts.append(Run(Path(), {'classes': classes, 'iou': {'road': 0.5, 'car': 0.5}}, rows))
        low, high = accuracy(*parts, list(parts[0].frames))['figures']['pixel_accuracy']['interval']
        covered += low <= 0.025 <= high  # half of all pixels differ by 5 points
    assert 50 <= covered <= 60


def test_an_excerpt_is_compared_with_the_same_frames_of_the_whole(tiny_bundle, tmp_path):
    """Stamps are the same in all frames, so that only their record times tell them apart."""
    entries = [replace(e, stamp_ns=START_NS) for e in drive(frames(6))]
    path = write_bag(tmp_path / 'drive', entries)
    for out, more in (('whole', ()), ('excerpt', ('--start', str(3 * PERIOD_NS / 1e9)))):
        arguments = [path, '--topic', TOPIC, '--model', tiny_bundle.path, '--out', tmp_path / out, *more]
        assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    compare_runs(tmp_path / 'whole', tmp_path / 'excerpt', tmp_path / 'out')
    facts = json.loads((tmp_path / 'out' / 'compare.json').read_text())
    assert (facts['frames'], facts['only_a'], facts['only_b'], facts['changed']) == (3, 3, 0, 0)


def test_runs_without_a_common_frame_are_refused(runs, tiny_bundle, tmp_path):
    other = write_bag(tmp_path / 'other', drive(frames(1)))
    arguments = [other, '--topic', TOPIC, '--model', tiny_bundle.path, '--out', tmp_path / 'c']
    assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 0
    with pytest.raises(UsageError, match='no frame in common'):
        compare_runs(runs[0], tmp_path / 'c', tmp_path / 'out')
    with pytest.raises(NotFound, match=r'report\.json'):
        compare_runs(runs[0], tmp_path, tmp_path / 'out')


def test_several_models_in_one_pass_are_compared(tiny_bundle, tmp_path):
    shutil.copytree(tiny_bundle.path, tmp_path / 'second')
    bag = write_bag(tmp_path / 'drive', drive(frames(3)))
    models = ['--model', tiny_bundle.path, '--model', tmp_path / 'second']
    result = CliRunner().invoke(main, list(map(str, [bag, '--topic', TOPIC, *models, '--out', tmp_path / 'out'])))
    assert result.exit_code == 0, result.output
    assert json.loads((tmp_path / 'out' / 'compare' / 'compare.json').read_text())['changed'] == 0
    for name in (tiny_bundle.name, 'second'):
        assert (tmp_path / 'out' / name / 'report.html').is_file()


def test_compare_command(runs, tmp_path):
    arguments = ['--compare', str(runs[0]), str(runs[1]), '--out', str(tmp_path / 'out')]
    assert CliRunner().invoke(main, arguments).exit_code == 0
    assert CliRunner().invoke(main, arguments).exit_code == 2  # never overwritten unasked


@pytest.mark.parametrize('missing', ['bags', 'bag_paths', 'bundle', 'classes', 'iou', 'faults', 'settings', 'machine'])
def test_a_report_without_what_comparing_needs_is_refused(runs, tmp_path, missing):
    """As a demo's is, which tells of no bags."""
    shutil.copytree(runs[1], tmp_path / 'demo')
    facts = json.loads((tmp_path / 'demo' / 'report.json').read_text())
    (facts if missing in facts else facts['source']).pop(missing)
    (tmp_path / 'demo' / 'report.json').write_text(json.dumps(facts))
    arguments = ['--compare', str(runs[0]), str(tmp_path / 'demo'), '--out', str(tmp_path / 'out')]
    result = CliRunner().invoke(main, arguments)
    assert result.exit_code == 65, result.output
    assert f"report.json: not the report of a replay: KeyError('{missing}')" in result.stderr
    assert not (tmp_path / 'out').exists()


def test_changes_are_rated_by_the_ground_truth(runs, tmp_path):
    facts = compared(*runs, tmp_path / 'out')
    worth, right = facts['worth'], facts['figures']['pixel_accuracy']
    assert worth['fixed'] > 0 and worth['broken'] > 0 and worth['both_wrong'] > 0
    assert worth['fixed'] - worth['broken'] == pytest.approx(right['delta'], abs=1e-12)
    for kind in ('fixed', 'broken', 'both_wrong'):
        assert worth[kind] == pytest.approx(sum(row[kind] for row in worth['by_class'].values()), abs=1e-12)
    one, two = (json.loads((r / 'report.json').read_text())['per_frame'] for r in runs)
    for row, before, after in zip(facts['per_frame'], one, two):
        gain = after['pixel_accuracy'] - before['pixel_accuracy']
        assert row['fixed'] - row['broken'] == pytest.approx(gain, abs=1e-12)
    text = (tmp_path / 'out' / 'compare.html').read_text()
    assert 'What the changes are worth' in text and 'Of the pixels with ground truth B fixes' in text


def test_changes_stay_unrated_where_the_recording_is_gone(runs, tmp_path):
    copies = [shutil.copytree(run, tmp_path / run.name) for run in runs]
    for copy in copies:
        facts = json.loads((copy / 'report.json').read_text())
        facts['source']['bag_paths'] = [str(tmp_path / 'absent')]
        (copy / 'report.json').write_text(json.dumps(facts))
    facts = compared(*copies, tmp_path / 'out')
    assert facts['worth'] is None and 'absent' in facts['truth_fault'] and facts['changed'] > 0
    assert 'cannot be read any more' in (tmp_path / 'out' / 'compare.html').read_text()


def test_ground_truth_named_relatively_is_found_from_another_folder(tiny_bundle, monkeypatch, tmp_path):
    bag, pairs = write_bag(tmp_path / 'drive', drive(frames(3))), frames(3)
    rows = [{'id': i, 'name': name} for i, name in enumerate(tiny_bundle.card.class_names)]
    (tmp_path / 'classes.json').write_text(json.dumps({'classes': rows, 'ignore_id': 11}))
    for name, shown in (('labels', [label for _, label in pairs]), ('elsewhere/labels', [pairs[0][1] * 0] * 3)):
        (tmp_path / name).mkdir(parents=True)
        for i, label in enumerate(shown):
            cv2.imwrite(str(tmp_path / name / f'{i}.png'), label)
    monkeypatch.chdir(tmp_path)
    fixed = [bag, '--topic', TOPIC, '--model', tiny_bundle.path, '--ground-truth', 'labels']
    fixed += ['--ground-truth-classes', 'classes.json']
    for out, size in (('a', '64x96'), ('b', '96x128'), ('b', '96x128')):
        resume = ['--resume'] if Path(out).exists() else []
        result = CliRunner().invoke(main, list(map(str, [*fixed, '--out', out, '--input-size', size, *resume])))
        assert result.exit_code == 0, result.output
    source = json.loads(Path('a/report.json').read_text())['source']
    assert source['ground_truth'] == source['ground_truth_spec']['folder'] == str(tmp_path.resolve() / 'labels')
    here = compared(Path('a'), Path('b'), Path('here'))
    monkeypatch.chdir(tmp_path / 'elsewhere')
    there = compared(tmp_path / 'a', tmp_path / 'b', tmp_path / 'there')
    assert there['truth_fault'] == '' and there['worth'] == here['worth'] is not None


def test_only_paths_of_the_ground_truth_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    for name in ('camvid', 'label', 'ids.json'):
        Path(name).touch()
    assert TruthSpec.of('label', None, 'camvid') == TruthSpec('label', '', 'camvid')
    spec = TruthSpec.of(None, Path('labels'), 'ids.json')
    assert spec == TruthSpec('', str(tmp_path.resolve() / 'labels'), str(tmp_path.resolve() / 'ids.json'))
    assert TruthSpec.of('/label', None, '').classes == ''


@pytest.mark.parametrize(
    'interval, said',
    (
        ([0.001, 0.02], 'B is better'),
        ([-0.02, -0.001], 'B is worse'),
        ([-0.001, 0.02], 'Undecided'),
    ),
)
def test_verdict_follows_the_interval(interval, said):
    assert said in verdict({**UNTIMED, 'figures': {'miou': difference(interval)}})


UNTIMED = {'figures': {}, 'iou': {}, 'changed': None, 'a': {'stage_ms': {}}, 'b': {'stage_ms': {}}}


def difference(interval: list) -> dict:
    return {'a': 0.5, 'b': 0.5, 'delta': sum(interval) / 2, 'interval': interval}


def test_verdict_names_the_classes_that_differ_for_certain():
    iou = {'road': [-0.01, 0.02], 'car': [0.1, 0.2], **{f'c{i}': [-0.01 * (i + 2), -0.01] for i in range(6)}}
    said = verdict({**UNTIMED, 'iou': {name: difference(interval) for name, interval in iou.items()}})
    assert 'worse at c5 (−4.0), c4 (−3.5), c3 (−3.0), c2 (−2.5) and 2 more; better at car (+15.0).' in said
    said = verdict({**UNTIMED, 'iou': {'road': difference(iou['road'])}})
    assert 'none differs by more than chance' in said


@pytest.mark.parametrize(
    'times, processors, said',
    (
        ((40.0, 10.0), 'xx', 'B is 4.00 times as fast: 10.0 ms a frame, A 40.0 ms (median).<'),
        ((10.0, 25.0), 'xx', 'B is slower, 2.50 times the time of A'),
        ((10.0, 10.1), 'xx', 'B is as fast as A'),
        ((40.0, 10.0), 'xy', 'They ran on different machines.'),
    ),
)
def test_verdict_tells_the_speed(times, processors, said):
    a, b = ({'stage_ms': {'total': {'p50': ms}}, 'machine': {'processor': name}} for ms, name in zip(times, processors))
    assert said in verdict({**UNTIMED, 'a': a, 'b': b})


def test_iou_is_compared_by_name():
    a = run_of(['road', 'car'], {KEY: {'confusion': [[0, 0, 30], [1, 0, 10], [1, 1, 10]]}})
    b = run_of(['car', 'road'], {KEY: {'confusion': [[1, 1, 30], [0, 1, 10], [0, 0, 10]]}})
    assert all(figure['delta'] == 0 for figure in accuracy(a, b, [KEY])['iou'].values())


def test_blocks_are_a_twentieth_of_the_frames_and_20_at_most():
    frames = {('d', '/mask', i, i): {'confusion': [[0, 0, 1]]} for i in range(500)}
    a = run_of(['road'], frames)
    assert accuracy(a, a, list(frames))['block_frames'] == 20
    assert accuracy(a, a, list(frames)[:60])['block_frames'] == 3


def test_interval_leaves_out_a_fortieth_on_each_side():
    """B fails in half of 20 blocks: the share of failures in a draw is binomial, and 6 and 14 bound its middle 95 %."""
    keys = [('d', '/mask', i, i) for i in range(40)]
    rows = [
        {key: {'confusion': [[0, 0 if i // 2 % 2 else failing, 1]]} for i, key in enumerate(keys)} for failing in (0, 1)
    ]
    a, b = (run_of(['road', 'car'], row) for row in rows)
    low, high = accuracy(a, b, keys)['figures']['pixel_accuracy']['interval']
    assert (low, high) == pytest.approx((-14 / 20, -6 / 20))
