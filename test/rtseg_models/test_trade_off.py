# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Accuracy against speed of bundles by input size: measured, from the card where val was learnt, drawn and tabled."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict

import cv2
import pytest
from click.testing import CliRunner
from matplotlib.figure import Figure

from rtseg_models.benchmark import markdown, measure_trade_off, plot_trade_off
from rtseg_models.benchmark.trade_off import input_sizes, place_labels
from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.cli.figures_command import command
from rtseg_models.datasets import open_dataset
from rtseg_models.engine import Pipeline
from rtseg_models.evaluation import evaluate
from rtseg_models.labels import CAMVID
from rtseg_models.street import Street


@pytest.fixture(scope='module')
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp('camvid')
    for seed in (61, 62):
        frame = Street(seed, height=128, width=192).frame(0)
        for folder, image in (('val', frame.rgb[:, :, ::-1]), ('valannot', frame.label)):
            (root / folder).mkdir(exist_ok=True)
            cv2.imwrite(str(root / folder / f'{seed}.png'), image)
    return root


@pytest.fixture(scope='module')
def learnt(tiny_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A bundle that learnt from val; its card has one figure of the run that had not."""
    path = tmp_path_factory.mktemp('bundles') / 'learnt'
    shutil.copytree(tiny_bundle.path, path)
    card = replace(tiny_bundle.card, origin={'trained_on': ['train', 'val']}, miou={'val': 0.625})
    (path / 'card.json').write_text(card.to_json(), encoding='utf-8')
    return load_bundle(str(path))


@pytest.fixture(scope='module')
def result(
    tiny_bundle: Bundle, learnt: Bundle, camvid: Path, tmp_path_factory: pytest.TempPathFactory
) -> Dict[str, Any]:
    out = tmp_path_factory.mktemp('out')
    models = [part for b in (tiny_bundle, learnt) for part in ('--model', str(b.path))]
    files = ['--plot', str(out / 'a.png'), '--table', str(out / 'a.md'), '--json', str(out / 'a.json')]
    arguments = [*models, '--dataset', 'camvid', '--root', str(camvid), '--camera', '96x128', '--frames', '2', *files]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    found: Dict[str, Any] = json.loads((out / 'a.json').read_text())
    assert (out / 'a.md').read_text() == done.stdout == markdown(found)
    assert cv2.imread(str(out / 'a.png')).std() > 10
    again = CliRunner().invoke(command, arguments)
    assert again.exit_code != 0 and 'not overwriting' in str(again.exception)
    return found


def test_full_half_and_quarter_of_the_input_size(tiny_bundle: Bundle) -> None:
    assert input_sizes(tiny_bundle) == {'full': (64, 96), 'half': (32, 48)}  # a quarter would be 16 rows
    assert input_sizes(load_bundle('fast_scnn-camvid')) == {
        'full': (512, 1024),
        'half': (256, 512),
        'quarter': (128, 256),
    }


def test_figures_are_those_of_the_pipeline(result: Dict[str, Any], tiny_bundle: Bundle, camvid: Path) -> None:
    data = open_dataset('camvid', camvid, 'val')
    for row in result['rows'][:2]:
        pipeline = Pipeline(tiny_bundle, input_size=tuple(row['size']))
        assert row['miou'] == round(evaluate(pipeline, data).confusion.miou(), 4)
        assert row['of_these_weights'] and row['fps'] > 0 and row['camera'] == [96, 128]
        pipeline.close()


def test_what_was_learnt_is_told_by_the_card(result: Dict[str, Any]) -> None:
    rows = [r for r in result['rows'] if r['model'] == 'learnt']
    assert [(r['input'], r['miou'], r['of_these_weights']) for r in rows] == [
        ('full', 0.625, False),
        ('half', None, False),
    ]
    lines = markdown(result).splitlines()
    assert any('| `learnt` | full | 64x96 | 0.625 * |' in line for line in lines)
    assert any('| `learnt` | half | 32x48 | - |' in line for line in lines)
    assert lines[-1].startswith('\\* of the run that chose the recipe')


def test_figures_of_another_dataset_are_measured(learnt: Bundle, camvid: Path, tmp_path: Path) -> None:
    classes = [{'name': n, 'colour': c} for n, c in zip(CAMVID.names, CAMVID.colours)]
    facts = {'name': 'elsewhere', 'ignore_id': CAMVID.ignore_id, 'classes': classes}
    root = shutil.copytree(camvid, tmp_path / 'data')
    (root / 'classes.json').write_text(json.dumps(facts))
    data = open_dataset('folder', root, 'val')
    found = measure_trade_off([str(learnt.path)], data, 'folder', 'val', camera=(96, 128), count=1)
    assert found['dataset'] == 'elsewhere' and all(r['of_these_weights'] for r in found['rows'])
    assert found['rows'][0]['miou'] != 0.625 and found['rows'][1]['miou'] is not None


def test_any_number_of_bundles_is_drawn(result: Dict[str, Any], tmp_path: Path) -> None:
    row = result['rows'][0]
    many = [{**row, 'model': f'net{i}', 'fps': 10.0 + i, 'miou': 0.5 + i / 50} for i in range(10)]
    plot_trade_off({**result, 'rows': many}, tmp_path / 'many.png')
    plot_trade_off({**result, 'rows': [{**row, 'miou': None}]}, tmp_path / 'none.png')
    assert cv2.imread(str(tmp_path / 'many.png')).std() > cv2.imread(str(tmp_path / 'none.png')).std()


def test_labels_keep_clear_of_each_other_and_of_the_legend() -> None:
    """A curve of points too close for one side each: every label finds a place of its own inside the axes."""
    figure = Figure(figsize=(8, 5), dpi=150, layout='constrained')
    axes = figure.add_subplot()
    points = [(1.0, 1.0), (1.1, 1.02), (1.2, 1.01), (3.0, 0.1), (3.0, 1.0), (1.0, 0.1)]
    for x, y in points:
        axes.plot([x], [y], marker='o', label='net')
    labels = [
        axes.annotate('512x1024', point, xytext=(0, 0), textcoords='offset points', fontsize=8) for point in points
    ]
    legend = axes.legend()
    place_labels(axes, labels)
    boxes = [label.get_window_extent() for label in labels] + [legend.get_window_extent()]
    assert not [(a, b) for i, a in enumerate(boxes) for b in boxes[:i] if a.overlaps(b)]
    frame = axes.get_window_extent()
    assert all(frame.contains(box.x0, box.y0) and frame.contains(box.x1, box.y1) for box in boxes)
