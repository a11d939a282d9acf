# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage begins with: checkpoints, bundles, weights of other classes or other networks."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import lightning
import numpy as np
import pytest
import torch
from interruptions import SecondEpochFails
from rendered import ONE, Renamed, runs

from rtseg_models.bundle import Bundle, load_bundle, shipped_bundles
from rtseg_models.errors import BundleError, ConfigurationError, NotFound
from rtseg_models.export.checkpoint import bundle_from_checkpoint
from rtseg_models.export.figures import rewrite_card, with_words
from rtseg_models.labels import CAMVID, ClassSet
from rtseg_models.networks import build_network
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.fit import Data, train
from rtseg_models.training.origin import Beginning, Origin, begun
from rtseg_models.training.recipe import Recipe

AT_REST = replace(ONE, lr=1e-12, weight_decay=0.0, ema=0.0)
"""A step that changes nothing but what batch norm remembers."""


def quietly(recipe: Recipe, data: Data, out: Path, **options: Any) -> Path:
    return train(recipe, data, out, log=lambda line: None, **options)


@pytest.fixture(scope='module')
def parent(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a run on train and val without one drive."""
    out = tmp_path_factory.mktemp('parent')
    recipe = replace(ONE, splits=('train', 'val'), hold_out='0001TP')
    return bundle_from_checkpoint(quietly(recipe, data, out), out / 'bundle')


def begin(recipe: Recipe, path: Path, classes: ClassSet = CAMVID) -> Beginning:
    torch.manual_seed(7)
    network = build_network(recipe.network, len(classes), aux=True, **recipe.network_args)
    return begun(network, recipe, classes, Origin(path, 'weights'))


def known_as(bundle: Bundle, folder: Path, **changes: Any) -> Path:
    """A copy of the bundle whose card says something else."""
    shutil.copytree(bundle.path, folder)
    return rewrite_card(load_bundle(str(folder)), replace(bundle.card, **changes)).path


def test_a_run_goes_on_from_a_bundle(parent: Bundle, data: Data, tmp_path: Path) -> None:
    lines: List[str] = []
    other = replace(AT_REST, hold_out='0006R0')
    child = read_checkpoint(train(other, data, tmp_path, start_from=parent.path, log=lines.append))
    assert runs(child['lineage']) == ['tiny, 1 epochs']
    assert child['trained_on'] == ['train', 'val', 'held_out_drive']  # which is another drive than the parent left out
    assert f'begins with the weights of {parent.path}; anew: aux_heads' in lines
    stored = parent.weights()
    learnt = {name for name in stored if name.endswith(('weight', 'bias'))}
    assert learnt
    for name in learnt:
        assert np.allclose(child['ema'][name], stored[name], atol=1e-6), name


def test_a_checkpoint_gives_its_auxiliary_heads_too(parent: Bundle) -> None:
    checkpoint = parent.path.parent / 'last.pt'
    network, _, anew = begin(ONE, checkpoint)
    assert anew == []
    learnt = read_checkpoint(checkpoint)['ema']
    assert all(torch.equal(weight, learnt[name]) for name, weight in network.state_dict().items())


THREE = ClassSet('yard', ('path', 'grass', 'shed'), ((1, 1, 1), (2, 2, 2), (3, 3, 3)), 3)
REVERSED = replace(CAMVID, name='other', names=CAMVID.names[::-1])
ANEW: Dict[str, List[str]] = {
    'contextnet': ['aux_heads', 'classifier.1'],
    'fast_scnn': ['aux_heads', 'classifier.3'],
    'farsee_net': ['backend.classify.0'],
    'erfnet': ['decoder.6'],
    'dabnet': ['head'],
}


@pytest.mark.parametrize('name', ANEW)
@pytest.mark.parametrize('classes', [THREE, REVERSED], ids=['three', 'as-many'])
def test_of_other_classes_all_but_the_classifier_is_taken_over(name: str, classes: ClassSet) -> None:
    shipped = shipped_bundles().get(f'{name}-camvid')
    if shipped is None:
        pytest.skip(f'no bundle of {name} is shipped')
    stored = load_bundle(str(shipped)).weights()
    recipe = replace(ONE, network=name, network_args=json.loads((shipped / 'card.json').read_text())['network_args'])
    network, _, anew = begin(recipe, Path(f'{name}-camvid'), classes)
    assert anew == ANEW[name]
    torch.manual_seed(7)
    fresh = build_network(name, len(classes), aux=True, **recipe.network_args)
    first = dict(fresh.named_parameters())
    for full_name, weight in network.named_parameters():
        if full_name.startswith(tuple(f'{part}.' for part in anew)):
            assert torch.equal(weight, first[full_name]), full_name
        else:
            assert np.array_equal(weight.detach(), stored[full_name]), full_name


def test_weights_that_do_not_fit_are_refused(parent: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='weights of fast_scnn do not fit contextnet: ') as refused:
        begin(replace(ONE, network='contextnet'), parent.path)
    assert len(str(refused.value)) < 250  # the first of many tensors will do
    otherwise = known_as(parent, tmp_path / 'otherwise', std=(0.25, 0.25, 0.25), origin={})
    with pytest.raises(
        ConfigurationError, match=r'--set mean=\[0\.485,0\.456,0\.406\] --set std=\[0\.25,0\.25,0\.25\]'
    ):
        begin(ONE, otherwise)
    assert begin(replace(ONE, std=(0.25, 0.25, 0.25)), otherwise).anew == ['aux_heads']
    with pytest.raises(NotFound, match='no such checkpoint'):
        begin(ONE, tmp_path / 'none')
    with pytest.raises(NotFound, match=r'a bundle folder holds card\.json'):
        begin(ONE, tmp_path)
    (tmp_path / 'text.pt').write_text('no checkpoint')
    with pytest.raises(BundleError, match='not a checkpoint'):
        begin(ONE, tmp_path / 'text.pt')


def test_a_licence_is_handed_down(parent: Bundle, data: Data, tmp_path: Path) -> None:
    assert parent.card.licence == 'Apache-2.0'
    bound = known_as(parent, tmp_path / 'bound', licence='CC-BY-NC-4.0')
    child = bundle_from_checkpoint(quietly(AT_REST, data, tmp_path / 'run', start_from=bound), tmp_path / 'child')
    assert child.card.licence == 'CC-BY-NC-4.0'


def test_what_imported_weights_learnt_from_is_not_known(parent: Bundle, data: Data, tmp_path: Path) -> None:
    imported = known_as(parent, tmp_path / 'imported', origin={'source': 'elsewhere'})
    child = bundle_from_checkpoint(quietly(AT_REST, data, tmp_path / 'run', start_from=imported), tmp_path / 'child')
    assert child.card.origin['trained_on'] == ['train', 'unknown']
    assert child.card.origin['started_from'] == ['imported']
    told = with_words(replace(child.card, miou={'val': 0.5})).origin['protocol']
    assert told == 'weights: train, unknown; val: these weights, which may have learnt from it before'


def test_what_was_learnt_before_another_dataset_is_remembered(parent: Bundle, data: Data, tmp_path: Path) -> None:
    elsewhere = replace(data, train=Renamed(data.train, name='yard'))
    away = replace(AT_REST, dataset='folder')
    second = quietly(away, elsewhere, tmp_path / 'second', start_from=parent.path)
    assert read_checkpoint(second)['trained_on'] == ['train']  # of the yard, whose val may be measured
    third = read_checkpoint(quietly(AT_REST, data, tmp_path / 'third', start_from=second))
    assert third['trained_on'] == ['train', 'val']
    assert third['learnt_from'] == {'camvid': ['train', 'val'], 'yard': ['train']}
    shed = replace(data, train=Renamed(data.train, name='shed'))
    assert read_checkpoint(quietly(away, shed, tmp_path / 'shed', start_from=second))['trained_on'] == ['train']


def test_weights_of_rendered_frames_do_not_pass_for_camvids(data: Data, tmp_path: Path) -> None:
    checkpoint = quietly(replace(AT_REST, dataset='synthetic'), data, tmp_path / 'run')
    card = with_words(bundle_from_checkpoint(checkpoint, tmp_path / 'bundle').card)
    assert card.dataset == 'synthetic' and card.learnt_from == {'synthetic': ['train']}
    assert card.origin['limits'] == ['trained on rendered streets']


def test_a_run_from_scratch_is_not_resumed_with_the_weights_of_another(
    parent: Bundle, data: Data, tmp_path: Path
) -> None:
    quietly(ONE, data, tmp_path)
    with pytest.raises(ConfigurationError, match=f'has not begun with the weights of {parent.path}, but with none'):
        quietly(ONE, data, tmp_path, resume=True, start_from=parent.path)
    assert json.loads((tmp_path / 'configuration.json').read_text())['begins_with'] is None


def test_a_run_killed_in_its_first_epoch_does_not_go_on_without_its_origin(
    parent: Bundle, data: Data, tmp_path: Path
) -> None:
    class Killed(lightning.Callback):
        def on_train_batch_end(self, *arguments: Any) -> None:
            raise KeyError('killed')

    with pytest.raises(KeyError, match='killed'):
        quietly(ONE, data, tmp_path, start_from=parent.path, callbacks=[Killed()])
    assert json.loads((tmp_path / 'configuration.json').read_text())['begins_with'] == str(parent.path)
    with pytest.raises(ConfigurationError, match=f'began with the weights of {parent.path} and has finished no epoch'):
        quietly(ONE, data, tmp_path, resume=True)
    twice = replace(ONE, epochs=2)
    with pytest.raises(KeyError, match='interrupted'):
        quietly(twice, data, tmp_path, resume=True, start_from=parent.path, callbacks=[SecondEpochFails()])
    other = known_as(parent, tmp_path / 'other')
    with pytest.raises(
        ConfigurationError,
        match=f'has not begun with the weights of {other}, but with {parent.path}: resume it without',
    ):
        quietly(twice, data, tmp_path, resume=True, start_from=other)
    ended = read_checkpoint(quietly(twice, data, tmp_path, resume=True))
    assert (ended['epoch'], runs(ended['lineage'])) == (2, ['tiny, 1 epochs'])
    assert json.loads((tmp_path / 'configuration.json').read_text())['begins_with'] == str(parent.path)
