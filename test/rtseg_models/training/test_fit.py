# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs in one process: stages, refusals, non-finite loss, full disk, checkpoints read back."""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, List, Tuple

import lightning
import pytest
import torch
from click.testing import CliRunner
from interruptions import SecondEpochFails
from rendered import SIZE, TINY, write_street

from rtseg_models.cli.train_command import command
from rtseg_models.datasets import open_checked
from rtseg_models.datasets.sample import Sample
from rtseg_models.errors import BundleError, ConfigurationError, NotFound, RtsegError
from rtseg_models.export.checkpoint import bundle_from_checkpoint
from rtseg_models.labels import CAMVID
from rtseg_models.networks import build_network
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.epochs import AtomicCheckpoints
from rtseg_models.training.fit import Data, OutOfMemory, train
from rtseg_models.training.module import NonFiniteLoss
from rtseg_models.training.plan import check_plan
from rtseg_models.training.provenance import commit
from rtseg_models.training.recipe import Stage, with_settings

ONE = replace(TINY, epochs=1, batch=4, precision='fp32')


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp('street'), train=4)


@pytest.fixture(scope='module')
def data(root: Path) -> Data:
    opened, counts = open_checked('camvid', root, ['train', 'val'])
    return Data(opened['train'], counts['train'], val=opened['val'])


def test_encoder_first_then_the_whole(data: Data, tmp_path: Path) -> None:
    encoder = Stage('encoder', {'network': 'erfnet_encoder', 'label_scale': 0.125}, 'encoder')
    recipe = replace(ONE, network='erfnet', before=(encoder,), ema=0.0, lr=1e-9, accumulate=2, validate_every=1)
    lines: List[str] = []
    last = train(recipe, data, tmp_path, log=lines.append)
    first, second = read_checkpoint(tmp_path / 'encoder' / 'last.pt'), read_checkpoint(last)
    assert json.loads(first['recipe'])['network'] == 'erfnet_encoder'
    assert second['lineage'] == ['tiny, 1 epochs']
    kept = [k for k in first['ema'] if k.startswith('encoder.') and k.endswith('conv.weight')]
    assert kept and all(torch.allclose(first['ema'][k], second['ema'][k], atol=1e-6) for k in kept)
    assert 0 <= second['history'][0]['val_miou'] <= 1
    assert any('waiting for data' in line for line in lines)


def test_wide_first_then_pruned(data: Data, tmp_path: Path) -> None:
    wide = Stage('wide', {'network_args': {'width': 0.5}}, 'prune')
    recipe = replace(ONE, network='contextnet', network_args={'width': 0.25}, before=(wide,))
    last = read_checkpoint(train(recipe, data, tmp_path))
    target = build_network('contextnet', len(CAMVID), aux=True, width=0.25)
    target.load_state_dict(last['ema'])


def test_what_earlier_runs_learnt_from_is_remembered(data: Data, tmp_path: Path) -> None:
    everything = train(replace(ONE, splits=('train', 'val'), hold_out='0001TP'), data, tmp_path / 'parent')
    held_out = replace(ONE, epochs=2, hold_out='0006R0')
    out = tmp_path / 'child'
    with pytest.raises(KeyError, match='interrupted'):
        train(held_out, data, out, start_from=everything, callbacks=[SecondEpochFails()])
    first = read_checkpoint(out / 'last.pt')
    assert first['trained_on'] == ['train', 'val', 'held_out_drive']  # which is another drive than the parent left out
    assert first['lineage'] == ['tiny, 1 epochs']
    assert first['torch'] == torch.__version__
    kept = read_checkpoint(everything)
    assert kept['trained_on'] == ['train', 'val'] and kept['lineage'] == []
    same = read_checkpoint(train(replace(ONE, hold_out='0001TP'), data, tmp_path / 'same', start_from=everything))
    assert same['trained_on'] == ['train', 'val']
    everything.rename(tmp_path / 'elsewhere.pt')  # all that was taken over stands in the run's own checkpoint
    again = read_checkpoint(train(held_out, data, out, start_from=everything, resume=True))
    assert (first['epoch'], again['epoch']) == (1, 2)
    assert all(again[fact] == first[fact] for fact in ('lineage', 'trained_on', 'torch', 'git_commit'))


def test_the_commit_is_this_projects_or_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*arguments: str) -> str:
        identity = ['-c', 'user.name=x', '-c', 'user.email=x@example.org']
        done = subprocess.run(['git', '-C', str(tmp_path), *identity, *arguments], capture_output=True, text=True)
        return done.stdout.strip()

    git('init')
    for name in ('ours.py', 'theirs.py'):
        (tmp_path / name).write_text('')
    assert commit(tmp_path / 'ours.py') == ''
    git('add', 'ours.py')
    git('commit', '-m', 'First')
    assert commit(tmp_path / 'ours.py') == git('rev-parse', 'HEAD') != ''
    assert commit(tmp_path / 'theirs.py') == ''
    monkeypatch.setenv('PATH', '')
    assert commit(tmp_path / 'ours.py') == ''


def test_refuses_a_folder_in_use_and_other_settings(data: Data, tmp_path: Path) -> None:
    train(ONE, data, tmp_path)
    before = (tmp_path / 'last.pt').read_bytes()
    with pytest.raises(RtsegError, match=r'last\.pt exists already; resume the run or choose another folder'):
        train(ONE, data, tmp_path)
    for other in (replace(ONE, batch=2, epochs=2), replace(ONE, batch=2)):
        with pytest.raises(ConfigurationError, match='batch was 4, is 2'):
            train(other, data, tmp_path, resume=True)
    assert (tmp_path / 'last.pt').read_bytes() == before


class Renamed:
    """A dataset under other class names or with another ignore id."""

    def __init__(self, data: Any, **changes: Any) -> None:
        self.data, self.class_set = data, replace(data.class_set, **changes)

    def __len__(self) -> int:
        return len(self.data)

    def __getitem__(self, index: int) -> Sample:
        return self.data[index]


def test_a_run_does_not_go_on_with_other_classes(data: Data, tmp_path: Path) -> None:
    twice = replace(ONE, epochs=2)
    with pytest.raises(KeyError, match='interrupted'):
        train(twice, data, tmp_path, callbacks=[SecondEpochFails()])
    names = CAMVID.names
    for changes in (
        {'names': (names[1], names[0], *names[2:])},
        {'names': (*names, 'more'), 'colours': (*CAMVID.colours, (1, 2, 3)), 'ignore_id': 12},
        {'ignore_id': 255},
    ):
        other = replace(data, train=Renamed(data.train, **changes))
        with pytest.raises(ConfigurationError, match=r'other classes: they were .*ignored: 11.*; they are') as refused:
            train(twice, other, tmp_path, resume=True)
        assert ', '.join(names) in str(refused.value) and ', '.join(other.train.class_set.names) in str(refused.value)
    assert read_checkpoint(tmp_path / 'last.pt')['epoch'] == 1


def pretend_gpus(monkeypatch: pytest.MonkeyPatch, count: int, capability: Tuple[int, int]) -> None:
    monkeypatch.setattr(torch.cuda, 'is_available', lambda: True)
    monkeypatch.setattr(torch.cuda, 'device_count', lambda: count)
    monkeypatch.setattr(torch.cuda, 'get_device_capability', lambda device=None: capability)
    monkeypatch.setattr(torch.cuda, 'get_device_name', lambda device=None: 'Pretended GPU')


def test_more_processes_than_gpus_are_refused(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 2, (9, 0))
    monkeypatch.setenv('LOCAL_WORLD_SIZE', '3')
    for rank in range(3):  # in each of them, so that none waits for the others
        monkeypatch.setenv('LOCAL_RANK', str(rank))
        with pytest.raises(ConfigurationError, match='3 processes on this machine, which has 2 GPUs'):
            train(ONE, data, tmp_path)


def test_bf16_before_ampere_is_refused_with_what_to_choose(monkeypatch: pytest.MonkeyPatch) -> None:
    pretend_gpus(monkeypatch, 1, (7, 5))
    for precision in ('fp16', 'fp32'):
        check_plan([('', replace(ONE, precision=precision))], [''])
    with pytest.raises(ConfigurationError, match=r'Pretended GPU does not compute in bf16.*choose precision=fp16'):
        check_plan([('first', replace(ONE, precision='bf16')), ('', ONE)], ['weights', ''])
    pretend_gpus(monkeypatch, 1, (8, 0))
    check_plan([('', replace(ONE, precision='bf16'))], [''])


def test_a_single_process_below_srun_trains(data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Lightning refuses SLURM's task counts that are not its own processes."""
    for name, value in {'NTASKS': '4', 'PROCID': '0', 'LOCALID': '0', 'NODEID': '0', 'JOB_NAME': 'train'}.items():
        monkeypatch.setenv(f'SLURM_{name}', value)
    assert read_checkpoint(train(ONE, data, tmp_path))['epoch'] == 1


def test_a_batch_that_cannot_be_spread(data: Data, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='choose a multiple of 3'):
        train(replace(ONE, accumulate=3), data, tmp_path)


def test_non_finite_loss_tells_step_and_rate_and_keeps_the_checkpoint(data: Data, tmp_path: Path) -> None:
    wild = replace(TINY, epochs=4, lr=1e35, precision='fp32', ema=0.0)
    with pytest.raises(NonFiniteLoss, match=r'at step 1 \(epoch 1\)'):  # told exactly, though found at the epoch's end
        train(replace(wild, batch=2), data, tmp_path / 'wilder')
    assert not (tmp_path / 'wilder' / 'last.pt').exists()


class SignalsItself(lightning.Callback):
    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        os.kill(os.getpid(), signal.SIGTERM)


def test_signals_are_handled_as_before_when_a_run_has_ended(data: Data, tmp_path: Path) -> None:
    noted: List[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    ours = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            train(replace(ONE, epochs=2), data, tmp_path / 'first', callbacks=[SignalsItself()])
        assert ended.value.code == 143 and not noted
        assert signal.getsignal(signal.SIGTERM) is ours
        os.kill(os.getpid(), signal.SIGTERM)
        assert noted == [signal.SIGTERM]
    finally:
        signal.signal(signal.SIGTERM, before)
    with ThreadPoolExecutor(1) as thread:
        last = thread.submit(train, replace(ONE, epochs=2), data, tmp_path / 'first', resume=True).result()
    assert read_checkpoint(last)['epoch'] == 2


class LastStepWrecksTheWeights(lightning.Callback):
    def on_train_batch_end(self, trainer: Any, pl_module: Any, *args: Any) -> None:
        if trainer.current_epoch == 1:
            with torch.no_grad():
                next(pl_module.network.parameters()).mul_(1e30)


def test_wrecked_weights_do_not_replace_the_checkpoint(data: Data, tmp_path: Path) -> None:
    twice = replace(ONE, epochs=2)
    with pytest.raises(NonFiniteLoss, match=r'weights left the numbers in epoch 2, learning rate .*lower lr'):
        train(twice, data, tmp_path, callbacks=[LastStepWrecksTheWeights()])
    assert read_checkpoint(tmp_path / 'last.pt')['epoch'] == 1
    staged = replace(ONE, before=(Stage('small', {'epochs': 2}, 'weights'),))
    with pytest.raises(NonFiniteLoss, match=r'lower small\.lr, then --resume'):
        train(staged, data, tmp_path / 'staged', callbacks=[LastStepWrecksTheWeights()])
    with pytest.raises(NonFiniteLoss, match=r'lower small\.lr, then --resume'):
        train(with_settings(staged, ['small.lr=1e35']), data, tmp_path / 'staged', resume=True)
    lower = with_settings(staged, ['small.lr=1e-3'])
    assert read_checkpoint(train(lower, data, tmp_path / 'staged', resume=True))['epoch'] == 1
    assert json.loads(read_checkpoint(tmp_path / 'staged' / 'small' / 'last.pt')['recipe'])['lr'] == 1e-3
    assert read_checkpoint(train(twice, data, tmp_path, resume=True))['epoch'] == 2


class MemoryRunsOut(lightning.Callback):
    def __init__(self, error: BaseException) -> None:
        self.error = error

    def on_train_batch_start(self, trainer: Any, *args: Any) -> None:
        if trainer.current_epoch == 1:
            raise self.error


@pytest.mark.parametrize(
    'error',
    [
        torch.cuda.OutOfMemoryError('CUDA out of memory.\nMore of it'),
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
    ],
    ids=['gpu', 'host', 'allocator'],
)
def test_a_step_that_does_not_fit_the_memory_is_told_and_can_be_spread(
    error: BaseException, data: Data, tmp_path: Path
) -> None:
    twice = replace(ONE, epochs=2)
    with pytest.raises(OutOfMemory, match=r'in a step of 4 crops of 64x96 in 1 passes: raise accumulate, then --res'):
        train(twice, data, tmp_path, callbacks=[MemoryRunsOut(error)])
    last = read_checkpoint(train(replace(twice, accumulate=2), data, tmp_path, resume=True))
    assert last['epoch'] == 2 and json.loads(last['recipe'])['accumulate'] == 2
    with pytest.raises(RuntimeError, match='another'):
        train(twice, data, tmp_path / 'other', callbacks=[MemoryRunsOut(RuntimeError('another'))])


def test_plans_that_do_not_fit_are_refused_before_anything_is_trained(data: Data, tmp_path: Path) -> None:
    wide = Stage('wide', {'network_args': {'width': 0.5}}, 'prune')
    pruned = replace(ONE, network='contextnet', network_args={'width': 0.25, 'context_scale': 2}, before=(wide,))
    with pytest.raises(ConfigurationError, match='pruning keeps all but the width'):
        train(pruned, data, tmp_path / 'pruned')
    with pytest.raises(ConfigurationError, match='fp16 needs a GPU'):
        train(replace(ONE, precision='fp16'), data, tmp_path / 'fp16')
    with pytest.raises(NotFound, match='no such checkpoint'):
        train(ONE, data, tmp_path / 'start', start_from=tmp_path / 'none.pt')
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match='two images or more in a forward pass'):
        train(replace(ONE, network='fast_scnn', batch=1), data, tmp_path / 'one')


def test_full_disk_keeps_the_previous_checkpoint(tmp_path: Path) -> None:
    path = tmp_path / 'last.pt'
    AtomicCheckpoints().save_checkpoint({'epoch': 1}, path)
    before = path.read_bytes()
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, hard))  # what a full disk does to a large file
    try:
        with pytest.raises(RtsegError, match=r'checkpoint not written .*; the previous one is kept'):
            AtomicCheckpoints().save_checkpoint({'weights': torch.zeros(100_000)}, path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ['last.pt']


def test_checkpoints_that_are_none(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match='no such checkpoint'):
        read_checkpoint(tmp_path / 'none.pt')
    broken = tmp_path / 'broken.pt'
    for content in (
        b'PK\x03\x04 cut short',
        b'',
        b'head\n',
        b'version https://git-lfs\n',
        b'<html>',
    ):
        broken.write_bytes(content)
        with pytest.raises(BundleError, match='not a checkpoint that can be read') as caught:
            read_checkpoint(broken)
        assert '\n' not in str(caught.value) and 'weights_only' not in str(caught.value)
    torch.save({'weights': torch.zeros(1)}, tmp_path / 'other.pt')
    with pytest.raises(BundleError, match='not a checkpoint of rtseg train: ema, epoch'):
        read_checkpoint(tmp_path / 'other.pt')


def test_a_checkpoint_of_the_first_layout_becomes_a_bundle(tmp_path: Path) -> None:
    """Untrained, too: its many equal tensors stay apart in the graph."""
    network = build_network('fast_scnn', len(CAMVID), aux=True)
    recipe = {**asdict(ONE), 'input_size': SIZE}
    state = {'ema': network.state_dict(), 'epoch': 3, 'minutes': 1.0, 'recipe': json.dumps(recipe)}
    torch.save({**state, 'class_set': 'camvid', 'hardware': 'here', 'lineage': []}, tmp_path / 'last.pt')
    bundle = bundle_from_checkpoint(tmp_path / 'last.pt', tmp_path / 'bundle')
    assert bundle.card.class_names == CAMVID.names
    assert (bundle.card.mean, bundle.card.std, bundle.card.input_size) == (ONE.mean, ONE.std, SIZE)
    assert bundle.card.origin['trained_on'] == ['train'] and bundle.card.origin['epochs'] == 3


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
    card = json.loads((out / 'bundle' / 'card.json').read_text())
    assert set(card['miou']) == {'val', 'held_out_drive'}
    assert list((out / 'tensorboard').glob('events*'))


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
