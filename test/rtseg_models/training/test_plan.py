# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Runs that are refused before anything is trained, or that go on where they might be."""

from __future__ import annotations

import fcntl
import json
import os
import platform
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List, Tuple

import lightning
import pytest
import torch
from interruptions import SecondEpochFails
from rendered import ONE, Renamed

from rtseg_models.datasets.sample import Subset
from rtseg_models.errors import ConfigurationError, NotFound, RtsegError, UsageError
from rtseg_models.labels import CAMVID
from rtseg_models.training import fit, launch
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.fit import Data, train
from rtseg_models.training.launch import world
from rtseg_models.training.plan import check_plan
from rtseg_models.training.recipe import Stage, with_settings


def test_refuses_a_folder_in_use_and_other_settings(data: Data, tmp_path: Path) -> None:
    train(ONE, data, tmp_path)
    before = (tmp_path / 'last.pt').read_bytes()
    with pytest.raises(RtsegError, match=r'last\.pt exists already; resume the run or choose another folder'):
        train(ONE, data, tmp_path)
    for other in (replace(ONE, batch=2, epochs=2), replace(ONE, batch=2)):
        with pytest.raises(
            ConfigurationError, match=r'batch was 4, is 2.*begin a run in another folder, with --start-from'
        ):
            train(other, data, tmp_path, resume=True)
    assert (tmp_path / 'last.pt').read_bytes() == before


def test_two_runs_do_not_train_in_one_folder(data: Data, tmp_path: Path) -> None:
    other = os.open(tmp_path, os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    with pytest.raises(UsageError, match='another run is training there'):
        train(ONE, data, tmp_path)
    os.close(other)
    assert not list(tmp_path.iterdir())
    assert read_checkpoint(train(ONE, data, tmp_path))['epoch'] == 1


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


def test_a_run_does_not_go_on_with_other_images(data: Data, tmp_path: Path) -> None:
    twice = replace(ONE, epochs=2)
    with pytest.raises(KeyError, match='interrupted'):
        train(twice, data, tmp_path, callbacks=[SecondEpochFails()])
    fewer = replace(data, train=Subset(data.train, range(3)))
    with pytest.raises(ConfigurationError, match='other data: 4 samples; there are 3 now'):
        train(twice, fewer, tmp_path, resume=True)
    assert read_checkpoint(tmp_path / 'last.pt')['epoch'] == 1
    assert read_checkpoint(train(twice, data, tmp_path, resume=True))['epoch'] == 2


def test_a_run_does_not_begin_in_the_folder_of_another(data: Data, tmp_path: Path) -> None:
    staged = replace(ONE, name='staged', before=(Stage('small', {'epochs': 2}, 'weights'),))
    with pytest.raises(KeyError, match='interrupted'):
        train(staged, data, tmp_path, callbacks=[SecondEpochFails()])
    told = (tmp_path / 'configuration.json').read_bytes()
    with pytest.raises(RtsegError, match=r'small/last\.pt exists already; resume the run or choose another folder'):
        train(ONE, data, tmp_path)
    with pytest.raises(ConfigurationError, match='holds the stages small of another run'):
        train(ONE, data, tmp_path, resume=True)
    assert (tmp_path / 'configuration.json').read_bytes() == told and not (tmp_path / 'last.pt').exists()
    assert read_checkpoint(train(staged, data, tmp_path, resume=True))['epoch'] == 1


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


@pytest.mark.parametrize('has_bf16', [True, False])
def test_a_cpu_that_would_emulate_bf16_trains_in_fp32_and_says_so(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_bf16: bool
) -> None:
    monkeypatch.setattr(launch, '_cpu_has_bf16', lambda: has_bf16)
    said: List[str] = []
    bf16 = replace(ONE, precision='bf16')
    notes = NotesPrecision()
    checkpoint = train(bf16, data, tmp_path, log=said.append, callbacks=[notes])
    assert notes.precision == ('bf16-mixed' if has_bf16 else '32-true')
    assert any('would emulate bf16' in line and 'fp32 takes its place' in line for line in said) != has_bf16
    told = read_checkpoint(checkpoint)
    assert told['hardware'].endswith(', bf16' if has_bf16 else ', fp32')
    assert json.loads(told['recipe'])['precision'] == 'bf16'  # so that any machine may go on with it
    monkeypatch.setattr(launch, '_cpu_has_bf16', lambda: not has_bf16)
    assert train(bf16, data, tmp_path, resume=True) == checkpoint


class NotesPrecision(lightning.Callback):
    """Remembers what the trainer computes in."""

    precision = ''

    def on_fit_start(self, trainer: lightning.Trainer, pl_module: lightning.LightningModule) -> None:
        self.precision = str(trainer.precision)


@pytest.mark.skipif(platform.machine() != 'x86_64', reason='flags of x86')
def test_bf16_is_known_by_the_flags_of_the_processor() -> None:
    flags = next(line for line in Path('/proc/cpuinfo').read_text().splitlines() if line.startswith('flags')).split()
    assert launch._cpu_has_bf16() == ({'avx512bw', 'avx512vl', 'avx512dq'} <= set(flags))


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


def test_plans_that_do_not_fit_are_refused_before_anything_is_trained(data: Data, tmp_path: Path) -> None:
    wide = Stage('wide', {'network_args': {'width': 0.5}}, 'prune')
    pruned = replace(ONE, network='contextnet', network_args={'width': 0.25, 'context_scale': 2}, before=(wide,))
    with pytest.raises(ConfigurationError, match='pruning keeps all but the width'):
        train(pruned, data, tmp_path / 'pruned')
    later = replace(ONE, batch=3, accumulate=2, before=(Stage('small', {'batch': 4}, 'weights'),))
    with pytest.raises(ConfigurationError, match='batch 3 cannot be spread over 1 processes x 2 passes'):
        train(later, data, tmp_path / 'later')
    with pytest.raises(ConfigurationError, match='stage small: batch 5 cannot be spread'):
        train(with_settings(later, ['small.batch=5', 'batch=4']), data, tmp_path / 'small')
    with pytest.raises(ConfigurationError, match=r'width is 0\.75; between 0 and the present 0\.5'):
        train(replace(pruned, network_args={'width': 0.75}), data, tmp_path / 'wider')
    single = replace(ONE, network='contextnet_context_only', before=(Stage('wide', {}, 'prune'),))
    with pytest.raises(ConfigurationError, match='only a ContextNet of two branches can be pruned'):
        train(single, data, tmp_path / 'single')
    narrower = replace(ONE, network='contextnet', before=(Stage('wide', {'network_args': {'width': 0.5}}, 'weights'),))
    with pytest.raises(ConfigurationError, match='weights of contextnet do not fit contextnet'):
        train(narrower, data, tmp_path / 'narrower')
    with pytest.raises(ConfigurationError, match='fp16 needs a GPU'):
        train(replace(ONE, precision='fp16'), data, tmp_path / 'fp16')
    with pytest.raises(NotFound, match='no such checkpoint'):
        train(ONE, data, tmp_path / 'start', start_from=tmp_path / 'none.pt')
    assert not list(tmp_path.iterdir())
    with pytest.raises(ConfigurationError, match='two images or more in a forward pass'):
        train(replace(ONE, network='fast_scnn', batch=1), data, tmp_path / 'one')


def test_a_process_of_several_machines_knows_its_place(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {'RANK': 3, 'LOCAL_RANK': 1, 'WORLD_SIZE': 4, 'LOCAL_WORLD_SIZE': 2}.items():
        monkeypatch.setenv(name, str(value))
    assert world() == {'rank': 3, 'local_rank': 1, 'size': 4, 'local_size': 2}


def test_gpus_of_several_machines_share_their_batch_norms(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {'RANK': 3, 'LOCAL_RANK': 1, 'WORLD_SIZE': 4, 'LOCAL_WORLD_SIZE': 2}.items():
        monkeypatch.setenv(name, str(value))
    asked: List[Dict[str, Any]] = []
    monkeypatch.setattr(fit.lightning, 'Trainer', lambda **options: asked.append(options))
    for gpus in (2, 0):
        monkeypatch.setattr(torch.cuda, 'is_available', lambda gpus=gpus: gpus > 0)
        fit._trainer(ONE, tmp_path, [])
    assert [(o['accelerator'], o['devices'], o['num_nodes'], o['strategy'], o['sync_batchnorm']) for o in asked] == [
        ('gpu', 2, 2, 'ddp', True),
        ('cpu', 2, 2, 'ddp', False),
    ]
