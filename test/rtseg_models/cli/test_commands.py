# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner

from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.cli import evaluate_command, export_command, recipes_command, verify_command
from rtseg_models.datasets import open_dataset
from rtseg_models.engine import Pipeline
from rtseg_models.engine.paint import blend
from rtseg_models.errors import BundleError, NotFound, Unavailable
from rtseg_models.evaluation import evaluate
from rtseg_models.export.figures import rewrite_card
from rtseg_models.labels import CAMVID
from rtseg_models.street import Street
from rtseg_models.training.recipes import RECIPES


def rtseg(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, '-m', 'rtseg_models.cli', *map(str, arguments)], capture_output=True, text=True
    )


@pytest.fixture(scope='module')
def camvid(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three rendered images in CamVid's layout."""
    root = tmp_path_factory.mktemp('camvid')
    for folder in ('val', 'valannot'):
        (root / folder).mkdir()
    street = Street(5, height=90, width=120)
    for i in range(3):
        frame = street.frame(20 * i)
        cv2.imwrite(str(root / 'val' / f'{i:04d}.png'), frame.rgb[:, :, ::-1])
        cv2.imwrite(str(root / 'valannot' / f'{i:04d}.png'), frame.label)
    return root


def test_help_names_every_command_without_importing_one() -> None:
    done = rtseg('--help')
    assert done.returncode == 0
    for name in ('models', 'bundles', 'predict', 'evaluate', 'benchmark', 'train', 'recipes', 'export', 'import'):
        assert name in done.stdout


def test_models_counts_what_it_builds() -> None:
    done = rtseg('models', '--json', '-')
    rows = {row['name']: row for row in json.loads(done.stdout)}
    assert rows['dabnet']['params'] == 756_643
    assert rows['erfnet']['params'] == 2_064_191
    assert set(rows['fast_scnn']) == {'name', 'paper', 'year', 'params', 'macs', 'size', 'published'}
    assert {'contextnet', 'farsee_net', 'enet', 'contextnet_cn124', 'contextnet_cn14_500'} <= rows.keys()


def test_bundles_lists_what_is_shipped() -> None:
    done = rtseg('bundles', '--json', '-')
    names = {row['name']: row for row in json.loads(done.stdout)}
    assert names['fast_scnn-camvid']['miou']['val'] >= 0.54


def test_predict_writes_the_pipelines_labels(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    done = rtseg('predict', camvid / 'val', '--model', tiny_bundle.path, '--out', out)
    assert done.returncode == 0, done.stderr
    labels = cv2.imread(str(out / 'labels' / '0001.png'), cv2.IMREAD_UNCHANGED)
    rgb = cv2.imread(str(camvid / 'val' / '0001.png'))[:, :, ::-1].copy()
    assert np.array_equal(labels, Pipeline(tiny_bundle)(rgb).labels)
    shown = cv2.imread(str(out / 'overlays' / '0001.jpg'))[:, :, ::-1]
    expected = blend(rgb, labels, np.array(tiny_bundle.card.colour_table(), np.uint8), 0.5).astype(int)
    assert shown.shape == (90, 120, 3)
    off, swapped = (np.abs(image - expected).mean() for image in (shown, shown[:, :, ::-1]))
    assert off < 5 and off < swapped / 2  # of 255: what JPEG costs
    again = rtseg('predict', camvid / 'val', '--model', tiny_bundle.path, '--out', out)
    assert again.returncode == 2
    assert 'not overwriting' in again.stderr


def test_evaluate_equals_a_count_by_hand(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / 'figures.json'
    done = rtseg(
        'evaluate',
        '--model',
        tiny_bundle.path,
        '--dataset',
        'camvid',
        '--root',
        camvid,
        '--split',
        'val',
        '--json',
        path,
    )
    assert done.returncode == 0, done.stderr
    figures = json.loads(path.read_text())
    assert figures['frames'] == 3
    pipeline, right, total = Pipeline(tiny_bundle), 0, 0
    for i in range(3):
        rgb = cv2.imread(str(camvid / 'val' / f'{i:04d}.png'))[:, :, ::-1].copy()
        label = cv2.imread(str(camvid / 'valannot' / f'{i:04d}.png'), cv2.IMREAD_UNCHANGED)
        right += int((pipeline(rgb).labels == label)[label != 11].sum())
        total += int((label != 11).sum())
    assert figures['pixel_accuracy'] == pytest.approx(right / total, abs=1e-12)
    assert set(figures['iou']) == set(tiny_bundle.card.class_names)


def test_evaluate_measures_what_it_is_asked_to(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / 'figures.json'
    options = ['--size', '96x128', '--backend', 'torch', '--precision', 'fp32', '--device', 'cpu', '--json', str(path)]
    arguments = ['--model', str(tiny_bundle.path), '--dataset', 'camvid', '--root', str(camvid), '--split', 'val']
    done = CliRunner().invoke(evaluate_command.command, [*arguments, *options], catch_exceptions=False)
    assert done.exit_code == 0
    figures = json.loads(path.read_text())
    assert (figures['input_size'], figures['backend'], figures['precision']) == ([96, 128], 'torch', 'fp32')
    with Pipeline(tiny_bundle, backend='torch', input_size=(96, 128)) as pipeline:
        measured = evaluate(pipeline, open_dataset('camvid', camvid, 'val')).confusion
    assert (
        figures['miou']
        == measured.miou()
        != evaluate(Pipeline(tiny_bundle), open_dataset('camvid', camvid, 'val')).confusion.miou()
    )


def test_recipes_are_listed_for_people_and_programs() -> None:
    shown = CliRunner().invoke(recipes_command.command, [], catch_exceptions=False).output
    told = json.loads(CliRunner().invoke(recipes_command.command, ['--json', '-'], catch_exceptions=False).output)
    assert [recipe['name'] for recipe in told] == list(RECIPES)
    assert all(name in shown for name in RECIPES)


def test_evaluate_looks_at_all_models_before_it_measures_one(
    camvid: Path, tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(evaluate_command, 'evaluate', lambda *_: pytest.fail('measured a model'))
    models = ['--model', str(tiny_bundle.path), '--model', '/nowhere']
    with pytest.raises(NotFound, match='/nowhere'):
        CliRunner().invoke(
            evaluate_command.command, [*models, '--dataset', 'camvid', '--root', str(camvid)], catch_exceptions=False
        )


def test_evaluate_warns_of_what_the_weights_have_seen(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / 'bundle'
    shutil.copytree(tiny_bundle.path, folder)
    for before, warned in (('val', True), ('train', False)):  # on CamVid, in a run before the last
        seen = {'yard': ['train', 'val'], 'camvid': [before]}
        origin = {'trained_on': seen['yard'], 'learnt_from': seen, 'recipe': {'dataset': 'folder'}}
        rewrite_card(load_bundle(str(folder)), replace(tiny_bundle.card, dataset='yard', origin=origin))
        done = rtseg('evaluate', '--model', folder, '--dataset', 'camvid', '--root', camvid)
        assert done.returncode == 0, done.stderr
        assert ('was trained on the val split of camvid: this figure is too optimistic' in done.stderr) == warned


def test_predict_tells_of_a_video_that_is_cut_short(tiny_bundle: Bundle, tmp_path: Path) -> None:
    video = tmp_path / 'drive.avi'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'MJPG'), 10, (96, 64))
    for seed in range(40):
        writer.write(np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8))
    writer.release()
    whole = rtseg('predict', video, '--model', tiny_bundle.path, '--out', tmp_path / 'whole')
    assert whole.returncode == 0 and '40 frames' in whole.stdout, whole.stderr
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    done = rtseg('predict', video, '--model', tiny_bundle.path, '--out', tmp_path / 'cut')
    assert done.returncode == 65 and 'of 40 frames could be read' in done.stderr, done.stderr
    assert len(list((tmp_path / 'cut' / 'labels' / 'drive').iterdir())) >= 10


def test_predict_says_of_a_file_that_it_cannot_decode_one_sentence(tiny_bundle: Bundle, tmp_path: Path) -> None:
    path = tmp_path / 'drive.mp4'
    path.write_bytes(b'no video')
    done = rtseg('predict', path, '--model', tiny_bundle.path, '--out', tmp_path / 'out')
    assert done.returncode == 65
    assert done.stderr.strip() == f'rtseg: {path}: not a video that OpenCV can read, nor an image'
    assert not (tmp_path / 'out').exists()


def test_predict_labels_what_can_be_read_and_names_the_rest(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / 'images'
    shutil.copytree(camvid / 'val', folder)
    (folder / '0001.png').write_bytes(b'no image')
    (folder / '0000a.png').symlink_to('nowhere.png')
    (folder / '0000b.png').mkdir()
    done = rtseg('predict', folder, '--model', tiny_bundle.path, '--out', tmp_path / 'out')
    assert done.returncode == 65, done.stderr
    assert all(name in done.stderr for name in ('0001.png', '0000a.png', '0000b.png'))
    assert sorted(p.stem for p in (tmp_path / 'out' / 'labels').iterdir()) == ['0000', '0002']


def test_class_names_with_brackets_are_shown_as_they_are(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    names = ('[/road]', '[bold]', *CAMVID.names[2:])
    folder = tmp_path / 'bundle'
    shutil.copytree(tiny_bundle.path, folder)
    rewrite_card(load_bundle(str(folder)), replace(tiny_bundle.card, class_names=names))
    dataset = shutil.copytree(camvid, tmp_path / 'data')
    classes = [{'name': name, 'colour': [0, 0, i]} for i, name in enumerate(names)]
    (dataset / 'classes.json').write_text(json.dumps({'name': 'odd', 'ignore_id': 11, 'classes': classes}))
    done = rtseg('evaluate', '--model', folder, '--dataset', 'folder', '--root', dataset, '--split', 'val')
    assert done.returncode == 0, done.stderr
    assert '[/road]' in done.stdout and '[bold]' in done.stdout


def test_export_looks_at_its_dataset_first(tiny_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / 'out'
    done = rtseg('export', tiny_bundle.path, '--out', out, '--dataset', 'camvid', '--root', tmp_path / 'nowhere')
    assert done.returncode == 66 and not out.exists()


def test_predict_refuses_inputs_that_would_have_one_name(camvid: Path, tiny_bundle: Bundle, tmp_path: Path) -> None:
    folder = tmp_path / 'images'
    shutil.copytree(camvid / 'val', folder)
    shutil.copy(folder / '0001.png', folder / '0001.jpg')
    for inputs in ([folder], [folder / '0000.png', camvid / 'val' / '0000.png'], [folder / '0000.png'] * 2):
        done = rtseg('predict', *inputs, '--model', tiny_bundle.path, '--out', tmp_path / 'out')
        assert done.returncode == 2 and 'would both become' in done.stderr, done.stderr
        assert not (tmp_path / 'out').exists()


def test_a_result_that_cannot_be_written_is_refused_before_the_work(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / 'file').write_text('in the way')
    done = rtseg('verify', tiny_bundle.path, '--json', tmp_path / 'file' / 'result.json')
    assert done.returncode == 70 and 'Traceback' not in done.stderr, done.stderr
    assert str(tmp_path / 'file') in done.stderr and 'agrees' not in done.stdout


@pytest.mark.parametrize('name', ['speed', 'speed.txt', 'run.v2'])
def test_pictures_of_no_known_kind_are_refused_before_the_work(name: str, tmp_path: Path) -> None:
    (tmp_path / 'speed.png').write_text('of somebody else')
    for command in ('benchmark', 'figures'):
        done = rtseg(command, '--plot', tmp_path / name)
        assert done.returncode == 2 and 'ends in none of .png, .svg' in ' '.join(done.stderr.split()), done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ['speed.png']


def test_verify_runs_the_golden_sample_everywhere(tiny_bundle: Bundle) -> None:
    done = rtseg('verify', tiny_bundle.path, '--json', '-')
    assert done.returncode == 0, done.stderr
    rows = {(row['backend'], row['precision']): row for row in json.loads(done.stdout) if row['device'] == 'cpu'}
    assert {rows[b, 'fp32']['result'] for b in ('openvino', 'onnxruntime', 'torch')} == {'agrees'}


def test_verify_runs_what_the_node_runs_too(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    """Both precisions are tried where they differ, and what one runtime raises does not end the others."""

    class Opened:
        def __init__(self, name: str, precision: str) -> None:
            chosen = 'bf16' if (name, precision) == ('openvino', 'auto') else 'fp32'
            self.name, self.backend = name, SimpleNamespace(precision=chosen)

        def self_test(self) -> float:
            if self.name == 'onnxruntime':
                raise MemoryError('no room')
            return 0.995 if self.backend.precision == 'bf16' else 1.0

        def __enter__(self) -> Any:
            return self

        def __exit__(self, *_: object) -> None:
            pass

    monkeypatch.setattr(verify_command, 'installed', lambda name: name != 'tensorrt')
    monkeypatch.setattr(verify_command, 'nvidia_gpu_present', lambda: False)
    monkeypatch.setattr(
        verify_command, 'open_for_command', lambda bundle, backend, options: Opened(backend, options.precision)
    )
    result = CliRunner().invoke(verify_command.command, [str(tiny_bundle.path), '--json', '-'])
    rows = [[row[k] for k in ('backend', 'precision', 'result')] for row in json.loads(result.output)]
    assert rows == [
        ['openvino', 'bf16', 'agrees'],
        ['openvino', 'fp32', 'agrees'],
        ['onnxruntime', 'fp32', 'MemoryError: no room'],
        ['torch', 'fp32', 'agrees'],
        ['tensorrt', 'auto', 'not available here'],
    ]
    assert isinstance(result.exception, BundleError) and 'onnxruntime fp32 on cpu failed' in str(result.exception)


def test_verify_without_any_runtime_has_not_done_its_job(tiny_bundle: Bundle, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(verify_command, 'installed', lambda name: False)
    with pytest.raises(Unavailable, match='no runtime could be tried; install one of: openvino, onnxruntime, torch'):
        CliRunner().invoke(verify_command.command, [str(tiny_bundle.path)], catch_exceptions=False)


@pytest.mark.parametrize('command', ['verify', 'build'])
@pytest.mark.parametrize('facts', [{'output_stride': 4}, {'network_args': {'colour': 'blue'}}])
def test_a_card_that_contradicts_its_network_is_one_sentence(
    tiny_bundle: Bundle, tmp_path: Path, command: str, facts: dict[str, Any]
) -> None:
    card = Path(shutil.copytree(tiny_bundle.path, tmp_path / 'bundle')) / 'card.json'
    card.write_text(json.dumps({**json.loads(card.read_text()), **facts}))
    options = ('--backend', 'torch', '--cache-dir', tmp_path / 'cache') if command == 'build' else ()
    done = rtseg(command, card.parent, *options)
    assert done.returncode == 65, done.stderr
    assert f"{card}: field '{next(iter(facts))}' is " in done.stderr and done.stderr.count('\n') == 1


def test_export_adds_sizes_to_a_bundle_folder(tiny_bundle: Bundle, tmp_path: Path) -> None:
    out = tmp_path / 'more'
    done = rtseg('export', tiny_bundle.path, '--out', out, '--size', '64x64')
    assert done.returncode == 0, done.stderr
    assert load_bundle(str(out)).sizes() == [(64, 64), (64, 96), (96, 128)]


def test_export_takes_a_shipped_bundle_by_its_name(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr('rtseg_models.bundle.ZOO', tiny_bundle.path.parent)
    arguments = [tiny_bundle.path.name, '--out', str(tmp_path / 'more'), '--size', '64x64']
    assert CliRunner().invoke(export_command.command, arguments, catch_exceptions=False).exit_code == 0
    assert load_bundle(str(tmp_path / 'more')).sizes() == [(64, 64), (64, 96), (96, 128)]


@pytest.mark.parametrize(
    'arguments,code,said',
    [
        (('predict', '/nowhere.png', '--out', '{tmp}/x'), 66, '/nowhere.png'),
        (('verify', '/nowhere'), 66, '/nowhere'),
        (('evaluate', '--model', 'fast_scnn-camvid', '--dataset', 'camvid', '--root', '{tmp}'), 66, 'val'),
        (('evaluate', '--model', 'fast_scnn-camvid', '--dataset', 'mars'), 2, 'mars'),
        (('export', '{tmp}/none.pt', '--out', '{tmp}/x'), 66, 'none.pt'),
        (('import', 'dabnet', '{tmp}/none.pth', '--out', '{tmp}/x'), 66, 'none.pth'),
        (('import', 'dabnet', '{tmp}/other.pth', '--out', '{tmp}/x'), 65, 'other.pth'),
        (('train', 'no-such-recipe', '--root', '{tmp}', '--out', '{tmp}/x'), 2, 'no-such-recipe'),
        (('predict', '--size', '512', '--out', '{tmp}/x', '/nowhere.png'), 2, '512'),
        (('predict', '--threads', '-1', '--out', '{tmp}/x', '/nowhere.png'), 2, '-1'),
        (('predict', '--device', 'tpu', '--out', '{tmp}/x', '/nowhere.png'), 2, 'tpu'),
        (('benchmark', '--device', 'cuda:one', '--model', 'fast_scnn-camvid'), 2, 'cuda:one'),
        (('verify', '~nobody-of-that-name/x'), 66, '~nobody-of-that-name/x'),
    ],
)
def test_a_fault_is_one_sentence_and_the_right_code(
    arguments: tuple[str, ...], code: int, said: str, tmp_path: Path
) -> None:
    torch.save({'weight': torch.zeros(2)}, tmp_path / 'other.pth')
    done = rtseg(*(a.format(tmp=tmp_path) for a in arguments))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert 'Traceback' not in done.stderr
    assert not (tmp_path / 'x').exists()
