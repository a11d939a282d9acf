# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a run makes of its recipe: the loss, the averaged weights, the epochs that are validated, the time it took."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import pytest
import torch
from interruptions import SecondEpochFails
from rendered import TINY, write_street

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


def test_what_is_kept_is_an_average_of_the_steps(checkpoint: Path) -> None:
    state = read_checkpoint(checkpoint)
    last: Dict[str, torch.Tensor] = torch.load(checkpoint, weights_only=True)['state_dict']
    name = next(k for k, v in state['ema'].items() if v.ndim == 4)
    assert not torch.equal(state['ema'][name], last[f'network.{name}'])
    assert (
        torch.nn.functional.cosine_similarity(state['ema'][name].ravel(), last[f'network.{name}'].ravel(), dim=0) > 0.9
    )


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
    with pytest.raises(KeyError, match='interrupted'):
        train(RUN, data, tmp_path, callbacks=[SecondEpochFails()])
    before = read_checkpoint(tmp_path / 'last.pt')['minutes']
    after = read_checkpoint(train(RUN, data, tmp_path, resume=True))['minutes']
    assert 0 < before < after < 5


@pytest.mark.parametrize('change', [{'seed': 2}, {'crop': (32, 64)}, {'ema': 0.5}, {'loss': 'ohem'}, {'epochs': 4}])
def test_a_run_is_not_resumed_with_other_settings(
    data: Data, checkpoint: Path, tmp_path: Path, change: Dict[str, Any]
) -> None:
    (tmp_path / 'last.pt').write_bytes(checkpoint.read_bytes())
    with pytest.raises(ConfigurationError, match=f'{next(iter(change))} was .*, is '):
        train(replace(RUN, **change), data, tmp_path, resume=True)
