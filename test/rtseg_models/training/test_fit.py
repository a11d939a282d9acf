# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs in one process: stages, signals, non-finite loss, full disk and memory, checkpoints read back."""

from __future__ import annotations

import json
import resource
import signal
import subprocess
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, List

import lightning
import pytest
import torch
from interruptions import SecondEpochFails
from rendered import ONE, SIZE, TINY, runs

from rtseg_models.errors import BundleError, NotFound, RtsegError
from rtseg_models.export.checkpoint import bundle_from_checkpoint
from rtseg_models.labels import CAMVID
from rtseg_models.networks import build_network
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.epochs import AtomicCheckpoints
from rtseg_models.training.fit import Data, OutOfMemory, train
from rtseg_models.training.module import NonFiniteLoss
from rtseg_models.training.provenance import commit
from rtseg_models.training.recipe import Stage, with_settings


def test_encoder_first_then_the_whole(data: Data, tmp_path: Path) -> None:
    encoder = Stage('encoder', {'network': 'erfnet_encoder', 'label_scale': 0.125}, 'encoder')
    recipe = replace(ONE, network='erfnet', before=(encoder,), ema=0.0, lr=1e-9, accumulate=2, validate_every=1)
    lines: List[str] = []
    last = train(recipe, data, tmp_path, log=lines.append)
    first, second = read_checkpoint(tmp_path / 'encoder' / 'last.pt'), read_checkpoint(last)
    assert json.loads(first['recipe'])['network'] == 'erfnet_encoder'
    assert runs(second['lineage']) == ['tiny, 1 epochs']
    kept = [k for k in first['ema'] if k.startswith('encoder.') and k.endswith('conv.weight')]
    assert kept and all(torch.allclose(first['ema'][k], second['ema'][k], atol=1e-6) for k in kept)
    assert 0 <= second['history'][0]['val_miou'] <= 1
    assert any('waiting for data' in line for line in lines)


WIDER = {'network_args': {'width': 0.5}}


def test_wide_first_then_pruned(data: Data, tmp_path: Path) -> None:
    wide = Stage('wide', WIDER, 'prune')
    recipe = replace(ONE, network='contextnet', network_args={'width': 0.25}, before=(wide,))
    last = read_checkpoint(train(recipe, data, tmp_path))
    target = build_network('contextnet', len(CAMVID), aux=True, width=0.25)
    target.load_state_dict(last['ema'])
    variant = replace(recipe, network='contextnet_cn14_160', network_args={}, before=(wide,))
    last = read_checkpoint(train(variant, data, tmp_path / 'variant'))
    build_network('contextnet_cn14_160', len(CAMVID), aux=True).load_state_dict(last['ema'])


def test_one_stage_is_validated_where_another_is_not(data: Data, tmp_path: Path) -> None:
    small = Stage('small', {'validate_every': 0}, 'weights')
    last = train(replace(ONE, before=(small,), validate_every=1), data, tmp_path)
    assert 'val_miou' in read_checkpoint(last)['history'][0]
    assert 'val_miou' not in read_checkpoint(tmp_path / 'small' / 'last.pt')['history'][0]


def test_what_earlier_runs_learnt_from_is_remembered(data: Data, tmp_path: Path) -> None:
    everything = train(replace(ONE, splits=('train', 'val'), hold_out='0001TP'), data, tmp_path / 'parent')
    held_out = replace(ONE, epochs=2, hold_out='0006R0')
    out = tmp_path / 'child'
    with pytest.raises(KeyError, match='interrupted'):
        train(held_out, data, out, start_from=everything, callbacks=[SecondEpochFails()])
    first = read_checkpoint(out / 'last.pt')
    assert first['trained_on'] == ['train', 'val', 'held_out_drive']  # which is another drive than the parent left out
    assert runs(first['lineage']) == ['tiny, 1 epochs']
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


def test_non_finite_loss_tells_step_and_rate_and_keeps_the_checkpoint(data: Data, tmp_path: Path) -> None:
    wild = replace(TINY, epochs=4, lr=1e35, precision='fp32', ema=0.0)
    rate = r'at step 1 \(epoch 1\), learning rate \d\.\d\de\+34'  # told exactly, though found at the epoch's end
    with pytest.raises(NonFiniteLoss, match=rate):
        train(replace(wild, batch=2), data, tmp_path / 'wilder')
    assert not (tmp_path / 'wilder' / 'last.pt').exists()
    with pytest.raises(KeyError, match='interrupted'):
        train(replace(wild, lr=1e-3), data, tmp_path / 'later', callbacks=[SecondEpochFails()])
    kept = (tmp_path / 'later' / 'last.pt').read_bytes()
    with pytest.raises(NonFiniteLoss, match='in epoch 2, learning rate'):
        train(wild, data, tmp_path / 'later', resume=True)
    assert (tmp_path / 'later' / 'last.pt').read_bytes() == kept


class Signalled(lightning.Callback):
    """Calls whatever handles SIGTERM; test_processes.py sends real ones."""

    def on_train_batch_end(self, trainer: Any, *args: Any) -> None:
        handler = signal.getsignal(signal.SIGTERM)
        assert callable(handler)
        handler(signal.SIGTERM, None)


def test_signals_are_handled_as_before_when_a_run_has_ended(data: Data, tmp_path: Path) -> None:
    noted: List[int] = []
    before = signal.signal(signal.SIGTERM, lambda number, frame: noted.append(number))
    ours = signal.getsignal(signal.SIGTERM)
    try:
        with pytest.raises(SystemExit) as ended:
            train(replace(ONE, epochs=2), data, tmp_path / 'first', callbacks=[Signalled()])
        assert ended.value.code == 143 and not noted
        assert signal.getsignal(signal.SIGTERM) is ours
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
    with pytest.raises(NonFiniteLoss, match=r'weights became NaN or infinite in epoch 2, learning rate .*lower lr'):
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
