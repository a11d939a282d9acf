# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run makes of its recipe: the loss, the averaged weights, the epochs that are validated, the time it took."""

from __future__ import annotations

import time
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import lightning
import pytest
import torch
from interruptions import SecondEpochFails
from rendered import PLAIN, TINY, write_street

from rtseg_models.datasets import open_checked
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.errors import ConfigurationError
from rtseg_models.evaluation import evaluate
from rtseg_models.export.checkpoint import bundle_from_checkpoint
from rtseg_models.training import module
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.fit import Data, train
from rtseg_models.training.losses import class_weights
from rtseg_models.training.optimisers import learning_rate

RUN = replace(TINY, epochs=3, batch=4, precision='fp32', ema=0.9, validate_every=2)


@pytest.fixture(scope='module')
def data(tmp_path_factory: pytest.TempPathFactory) -> Data:
    root = write_street(tmp_path_factory.mktemp('street'), train=4)
    opened, counts = open_checked('camvid', root, ['train', 'val'])
    return Data(opened['train'], counts['train'], val=opened['val'])


@pytest.fixture(scope='module')
def checkpoint(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return train(RUN, data, tmp_path_factory.mktemp('run'))


def test_the_loss_weighs_classes_and_mines_hard_pixels(
    data: Data, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: List[Any] = []
    real = module.segmentation_loss

    def noted(network: Any, x: Any, labels: Any, weights: Any, *others: Any, **options: Any) -> Any:
        seen.append((weights, options['kind']))
        return real(network, x, labels, weights, *others, **options)

    monkeypatch.setattr(module, 'segmentation_loss', noted)
    train(replace(RUN, epochs=1, loss='ohem', class_weight_c=1.10), data, tmp_path)
    ((weights, kind),) = seen
    torch.testing.assert_close(weights, class_weights(data.counts, 1.10))
    assert kind == 'ohem'


class EveryStep(lightning.Callback):
    """Keeps the weights and the rate of every step."""

    def __init__(self) -> None:
        self.weights: List[torch.Tensor] = []
        self.rates: List[float] = []

    def on_before_optimizer_step(self, trainer: Any, pl_module: Any, optimizer: Any) -> None:
        assert len({group['lr'] for group in optimizer.param_groups}) == 1
        self.rates.append(optimizer.param_groups[0]['lr'])

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *others: Any) -> None:
        self.weights.append(next(pl_module.network.parameters()).detach().clone())


def test_what_is_kept_is_an_average_of_the_steps(data: Data, tmp_path: Path) -> None:
    seen = EveryStep()
    kept = read_checkpoint(train(replace(RUN, batch=2), data, tmp_path, callbacks=[seen]))['ema']
    expected = torch.zeros(())
    for step, weights in enumerate(seen.weights):
        keep = min(RUN.ema, step / (step + 9))
        expected = keep * expected + (1 - keep) * weights
    assert len(seen.weights) == 6 and not torch.equal(seen.weights[0], seen.weights[-1])
    torch.testing.assert_close(next(iter(kept.values())), expected, rtol=1e-4, atol=1e-6)


def test_without_averaging_the_last_weights_are_kept(data: Data, tmp_path: Path) -> None:
    last = train(replace(RUN, epochs=2, ema=0.0), data, tmp_path)
    state: Dict[str, torch.Tensor] = torch.load(last, weights_only=True)['state_dict']
    for name, kept in read_checkpoint(last)['ema'].items():
        assert torch.equal(kept, state[f'network.{name}']), name


@pytest.mark.parametrize(
    'change',
    [
        {'schedule': 'poly', 'warmup_steps': 3},
        {'schedule': 'step', 'patience': 1, 'factor': 0.5},
        {'schedule': 'plateau', 'patience': 1, 'factor': 0.5, 'lr': 1e-9},
    ],
)
def test_every_step_has_the_schedules_rate(data: Data, tmp_path: Path, change: Dict[str, Any]) -> None:
    recipe, seen = replace(RUN, epochs=4, accumulate=2, **change), EveryStep()
    history = read_checkpoint(train(recipe, data, tmp_path, callbacks=[seen]))['history']
    losses = [epoch['loss'] for epoch in history]
    assert seen.rates == pytest.approx([learning_rate(recipe, step, 1, losses[:step]) for step in range(4)])
    assert len(set(seen.rates)) > 1 and [epoch['lr'] for epoch in history] == pytest.approx(seen.rates)


def test_a_run_learns_to_label_its_images(data: Data, tmp_path: Path) -> None:
    """Through the Pipeline: training and deployment agree on what the network sees."""
    recipe = replace(PLAIN, epochs=40, batch=4, optimiser='adam', lr=3e-3, schedule='step', ema=0.0)

    def miou(epochs: int) -> float:
        last = train(replace(recipe, epochs=epochs), data, tmp_path / f'run{epochs}', log=lambda line: None)
        bundle = bundle_from_checkpoint(last, tmp_path / f'bundle{epochs}')
        pipeline = Pipeline(bundle, backend='torch', options=Options(device='cpu', precision='fp32'))
        return evaluate(pipeline, data.train).confusion.miou()

    assert miou(40) > miou(1) + 0.1


def test_validation_measures_what_the_pipeline_does(data: Data, checkpoint: Path, tmp_path: Path) -> None:
    bundle = bundle_from_checkpoint(checkpoint, tmp_path / 'bundle')
    pipeline = Pipeline(bundle, backend='torch', options=Options(device='cpu', precision='fp32'))
    assert data.val is not None
    expected = evaluate(pipeline, data.val).confusion.miou()
    assert read_checkpoint(checkpoint)['history'][-1]['val_miou'] == pytest.approx(expected, abs=0.005)


def test_the_last_epoch_is_validated_whatever_the_interval(checkpoint: Path) -> None:
    history = read_checkpoint(checkpoint)['history']
    assert ['val_miou' in epoch for epoch in history] == [False, True, True]


def test_minutes_are_minutes_and_add_up_over_a_resumption(data: Data, tmp_path: Path) -> None:
    began_s = time.perf_counter()
    with pytest.raises(KeyError, match='interrupted'):
        train(RUN, data, tmp_path, callbacks=[SecondEpochFails()])
    before = read_checkpoint(tmp_path / 'last.pt')['minutes']
    after = read_checkpoint(train(RUN, data, tmp_path, resume=True))['minutes']
    assert 0 < before < after <= (time.perf_counter() - began_s) / 60


@pytest.mark.parametrize('change', [{'seed': 2}, {'crop': (32, 64)}, {'ema': 0.5}, {'loss': 'ohem'}, {'epochs': 4}])
def test_a_run_is_not_resumed_with_other_settings(
    data: Data, checkpoint: Path, tmp_path: Path, change: Dict[str, Any]
) -> None:
    (tmp_path / 'last.pt').write_bytes(checkpoint.read_bytes())
    with pytest.raises(ConfigurationError, match=f'{next(iter(change))} was .*, is '):
        train(replace(RUN, **change), data, tmp_path, resume=True)
