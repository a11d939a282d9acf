# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from click.testing import CliRunner

from rtseg_models.benchmark import plot, run_benchmark, table, turns
from rtseg_models.benchmark.baselines import eager_pytorch
from rtseg_models.benchmark.machine import ran_on
from rtseg_models.benchmark.run import Row
from rtseg_models.benchmark.turns import Contender, take_turns
from rtseg_models.bundle import shipped_bundles
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options, installed
from rtseg_models.errors import Unavailable

CAMERA = (180, 320)
SIZE = (360, 480)


def test_contenders_take_turns_in_bursts():
    order = []

    def contender(name):
        def run(rgb):
            order.append(name)
            return {'stage': 1.0}

        return Contender(run)

    first, second = contender('a'), contender('b')
    take_turns([first, second], [np.zeros((2, 2, 3), np.uint8)], 8)
    assert ''.join(order) == 'ab' + 'a' * 8 + 'b' * 8 + 'aaaa' + 'bbbb'  # each burst has two frames that do not count
    assert len(first.times_ms) == len(second.times_ms) == len(first.stages_ms['stage']) == 8


def test_preparation_is_not_timed(monkeypatch):
    now_s = [0.0]

    def prepare(rgb):
        now_s[0] += 1.0
        return rgb

    def run(rgb):
        now_s[0] += 0.25
        return {}

    monkeypatch.setattr(turns.time, 'perf_counter', lambda: now_s[0])
    contender = Contender(run, prepare)
    take_turns([contender], [np.zeros((2, 2, 3), np.uint8)], 3)
    assert contender.times_ms == [250.0] * 3


@pytest.fixture(scope='module')
def result():
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    for needed in ('torch', 'onnxruntime', 'onnx'):
        pytest.importorskip(needed, reason=f'{needed} is not installed')
    rng = np.random.default_rng(0)
    frames = [cv2.GaussianBlur(rng.integers(0, 256, (90, 160, 3), np.uint8), (0, 0), 9) for _ in range(2)]
    return run_benchmark(
        ['fast_scnn-camvid'],
        sizes=[SIZE],
        camera=CAMERA,
        backends=['onnxruntime', 'torch'],
        precisions=['fp32', 'bf16'],
        device='cpu',
        threads=1,
        baseline=True,
        graph_baseline=True,
        frames=frames,
        count=3,
    )


def test_rows_have_the_agreed_keys(result):
    assert [row['backend'] for row in result['rows']] == ['onnxruntime', 'torch', 'onnxruntime+dense graph']
    for row in result['rows']:
        keys = (
            'model backend precision size camera network_ms pipeline_ms stage_ms baseline_ms fps peak_rss_mb agreement'
        )
        assert set(keys.split()) <= row.keys()
        assert (row['model'], row['size'], row['camera']) == ('fast_scnn-camvid', [360, 480], [180, 320])
        assert set(row['pipeline_ms']) == set(row['baseline_ms']) == {'p50', 'p95', 'p99'}
        assert row['fps'] == pytest.approx(1e3 / row['pipeline_ms']['p50'], abs=0.01)
    json.dumps(result, allow_nan=False)


def test_what_cannot_be_had_is_skipped_with_the_reason(result):
    skipped = [(s['backend'], s['precision']) for s in result['skipped']]
    assert skipped == [('onnxruntime', 'bf16'), ('torch', 'bf16')]
    assert all('offers fp32' in s['reason'] for s in result['skipped'])
    with pytest.raises(Unavailable, match='offers fp32'):
        run_benchmark(['fast_scnn-camvid'], backends=['onnxruntime'], precisions=['fp16'], device='cpu')


def test_every_way_gives_the_same_labels(result):
    assert all(row['agreement'] >= 0.9999 for row in result['rows'])


def test_the_eager_baseline_gives_the_labels_too(tiny_bundle):
    pytest.importorskip('torch', reason='torch is not installed')
    frame = cv2.GaussianBlur(np.random.default_rng(1).integers(0, 256, (*CAMERA, 3), np.uint8), (0, 0), 9)
    label = eager_pytorch(tiny_bundle, (64, 96), CAMERA, 'cpu', 1)
    expected = Pipeline(tiny_bundle, backend='torch', options=Options(device='cpu', precision='fp32'))(frame).labels
    assert len(np.unique(expected)) > 2 and (label(frame) == expected).mean() >= 0.999


def test_stages_are_parts_of_the_pipeline(result):
    row = result['rows'][0]
    assert set(row['stage_ms']) == {'preprocess', 'network', 'postprocess'}
    assert 0 < row['stage_ms']['preprocess'] < row['pipeline_ms']['p99']
    assert set(row['network_ms']) == {'p50', 'p95', 'p99'}


def test_memory_is_that_of_a_process_of_its_own(result):
    by_backend = {row['backend']: row['peak_rss_mb'] for row in result['rows']}
    assert 50 < by_backend['onnxruntime'] < by_backend['torch']


def test_the_network_of_what_labels_on_the_gpu_is_timed_alone_too():
    class Labeller:
        name, device, precision, fallback = 'torch', 'cuda', 'fp16', ''

        def infer(self, rgb):
            taken.append(rgb.shape)

        def label(self, rgb, grid):
            raise NotImplementedError

    taken = []
    row = Row.of('net', SimpleNamespace(backend=Labeller(), input_size=SIZE))
    row.bare.run(row.bare.prepare(np.zeros((*CAMERA, 3), np.uint8)))
    assert taken == [(1, *SIZE, 3)]
    assert row.place == ('net', SIZE, 'cuda') and row.key == ('net', SIZE)


@pytest.mark.parametrize(
    ('devices', 'told'),
    [(['cpu'], 'EPYC, 2 cores'), (['cuda'], 'RTX'), (['cuda:1', 'cpu'], 'RTX and EPYC, 2 cores')],
)
def test_rows_are_told_with_what_they_ran_on(devices, told):
    facts = {'gpu': 'RTX', 'processor': 'EPYC', 'cores': 2}
    assert ran_on(facts, [{'device': device} for device in devices]) == told


def test_the_machine_is_named(result):
    machine = result['machine']
    assert machine['processor'] and machine['cores'] >= 1 and 'numpy' in machine['versions']


def test_a_table_and_a_plot_are_made(result, tmp_path):
    assert table(result).row_count == 3
    pytest.importorskip('matplotlib', reason='matplotlib is not installed')
    plot(result, tmp_path / 'plot.png')
    assert cv2.imread(str(tmp_path / 'plot.png')).std() > 10


def test_rows_of_one_name_have_a_bar_each(result, tmp_path, monkeypatch):
    figures = pytest.importorskip('matplotlib.figure', reason='matplotlib is not installed')
    drawn = []
    monkeypatch.setattr(figures.Figure, 'savefig', lambda self, path: drawn.append(self))
    plot({**result, 'rows': [result['rows'][0]] * 2}, tmp_path / 'plot.png')
    (axes,) = drawn[0].axes
    assert len({patch.get_y() for patch in axes.patches}) == 2
    assert len(axes.get_yticklabels()) == 2


def test_bundles_of_one_name_are_told_apart(tiny_bundle, tmp_path):
    twins = [str(shutil.copytree(tiny_bundle.path, tmp_path / run / 'bundle')) for run in 'ab']
    options = {
        'camera': CAMERA,
        'backends': ['onnxruntime'],
        'device': 'cpu',
        'threads': 1,
        'count': 1,
        'memory': False,
    }
    assert [row['model'] for row in run_benchmark(twins, **options)['rows']] == twins
    assert [row['model'] for row in run_benchmark(twins[:1], **options)['rows']] == ['bundle']


def test_the_command_writes_json_and_overwrites_nothing(result, tmp_path):
    from rtseg_models.cli.benchmark_command import command

    if not installed('onnxruntime'):
        pytest.skip('onnxruntime is not installed')
    for i in range(2):
        cv2.imwrite(str(tmp_path / f'{i}.png'), np.full((90, 160, 3), 60 * i, np.uint8))
    out = tmp_path / 'out.json'
    arguments = (
        f'--model fast_scnn-camvid --size 360x480 --camera 180x320 --backend onnxruntime --frames 1 --json {out}'
    )
    arguments = [*arguments.split(), '--images', str(tmp_path)]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    assert json.loads(out.read_text())['rows'][0]['backend'] == 'onnxruntime'
    again = CliRunner().invoke(command, arguments)
    assert again.exit_code != 0 and 'not overwriting' in str(again.exception)
    empty = tmp_path / 'empty'
    empty.mkdir()
    none = CliRunner().invoke(command, ['--model', 'fast_scnn-camvid', '--images', str(empty)])
    assert none.exit_code != 0 and 'no images in it' in str(none.exception)
