# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Two processes learn what one learns; a killed run ends as if nothing had happened."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Dict, List, Tuple

import pytest
import torch
from rendered import write_street

from rtseg_models.training.checkpoint import read_checkpoint

WORKER = Path(__file__).with_name('worker.py')
ROOT = Path(__file__).parents[3]
ENVIRONMENT = {**os.environ, 'OMP_NUM_THREADS': '1', 'PYTHONPATH': str(ROOT)}
TORCHRUN = ['-m', 'torch.distributed.run', '--standalone', '--nproc_per_node', '2']


@pytest.fixture(scope='module')
def street(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = write_street(tmp_path_factory.mktemp('street'))
    # Half a label missing in one image: the processes then hold different numbers of labelled pixels.
    import cv2

    path = root / 'trainannot' / 'train_3.png'
    label = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    label[:40] = 11
    cv2.imwrite(str(path), label)
    return root


def run(arguments: List[str]) -> str:
    done = subprocess.run([sys.executable, *arguments], env=ENVIRONMENT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    return done.stdout


def gradients(launcher: List[str], street: Path, out: Path, passes: int) -> Tuple[Dict[str, torch.Tensor], str]:
    """The first step's gradients, and what was printed."""
    out.mkdir()
    said = run([*launcher, str(WORKER), 'gradients', str(street), str(out), str(passes)])
    return torch.load(out / 'gradients.pt', weights_only=True), said


@pytest.fixture(scope='module')
def whole_step(street: Path, tmp_path_factory: pytest.TempPathFactory) -> Dict[str, torch.Tensor]:
    """The gradients of one process in one pass."""
    found, _ = gradients([], street, tmp_path_factory.mktemp('gradients') / 'one', 1)
    assert len(found) > 100
    return found


@pytest.mark.parametrize('launcher,passes', [(TORCHRUN, 1), ([], 2), (TORCHRUN, 2)])
def test_any_spreading_of_a_step_gives_its_gradients(
    launcher: List[str], passes: int, whole_step: Dict[str, torch.Tensor], street: Path, tmp_path: Path
) -> None:
    spread, said = gradients(launcher, street, tmp_path / 'spread', passes)
    assert ('batch norm statistics are separate in each of the processes' in said) == bool(launcher)
    assert spread.keys() == whole_step.keys()
    for name, gradient in whole_step.items():
        scale = float(gradient.norm())
        assert scale > 0, name
        assert float((spread[name] - gradient).norm()) <= 1e-5 * scale, name


@pytest.mark.parametrize('launcher,rank', [([], 0), (TORCHRUN, 1)])
def test_sigterm_to_any_process_ends_all_of_them_after_the_epoch(
    launcher: List[str], rank: int, street: Path, tmp_path: Path
) -> None:
    command = [sys.executable, *launcher, str(WORKER), 'signalled', str(street), str(tmp_path), str(rank)]
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=200)
    assert done.returncode == (1 if launcher else 143), done.stderr[-3000:]
    statuses = [path.read_text() for path in sorted(tmp_path.glob('status*'))]
    assert statuses == ['143'] * (2 if launcher else 1)
    lines = done.stdout.splitlines()
    assert [line.split('  ')[0] for line in lines if line.startswith('epoch')] == ['epoch 1/3', 'epoch 2/3']
    assert lines[-1] == f'ended by SIGTERM; go on from {tmp_path / "last.pt"} with --resume'
    assert sum('fast_scnn on' in line for line in lines) == 1  # one process tells
    state = torch.load(tmp_path / 'last.pt', weights_only=True)
    assert (state['rtseg']['epoch'], state['global_step']) == (2, 4)  # whole epochs of two steps
    if not launcher:
        run([str(WORKER), 'run', str(street), str(tmp_path), '3'])
        assert read_checkpoint(tmp_path / 'last.pt')['epoch'] == 3


def killed_in_its_second_epoch(street: Path, out: Path) -> None:
    """A run of three epochs into ``out``."""
    command = [sys.executable, str(WORKER), 'run', str(street), str(out), '3']
    with subprocess.Popen(command, env=ENVIRONMENT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if line.startswith('epoch 1/3'):
                process.send_signal(signal.SIGKILL)
                break
    assert read_checkpoint(out / 'last.pt')['epoch'] < 3, 'the kill came too late to prove anything'


def test_processes_that_share_no_folder_are_stopped(street: Path, tmp_path: Path) -> None:
    command = [sys.executable, *TORCHRUN, str(WORKER), 'apart', str(street), str(tmp_path), '3']
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, check=False, timeout=300)
    assert done.returncode != 0
    assert 'the output folder must be one that all share' in done.stderr, done.stderr[-3000:]


def test_a_killed_run_resumes_to_the_same_bits(street: Path, tmp_path: Path) -> None:
    whole, killed = tmp_path / 'whole', tmp_path / 'killed'
    run([str(WORKER), 'run', str(street), str(whole), '3'])
    killed_in_its_second_epoch(street, killed)
    said = run([str(WORKER), 'run', str(street), str(killed), '3'])
    assert 'resumed after epoch' in said and 'epoch 1/3' not in said
    first = torch.load(whole / 'last.pt', weights_only=True)
    second = torch.load(killed / 'last.pt', weights_only=True)
    assert first['global_step'] == second['global_step'] == 6
    for key in ('network', 'average'):
        names = [n for n in first['state_dict'] if n.startswith(f'{key}.')]
        assert len(names) > 100
        for name in names:
            assert torch.equal(first['state_dict'][name], second['state_dict'][name]), name
    assert [h['loss'] for h in first['rtseg']['history']] == [h['loss'] for h in second['rtseg']['history']]
