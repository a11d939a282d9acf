# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Recipes say what the papers say, settings are checked, rates follow their schedules."""

from __future__ import annotations

import json
import re
from dataclasses import asdict, replace
from typing import Any, Dict

import pytest
import torch
from rendered import PLAIN

from rtseg_models.datasets import DATASETS
from rtseg_models.errors import UsageError
from rtseg_models.networks import build_network
from rtseg_models.training.batches import Batches, Frames
from rtseg_models.training.optimisers import learning_rate, optimiser, parameter_groups, stagnations
from rtseg_models.training.recipe import Stage, with_settings
from rtseg_models.training.recipes import RECIPES


@pytest.mark.parametrize('name', RECIPES)
def test_every_recipe_builds_what_it_names(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.dataset in DATASETS and recipe.source
    json.dumps(asdict(recipe))
    for _, stage in recipe.stages():
        network = build_network(stage.network, 11, aux=True, **stage.network_args)
        assert len(optimiser(network, stage).param_groups) == 2


PAPERS: Dict[str, Dict[str, Any]] = {
    # section 3.2.2: RMSprop and its three numbers, poly of 0.045 and 0.98, 1000 epochs; no decay on depthwise filters;
    # scale 0.5 to 2, flips, hue, saturation, brightness, contrast
    'contextnet-cityscapes': {
        'optimiser': 'rmsprop',
        'second_momentum': 0.9,
        'momentum': 0.9,
        'epsilon': 1.0,
        'schedule': 'poly',
        'lr': 0.045,
        'power': 0.98,
        'epochs': 1000,
        'decay_on': 'dense',
        'scale': (0.5, 2.0),
        'flip': 0.5,
        'input_size': (1024, 2048),
        'loss': 'cross_entropy',
    },
    # section 3.1
    'fast_scnn-cityscapes': {
        'optimiser': 'sgd',
        'momentum': 0.9,
        'batch': 12,
        'schedule': 'poly',
        'lr': 0.045,
        'power': 0.9,
        'weight_decay': 4e-5,
        'decay_on': 'dense',
        'scale': (0.5, 2.0),
        'flip': 0.5,
        'epochs': 1000,
        'input_size': (1024, 2048),
        'loss': 'cross_entropy',
        'class_weight_c': 0.0,
    },
    # section IV.B
    'farsee_net-cityscapes': {
        'optimiser': 'sgd',
        'momentum': 0.9,
        'batch': 16,
        'schedule': 'step',
        'lr': 0.1,
        'factor': 0.9,
        'patience': 50,
        'epochs': 400,
        'flip': 0.5,
        'input_size': (512, 1024),
        'crop': (512, 1024),
        'label_scale': 2.0,
        'loss': 'cross_entropy',
    },
    # section IV, setup
    'erfnet-cityscapes': {
        'optimiser': 'adam',
        'batch': 12,
        'momentum': 0.9,
        'weight_decay': 2e-4,
        'schedule': 'plateau',
        'lr': 5e-4,
        'factor': 0.5,
        'class_weight_c': 1.10,
        'flip': 0.5,
        'shift': 2,
        'input_size': (512, 1024),
        'crop': (512, 1024),
    },
    # section 4.1
    'dabnet-cityscapes': {
        'optimiser': 'sgd',
        'momentum': 0.9,
        'batch': 8,
        'weight_decay': 1e-4,
        'schedule': 'poly',
        'lr': 0.045,
        'power': 0.9,
        'epochs': 1000,
        'flip': 0.5,
        'scales': (0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
        'input_size': (1024, 2048),
        'crop': (512, 1024),
        'loss': 'ohem',
    },
    # the authors' code
    'dabnet-camvid-paper': {
        'optimiser': 'adam',
        'batch': 16,
        'weight_decay': 2e-4,
        'schedule': 'poly',
        'lr': 1e-3,
        'power': 0.9,
        'epochs': 1000,
        'flip': 0.5,
        'scales': (0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
        'input_size': (360, 480),
        'crop': (360, 480),
        'loss': 'cross_entropy',
        'class_weight_c': 1.10,
        'warmup_steps': 0,
    },
    # section 4
    'enet-cityscapes': {
        'optimiser': 'adam',
        'lr': 5e-4,
        'weight_decay': 2e-4,
        'class_weight_c': 1.02,
        'batch': 10,
        'input_size': (512, 1024),
    },
}
"""What the papers' texts say, by recipe; what is chosen here is not in it."""


@pytest.mark.parametrize('name', PAPERS)
def test_figures_of_the_papers(name: str) -> None:
    recipe = RECIPES[name]
    assert {key: getattr(recipe, key) for key in PAPERS[name]} == PAPERS[name]


def test_the_changes_of_colour_and_place_that_papers_name() -> None:
    changes = ('rotation', 'hue', 'saturation', 'brightness', 'contrast', 'cast', 'shift', 'gamma', 'noise', 'blur')
    named = {
        'contextnet': {'hue', 'saturation', 'brightness', 'contrast'},
        'fast_scnn': {'cast', 'brightness'},
        'farsee_net': {'rotation', 'cast'},
        'erfnet': {'shift'},
        'dabnet': set(),
    }
    for network, expected in named.items():
        recipe = RECIPES[f'{network}-cityscapes']
        assert {key for key in changes if getattr(recipe, key)} == expected, network


def test_stages_of_the_papers() -> None:
    context, erf = RECIPES['contextnet-cityscapes'], RECIPES['erfnet-cityscapes']
    assert [s.network_args.get('width', 1.0) for _, s in context.stages()] == [2.0, 1.5, 1.25, 1.0]  # section 3.1
    assert [(s.network, s.label_scale) for _, s in erf.stages()] == [('erfnet_encoder', 0.125), ('erfnet', 1.0)]
    (_, images), _ = RECIPES['fast_scnn-cityscapes-imagenet'].stages()
    residual = (images.optimiser, images.batch, images.lr, images.momentum, images.weight_decay, images.crop)
    assert residual == ('sgd', 256, 0.1, 0.9, 1e-4, (224, 224))  # He et al., section 3.4
    assert (images.schedule, images.factor, images.patience, images.epochs) == ('step', 0.1, 30, 90)


def test_tuned_crops_are_divided_by_every_stride_or_whole_images() -> None:
    tuned = [r for r in RECIPES.values() if 'chosen here' in r.source]
    assert len(tuned) >= 6
    for recipe in (stage for r in tuned for _, stage in r.stages()):
        whole = recipe.crop == recipe.input_size
        assert whole or recipe.crop[0] % 32 == recipe.crop[1] % 32 == 0, recipe.name


@pytest.mark.parametrize(
    'setting,why',
    [
        ('epoch=3', 'epochs'),
        ('epochs', 'KEY=VALUE'),
        ('epochs=many', 'epochs is a int'),
        ('epochs=1.5', 'epochs is a int'),
        ('epochs=0', '1 or more'),
        ('lr=0', 'above 0'),
        ('crop=[64]', 'crop is a tuple'),
        ('crop=["a","b"]', 'crop is a tuple'),
        ('crop=[NaN,320]', 'crop is a tuple'),
        ('input_size=[Infinity,480]', 'input_size is a tuple'),
        ('crop=[320.9,448]', 'crop is a tuple'),
        ('scale=[1]', 'scale is a tuple'),
        ('crop=[8,8]', '32 pixels'),
        ('optimiser=lion', 'sgd, rmsprop, adam'),
        ('ema=1', 'below 1'),
        ('name=x', 'expected KEY=VALUE'),
        ('scale=[0,1]', 'a range from low to high, above 0, is needed'),
        ('scale=[2,0.5]', 'a range from low to high, above 0, is needed'),
        ('scales=[0]', 'scales is (0.0,); a list of numbers above 0'),
        ('seed=-1', 'seed is -1; 0 or more'),
        ('shift=-1', 'shift is -1; 0 or more'),
        ('noise=-1', 'noise is -1.0; 0 or more'),
        ('weight_decay=-1', 'weight_decay is -1.0; 0 or more'),
        ('std=[0,1,1]', 'three numbers above 0'),
        ('splits=[]', 'at least one split'),
        ('label_scale=Infinity', 'finite numbers'),
        ('mean=[0,NaN,0]', 'finite numbers'),
        ('network_args={"dropout":NaN}', 'finite numbers'),
        ('class_weight_c=0.5', '0, which is none, or a number above 1'),
        ('class_weight_c=1', '0, which is none, or a number above 1'),
        ('input_size=[64,4160]', '32 to 4096 pixels on each side'),
        ('street_share=0.5', 'street_frames is 0 and street_share 0.5; rendered frames need both'),
        ('street_frames=50', 'street_frames is 50 and street_share 0.0; rendered frames need both'),
    ],
)
def test_a_wrong_setting_is_refused_in_a_sentence(setting: str, why: str) -> None:
    with pytest.raises(UsageError, match=re.escape(why)):
        with_settings(PLAIN, [setting])


def test_settings_that_do_not_fit_each_other_are_refused() -> None:
    frames = ['street_frames=50', 'batch=2']
    for share, images in ((0.9, 2), (0.1, 0)):
        with pytest.raises(UsageError, match=f'street_share {share} of batch 2 is {images} images'):
            with_settings(PLAIN, [*frames, f'street_share={share}'])
    assert with_settings(PLAIN, [*frames, 'street_share=0.5']).street_frames == 50
    with pytest.raises(UsageError, match=r'stage small: street_share 0\.1 of batch 4 is 0 images'):
        with_settings(
            replace(RECIPES['fast_scnn-camvid'], before=(Stage('small', {'batch': 4}, 'weights'),)),
            ['street_share=0.1'],
        )


def test_settings_take_json_words_and_lists() -> None:
    recipe = with_settings(
        PLAIN, ['epochs=7', 'lr=1', 'optimiser=adam', 'crop=[64,128]', 'scales=[1,2]', 'splits=["train","val"]']
    )
    assert (recipe.epochs, recipe.lr, recipe.optimiser, recipe.crop) == (7, 1.0, 'adam', (64, 128))
    assert isinstance(recipe.lr, float) and recipe.scales == (1, 2) and recipe.splits == ('train', 'val')


def test_settings_of_a_stage() -> None:
    before = Stage('small', {'lr': 1e-3}, 'weights'), Stage('larger', {'lr': 6e-4}, 'weights')
    staged = replace(PLAIN, before=before)
    recipe = with_settings(
        staged,
        ['small.lr=2e-4', 'larger.street_frames=5', 'noise=1', 'lr=1', 'larger.street_share=0.25'],
    )
    stages = dict(recipe.stages())
    assert [(name, stage.lr) for name, stage in stages.items()] == [('small', 2e-4), ('larger', 6e-4), ('', 1.0)]
    assert [stage.noise for stage in stages.values()] == [1.0] * 3  # no stage sets it
    assert [stage.street_frames for stage in stages.values()] == [0, 5, 0]
    for setting, why in (
        ('smal.lr=1', "'smal' is no stage before the last; known: small, larger"),
        ('small.epoch=1', 'expected STAGE.KEY=VALUE with a key among'),
        ('small.splits=["val"]', 'expected STAGE.KEY=VALUE with a key among'),
        ('small.lr=x', 'small.lr is a float'),
        ('small.lr=0', 'stage small: lr is 0.0; a number above 0'),
    ):
        with pytest.raises(UsageError, match=re.escape(why)):
            with_settings(staged, [setting])


def test_rates() -> None:
    poly = replace(PLAIN, lr=1.0, power=0.5, epochs=10)
    assert learning_rate(poly, 75, 10, []) == pytest.approx(0.5)
    assert learning_rate(replace(poly, warmup_steps=4), 1, 10, []) == pytest.approx(0.5 * (1 - 1 / 100) ** 0.5)
    step = replace(PLAIN, lr=1.0, schedule='step', factor=0.9, patience=50)
    assert [learning_rate(step, e * 10, 10, []) for e in (0, 49, 50, 100)] == pytest.approx([1, 1, 0.9, 0.81])
    plateau = replace(PLAIN, lr=1.0, schedule='plateau', factor=0.5, patience=3)
    assert learning_rate(plateau, 0, 10, [5, 4, 3]) == 1.0
    assert learning_rate(plateau, 0, 10, [5, 4, 4, 4, 4]) == 0.5


def test_stagnation_counts_anew() -> None:
    assert [stagnations([1.0] * n, 3) for n in (1, 3, 4, 6, 7)] == [0, 0, 1, 1, 2]
    assert stagnations([3, 2, 2, 1, 1, 1], 3) == 0


def test_no_decay_on_depthwise_norms_and_biases() -> None:
    network = build_network('fast_scnn', 11)
    decayed, free = parameter_groups(network, 1e-4, 'dense')
    shapes = {tuple(p.shape) for p in decayed['params']}
    assert shapes and all(len(s) == 4 for s in shapes)
    depthwise = [m.weight for m in network.modules() if isinstance(m, torch.nn.Conv2d) and m.groups == m.in_channels]
    ids = {id(p) for p in decayed['params']}
    assert depthwise and not any(id(w) in ids for w in depthwise)
    assert free['weight_decay'] == 0.0
    everything, nothing = parameter_groups(network, 1e-4, 'all')
    assert not nothing['params'] and len(everything['params']) == len(list(network.parameters()))


class Numbered:
    """Stands for ten samples, of which only the count is asked."""

    def __len__(self) -> int:
        return 10


def test_processes_share_each_batch_without_overlap() -> None:
    recipe = replace(PLAIN, batch=4, street_share=0.25, street_frames=10)
    frames, street = Frames([], torch.device('cpu')), Frames([], torch.device('cpu'))
    frames.samples, street.samples = Numbered(), Numbered()  # type: ignore[assignment]
    batches = Batches(frames, street, recipe, lambda: 0)
    assert batches.steps == 4  # ten real samples, three in a batch
    chosen = batches.chosen(0)
    assert chosen.shape == (4, 4) and set(range(10)) <= set(chosen.ravel().tolist())
    assert ((chosen >= 10).sum(axis=1) == 1).all()
    assert (chosen != batches.chosen(1)).any() and (chosen == batches.chosen(0)).all()


def test_optimisers_have_the_recipes_moments() -> None:
    recipe = replace(PLAIN, momentum=0.8, second_momentum=0.95, epsilon=1e-3)
    network = torch.nn.Conv2d(1, 1, 1)
    adam = optimiser(network, replace(recipe, optimiser='adam')).defaults
    assert (adam['betas'], adam['eps']) == ((0.8, 0.95), 1e-3)
    rmsprop = optimiser(network, replace(recipe, optimiser='rmsprop')).defaults
    assert (rmsprop['momentum'], rmsprop['alpha'], rmsprop['eps']) == (0.8, 0.95, 1e-3)


def test_sgd_has_the_recipes_momentum() -> None:
    recipe = replace(PLAIN, optimiser='sgd', momentum=0.9, weight_decay=1e-4)
    assert all(group['momentum'] == 0.9 for group in optimiser(torch.nn.Conv2d(1, 1, 1), recipe).param_groups)
