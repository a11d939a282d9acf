# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A training process for the tests: ``worker.py gradients ROOT OUT PASSES`` or ``worker.py run ROOT OUT EPOCHS``.

'gradients' takes one step, in PASSES forward passes, with batch norm on running statistics and no random change, and
saves the gradients;
'run' trains the tiny recipe, resuming where it can; with 'apart' each process has an output folder of its own.
"""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import lightning
import torch
from rendered import PLAIN, TINY

from rtseg_models.datasets import open_checked
from rtseg_models.training.fit import Data, train
from rtseg_models.training.launch import world


class KeepGradients(lightning.Callback):
    """Evaluation mode throughout; the first step's gradients into a file."""

    def __init__(self, out: Path) -> None:
        self.out = out

    def on_train_batch_start(self, trainer: Any, pl_module: Any, batch: Any, batch_idx: int) -> None:
        pl_module.network.eval()

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        if world()['rank'] == 0 and trainer.global_step == 0:
            torch.save({n: p.grad.clone() for n, p in pl_module.network.named_parameters()}, self.out)


def main() -> None:
    torch.set_num_threads(1)
    what, root, out = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    opened, counts = open_checked('camvid', root, ['train'])
    data = Data(opened['train'], counts['train'])
    if what == 'gradients':
        recipe = replace(PLAIN, epochs=1, batch=8, accumulate=int(sys.argv[4]))
        train(recipe, data, out / 'run', callbacks=[KeepGradients(out / 'gradients.pt')])
    else:
        if what == 'apart':
            out /= f'rank{world()["rank"]}'
        train(replace(TINY, epochs=int(sys.argv[4])), data, out, resume=True, log=lambda line: print(line, flush=True))


if __name__ == '__main__':
    main()
