# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a stage begins with: checkpoints, bundles, weights of other classes or other networks."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Dict, List

import numpy as np
import pytest
import torch
from rendered import ONE

from rtseg_models.bundle import Bundle, load_bundle, shipped_bundles
from rtseg_models.errors import BundleError, ConfigurationError, NotFound
from rtseg_models.export.checkpoint import bundle_from_checkpoint
from rtseg_models.labels import CAMVID
from rtseg_models.networks import build_network
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.fit import Data, train
from rtseg_models.training.origin import Beginning, Origin, begun
from rtseg_models.training.recipe import Recipe

AT_REST = replace(ONE, lr=1e-12, weight_decay=0.0, ema=0.0)
"""A step that changes nothing but what batch norm remembers."""


@pytest.fixture(scope='module')
def parent(data: Data, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """The bundle of a run on train and val without one drive."""
    out = tmp_path_factory.mktemp('parent')
    recipe = replace(ONE, splits=('train', 'val'), hold_out='0001TP')
    return bundle_from_checkpoint(train(recipe, data, out, log=lambda line: None), out / 'bundle')


def begin(recipe: Recipe, classes: int, path: Path) -> Beginning:
    torch.manual_seed(7)
    network = build_network(recipe.network, classes, aux=True, **recipe.network_args)
    return begun(network, recipe, Origin(path, 'weights'))


def test_a_run_goes_on_from_a_bundle(parent: Bundle, data: Data, tmp_path: Path) -> None:
    lines: List[str] = []
    other = replace(AT_REST, hold_out='0006R0')
    child = read_checkpoint(train(other, data, tmp_path, start_from=parent.path, log=lines.append))
    assert child['lineage'] == ['tiny, 1 epochs']
    assert child['trained_on'] == ['train', 'val', 'held_out_drive']  # which is another drive than the parent left out
    assert f'begins with the weights of {parent.path}; anew: aux_heads' in lines
    stored = parent.weights()
    learnt = {name for name in stored if name.endswith(('weight', 'bias'))}
    assert learnt
    for name in learnt:
        assert np.allclose(child['ema'][name], stored[name], atol=1e-6), name


def test_a_checkpoint_gives_its_auxiliary_heads_too(parent: Bundle) -> None:
    checkpoint = parent.path.parent / 'last.pt'
    network, _, anew = begin(ONE, len(CAMVID), checkpoint)
    assert anew == []
    learnt = read_checkpoint(checkpoint)['ema']
    assert all(torch.equal(weight, learnt[name]) for name, weight in network.state_dict().items())


ANEW: Dict[str, List[str]] = {
    'contextnet': ['aux_heads', 'classifier'],
    'fast_scnn': ['aux_heads', 'classifier'],
    'farsee_net': ['backend'],
    'erfnet': ['decoder'],
    'dabnet': ['head'],
}


@pytest.mark.parametrize('name', ANEW)
def test_of_other_classes_all_but_the_classifier_is_taken_over(name: str) -> None:
    """Three classes in place of CamVid's eleven."""
    shipped = shipped_bundles().get(f'{name}-camvid')
    if shipped is None:
        pytest.skip(f'no bundle of {name} is shipped')
    stored = load_bundle(str(shipped)).weights()
    recipe = replace(ONE, network=name, network_args=json.loads((shipped / 'card.json').read_text())['network_args'])
    network, _, anew = begin(recipe, 3, Path(f'{name}-camvid'))
    torch.manual_seed(7)
    fresh = build_network(name, 3, aux=True, **recipe.network_args).state_dict()
    own = network.state_dict()
    kept = [n for n in own if n in stored and stored[n].shape == tuple(own[n].shape)]
    assert all(np.array_equal(own[n], stored[n]) for n in kept)
    assert all(torch.equal(own[n], fresh[n]) for n in own if n not in kept)  # batches counted by norms among them
    assert anew == ANEW[name]
    assert sum(own[n].numel() for n in kept) > 0.9 * sum(w.size for w in stored.values())


def test_weights_that_do_not_fit_are_refused(parent: Bundle, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match='weights of fast_scnn do not fit contextnet: '):
        begin(replace(ONE, network='contextnet'), len(CAMVID), parent.path)
    narrow = replace(ONE, network='contextnet', network_args={'width': 0.5})
    if 'contextnet-camvid' in shipped_bundles():
        with pytest.raises(ConfigurationError, match='weights of contextnet do not fit contextnet: '):
            begin(narrow, len(CAMVID), Path('contextnet-camvid'))
    with pytest.raises(NotFound, match='no such checkpoint'):
        begin(ONE, len(CAMVID), tmp_path / 'none')
    with pytest.raises(NotFound, match=r'a bundle folder holds card\.json'):
        begin(ONE, len(CAMVID), tmp_path)
    (tmp_path / 'text.pt').write_text('no checkpoint')
    with pytest.raises(BundleError, match='not a checkpoint'):
        begin(ONE, len(CAMVID), tmp_path / 'text.pt')
