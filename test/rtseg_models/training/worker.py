# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A training process for the tests: ``worker.py WHAT ROOT OUT NUMBER``.

'gradients' takes one step, in NUMBER forward passes, with batch norm on running statistics and no random change, and
saves the gradients;
'run' trains the tiny recipe for NUMBER epochs, resuming where it can;
'apart' does so with an output folder for each process;
'signalled' trains it for three epochs, sends the process NUMBER a SIGTERM behind the first batch of the second and
writes each process's exit status to OUT.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from rendered import PLAIN, TINY

from rtseg_models.datasets import open_checked
from rtseg_models.training.fit import Data, train
from rtseg_models.training.launch import others_waiting, world


class KeepGradients(lightning.Callback):
    """Evaluation mode throughout; the first step's gradients into a file."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        pl_module.network.eval()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if world()['rank'] == 0 and trainer.global_step == 0:
            torch.save({n: p.grad.clone() for n, p in pl_module.network.named_parameters()}, self.out)


class SignalsOne(lightning.Callback):
    """SIGTERM to one process in the midst of the second epoch."""

    def __init__(self, rank: int) -> None:
        self.rank = rank

    def on_train_batch_end(self, trainer: Any, pl_module: Any, outputs: Any, batch: Any, batch_idx: int) -> None:
        if (trainer.global_rank, trainer.current_epoch, batch_idx) == (self.rank, 1, 0):
            os.kill(os.getpid(), signal.SIGTERM)


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    torch.set_num_threads(1)
    what, root, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    opened, counts = open_checked('camvid', root, ['train'])
    data = Data(opened['train'], counts['train'])
    if what == 'gradients':
        recipe = replace(PLAIN, epochs=1, batch=8, accumulate=int(sys.argv[4]))
        train(recipe, data, out / 'run', callbacks=[KeepGradients(out / 'gradients.pt')])
        with others_waiting(out):
            if world()['rank'] == 0:
                time.sleep(1)
                (out / 'measured').touch()
        assert (out / 'measured').exists()
    elif what == 'signalled':
        try:
            train(replace(TINY, epochs=3), data, out, log=say, callbacks=[SignalsOne(int(sys.argv[4]))])
        except SystemExit as end:
            (out / f'status{world()["rank"]}').write_text(str(end.code))
            raise
    else:
        if what == 'apart':
            out = out / f'rank{world()["rank"]}' / 'run'  # alike, but for the disk
        train(replace(TINY, epochs=int(sys.argv[4])), data, out, resume=True, log=say)


if __name__ == '__main__':
    main()
