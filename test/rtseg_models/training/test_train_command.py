# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg train``: wrong settings and data, and all that a run leaves."""

from __future__ import annotations

import json
import shutil
from functools import partial
from pathlib import Path
from typing import Any, List

import cv2
import numpy as np
import pytest
from click.testing import CliRunner
from interruptions import SecondEpochFails
from rendered import SIZE, write_street

from rtseg_models.bundle import load_bundle
from rtseg_models.cli import train_command as train_module
from rtseg_models.cli.export_command import command as export_command
from rtseg_models.cli.train_command import command
from rtseg_models.datasets import open_dataset
from rtseg_models.datasets.sample import hold_out
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.errors import BundleError, ConfigurationError, RtsegError
from rtseg_models.evaluation import evaluate
from rtseg_models.labels import CAMVID, UNLABELLED
from rtseg_models.training import fit
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.fit import Data


def test_the_command_lists_every_fault_and_writes_nothing(tmp_path: Path) -> None:
    root = write_street(tmp_path / 'street', train=3, val=1)
    (root / 'trainannot' / 'train_0.png').unlink()
    png = root / 'train' / 'train_1.png'
    png.write_bytes(png.read_bytes()[:-400])
    (root / 'val' / 'val_0.png').unlink()
    result = CliRunner().invoke(
        command, ['fast_scnn-camvid-only', '--root', str(root), '--out', str(tmp_path / 'out')], catch_exceptions=True
    )
    message = str(result.exception)
    assert isinstance(result.exception, BundleError)
    assert 'train_0.png: no label image' in message and 'truncated PNG' in message and 'no images in it' in message
    assert not (tmp_path / 'out').exists()


def test_what_needs_no_image_is_refused_before_any_is_looked_at(tmp_path: Path) -> None:
    arguments = ['fast_scnn-camvid-only', '--root', '/none', '--out', str(tmp_path / 'out'), '--set', 'accumulate=7']
    result = CliRunner().invoke(command, arguments)
    assert isinstance(result.exception, ConfigurationError) and 'cannot be spread' in str(result.exception)


def test_faults_of_all_data_are_told_together() -> None:
    def fails(text: str) -> Any:
        raise BundleError(text)

    with pytest.raises(BundleError, match=r'(?s)no image.*no label'):
        train_module._checked(lambda: fails('no image'), lambda: 1, lambda: fails('no label'))
    assert train_module._checked(lambda: 1, lambda: 2) == [1, 2]


@pytest.mark.parametrize('beginning,part', [('train_1', 'held out'), ('train_[02]', 'learnt from')])
def test_a_part_without_labels_is_found_before_training(beginning: str, part: str, tmp_path: Path) -> None:
    """One of the two parts that a held-out drive leaves has labels, so that the split as a whole has."""
    root = write_street(tmp_path / 'street', train=3, val=1)
    for path in (root / 'trainannot').glob(f'{beginning}.png'):
        cv2.imwrite(str(path), np.full(SIZE, UNLABELLED, np.uint8))
    arguments = ['fast_scnn-camvid-only', '--root', str(root), '--out', str(tmp_path / 'out')]
    result = CliRunner().invoke(command, [*arguments, '--set', 'hold_out=train_1'])
    assert isinstance(result.exception, BundleError)
    assert f"hold_out is 'train_1': no pixel of what is {part} is labelled" in str(result.exception)
    assert not (tmp_path / 'out').exists()


def test_a_wrong_setting_is_a_usage_error(tmp_path: Path) -> None:
    arguments = ['fast_scnn-camvid', '--root', str(tmp_path), '--out', str(tmp_path / 'out'), '--set', 'epoch=3']
    result = CliRunner().invoke(command, arguments)
    assert result.exit_code == 2 and 'epochs' in result.output
    for setting, known in (('dataset=camvit', 'cityscapes_coarse'), ('network=fast_scn', 'fast_scnn')):
        result = CliRunner().invoke(command, [*arguments[:-1], setting])
        assert result.exit_code == 2 and known in result.output
    for setting, why in (
        ('network_args={"foo":1}', "unexpected keyword argument 'foo'"),
        ('network_args={"dropout":2}', 'dropout'),
        ('input_size=[64,4160]', '32 to 4096'),
    ):
        result = CliRunner().invoke(command, [*arguments[:-1], setting])
        assert result.exit_code == 2 and why in result.output, result.output
    small = ['contextnet-camvid', *arguments[1:-1], 'network=contextnet_cn18', '--set', 'crop=[32,48]']
    result = CliRunner().invoke(command, small)
    assert result.exit_code == 2 and 'contextnet_cn18 needs sides of 64 pixels or more' in result.output
    (tmp_path / 'out' / 'bundle').mkdir(parents=True)
    result = CliRunner().invoke(command, arguments[:-2])
    assert isinstance(result.exception, RtsegError) and 'bundle is not of this run' in str(result.exception)


def test_rendered_frames_beside_other_classes_are_refused_with_the_way_out(root: Path, tmp_path: Path) -> None:
    yard = shutil.copytree(root, tmp_path / 'yard')
    classes = [{'name': f'c{i}', 'colour': [i, 0, 0]} for i in range(len(CAMVID))]
    (yard / 'classes.json').write_text(json.dumps({'classes': classes, 'ignore_id': 11}))
    out = tmp_path / 'out'
    arguments = ['fast_scnn-camvid', '--root', str(yard), '--out', str(out), '--set', 'dataset=folder']
    said = ' '.join(CliRunner().invoke(command, arguments).output.split())
    way = ['--set', 'street_frames=0', '--set', 'street_share=0']
    assert 'rendered frames have the classes of CamVid only: ' + ' '.join(way) in said
    size = ','.join(map(str, SIZE))
    settings = ['epochs=1', 'batch=4', f'crop=[{size}]', f'input_size=[{size}]', 'validate_every=0']
    done = CliRunner().invoke(command, arguments + way + [a for s in settings for a in ('--set', s)])
    assert done.exit_code == 0, done.output
    assert json.loads((out / 'bundle' / 'card.json').read_text())['classes'][0]['name'] == 'c0'


def test_the_command_leaves_all_results(root: Path, tmp_path: Path) -> None:
    size = ','.join(map(str, SIZE))
    settings = ['epochs=2', 'batch=4', f'crop=[{size}]', f'input_size=[{size}]', 'hold_out=train_1', 'validate_every=1']
    arguments = ['fast_scnn-camvid-only', '--root', str(root), '--out', str(tmp_path / 'out')]
    result = CliRunner().invoke(command, arguments + [a for s in settings for a in ('--set', s)])
    assert result.exit_code == 0, result.output
    out = tmp_path / 'out'
    facts = json.loads((out / 'configuration.json').read_text())
    assert facts['recipe']['epochs'] == 2 and facts['samples'] == 3 and facts['class_set'] == 'camvid'
    assert (out / 'curves.png').read_bytes().startswith(b'\x89PNG')
    rows = (out / 'classes.csv').read_text().splitlines()
    assert rows[0] == 'class,val,held_out_drive' and len(rows) == 13
    table = {name: cells for name, *cells in (row.split(',') for row in rows[1:])}
    card = json.loads((out / 'bundle' / 'card.json').read_text())
    for i, part in enumerate(('val', 'held_out_drive')):
        for name, iou in card['origin']['iou'][part].items():
            assert (float(table[name][i]) if table[name][i] else None) == iou, name
    pipeline = Pipeline(load_bundle(str(out / 'bundle')), options=Options(precision='fp32'))
    parts = {'val': open_dataset('camvid', root, 'val')}
    parts['held_out_drive'] = hold_out(open_dataset('camvid', root, 'train'), 'train_1')[1]
    figures = {name: round(evaluate(pipeline, data).confusion.miou(), 4) for name, data in parts.items()}
    assert card['miou'] == figures and figures['val'] != figures['held_out_drive']
    assert list((out / 'tensorboard').glob('events*'))
    files = {path: path.read_bytes() for path in (out / 'last.pt', out / 'bundle' / 'model.safetensors')}
    every = [a for s in settings for a in ('--set', s)]
    again = CliRunner().invoke(command, [*arguments, *every])
    assert isinstance(again.exception, RtsegError) and 'exists already' in str(again.exception)
    again = CliRunner().invoke(command, [*arguments, *every, '--resume'])  # there is nothing left to do
    assert again.exit_code == 0, again.output
    assert files == {path: path.read_bytes() for path in files}
    exported = ['--dataset', 'camvid', '--root', str(root), '--out', str(tmp_path / 'exported')]
    done = CliRunner().invoke(export_command, [str(out / 'last.pt'), *exported])
    assert done.exit_code == 0, done.output
    assert load_bundle(str(tmp_path / 'exported')).card.miou == {'val': figures['val']}


def test_the_command_goes_on_where_it_was_stopped(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = [f'{name}={json.dumps(SIZE)}' for name in ('crop', 'input_size')] + ['epochs=2', 'batch=4']
    arguments = ['fast_scnn-camvid-only', '--root', str(root), '--out', str(tmp_path / 'out')]
    arguments += [a for s in settings for a in ('--set', s)]
    with monkeypatch.context() as patch:
        patch.setattr(train_module, 'train', partial(fit.train, callbacks=[SecondEpochFails()]))
        assert isinstance(CliRunner().invoke(command, arguments).exception, KeyError)
    assert read_checkpoint(tmp_path / 'out' / 'last.pt')['epoch'] == 1
    done = CliRunner().invoke(command, [*arguments, '--resume'])
    assert done.exit_code == 0, done.output
    assert 'resumed after epoch 1' in done.output and 'epoch 1/2' not in done.output
    assert (tmp_path / 'out' / 'bundle' / 'card.json').is_file()


def test_the_command_renders_the_frames_that_the_recipe_wants(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: List[Data] = []

    def noted(recipe: Any, data: Data, out: Path, **options: Any) -> Path:
        given.append(data)
        raise KeyError('enough')

    monkeypatch.setattr(train_module, 'train', noted)
    arguments = ['fast_scnn-camvid', '--root', str(root), '--out', str(tmp_path / 'out'), '--set', 'street_frames=7']
    assert isinstance(CliRunner().invoke(command, arguments).exception, KeyError)
    assert len({sample.name for sample in given[0].street}) == 7


def test_a_split_that_was_learnt_from_is_not_measured(root: Path, tmp_path: Path) -> None:
    size = ','.join(map(str, SIZE))
    settings = ['epochs=1', 'batch=4', f'crop=[{size}]', f'input_size=[{size}]', 'splits=["train","val"]']
    arguments = ['fast_scnn-camvid-only', '--root', str(root), '--out', str(tmp_path / 'out')]
    result = CliRunner().invoke(command, arguments + [a for s in settings for a in ('--set', s)])
    assert result.exit_code == 0, result.output
    assert 'not measured, since all splits were trained on' in ' '.join(result.output.split())
    card = json.loads((tmp_path / 'out' / 'bundle' / 'card.json').read_text())
    assert card['miou'] == {} and card['origin']['trained_on'] == ['train', 'val']
    assert json.loads((tmp_path / 'out' / 'configuration.json').read_text())['samples'] == 6
