# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Learning from classified images first: the stage, its handover, interruptions, and images that cannot be used."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, List

import cv2
import lightning
import pytest
import torch
from click.testing import CliRunner
from rendered import SIZE, TINY, runs, write_street

from rtseg_models.cli.train_command import command
from rtseg_models.datasets import open_checked
from rtseg_models.datasets.image_folder import ImageFolder, open_images
from rtseg_models.errors import BundleError, ConfigurationError
from rtseg_models.export.checkpoint import bundle_from_checkpoint
from rtseg_models.networks import build_network
from rtseg_models.networks.frontends import build_frontend
from rtseg_models.street import Street
from rtseg_models.training.checkpoint import read_checkpoint
from rtseg_models.training.fit import Data, train
from rtseg_models.training.origin import load_pretrained
from rtseg_models.training.recipe import Recipe, Stage, with_settings
from rtseg_models.training.recipes import RECIPES

CLASSES = ('road', 'sky')
ENCODERS = {'fast_scnn': 'global_features.', 'farsee_net': 'frontend.', 'erfnet': 'encoder.'}


def recipe_of(network: str, epochs: int = 1) -> Recipe:
    changes = {'dataset': 'images', 'network': f'{network}_classifier', 'epochs': 2, 'lr': 0.01, 'validate_every': 1}
    stage = Stage('images', {**changes, 'label_scale': 1.0}, 'encoder')
    return replace(TINY, network=network, before=(stage,), epochs=epochs, lr=1e-9, ema=0.0, precision='fp32')


@pytest.fixture(scope='module')
def image_root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The lower and the upper halves of rendered streets, of several sizes, as two classes."""
    root = tmp_path_factory.mktemp('images')
    for seed in range(6):
        frame = Street(700 + seed, height=96 + 16 * (seed % 2), width=128).frame(0).rgb[:, :, ::-1]
        half = frame.shape[0] // 2
        for name, part in (('road', frame[half:]), ('sky', frame[:half])):
            folder = root / ('train' if seed < 4 else 'val') / name
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f'{seed}.png'), part)
    return root


@pytest.fixture(scope='module')
def images(image_root: Path) -> Data:
    opened = open_images(image_root)
    return Data(opened['train'], opened['train'].counts(), val=opened['val'])


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp('street'), train=4)


@pytest.fixture(scope='module')
def data(root: Path) -> Data:
    opened, counts = open_checked('camvid', root, ['train'])
    return Data(opened['train'], counts['train'])


def weights(path: Path) -> Dict[str, torch.Tensor]:
    found: Dict[str, torch.Tensor] = read_checkpoint(path)['ema']
    return found


@pytest.mark.parametrize('network', ENCODERS)
def test_the_encoder_goes_on_from_what_it_learnt(network: str, data: Data, images: Data, tmp_path: Path) -> None:
    recipe = recipe_of(network)
    last = train(recipe, data, tmp_path, images=images)
    first = read_checkpoint(tmp_path / 'images' / 'last.pt')
    assert first['class_set'].names == CLASSES and [0 <= h['val_top1'] <= 1 for h in first['history']] == [True, True]
    after = weights(last)
    fresh = build_network(f'{network}_classifier', 2).state_dict()
    kept = [k for k in first['ema'] if k.startswith(ENCODERS[network]) and first['ema'][k].ndim == 4]
    assert len(kept) > 10
    for name in kept:
        assert not torch.equal(first['ema'][name], fresh[name]), name
        assert torch.allclose(first['ema'][name], after[name], atol=1e-6), name
    assert runs(read_checkpoint(last)['lineage']) == ['tiny, 2 epochs']
    with pytest.raises(BundleError, match=f'of {network}_classifier, which classifies whole images'):
        bundle_from_checkpoint(tmp_path / 'images' / 'last.pt', tmp_path / 'bundle')


def test_images_are_learnt(images: Data, data: Data, tmp_path: Path) -> None:
    changes = {'network': 'fast_scnn_classifier', 'epochs': 12, 'lr': 0.05, 'batch': 4, 'validate_every': 12}
    recipe = replace(recipe_of('fast_scnn'), before=(Stage('images', changes, 'encoder'),))
    train(recipe, data, tmp_path, images=images)
    history = read_checkpoint(tmp_path / 'images' / 'last.pt')['history']
    assert history[-1]['loss'] < 0.5 * history[0]['loss']


class Interrupted(lightning.Callback):
    """Ends a run behind a number of batches, over all stages."""

    def __init__(self, at: int) -> None:
        self.at, self.batches = at, 0

    def on_train_batch_end(self, trainer: Any, pl_module: Any, *rest: Any) -> None:
        self.batches += 1
        if self.batches == self.at:
            raise KeyError('interrupted')


@pytest.mark.parametrize('at', [3, 5])
def test_an_interrupted_run_ends_with_the_same_bits(at: int, data: Data, images: Data, tmp_path: Path) -> None:
    """Two batches in each of the two epochs of images, then one in each epoch of streets."""
    recipe = recipe_of('fast_scnn', epochs=2)
    whole = train(recipe, data, tmp_path / 'whole', images=images)
    with pytest.raises(KeyError, match='interrupted'):
        train(recipe, data, tmp_path / 'cut', images=images, callbacks=[Interrupted(at)])
    lines: List[str] = []
    again = train(recipe, data, tmp_path / 'cut', images=images, resume=True, log=lines.append)
    assert any(line.startswith('resumed after epoch 1') for line in lines) == (at == 3)
    expected, found = weights(whole), weights(again)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())


def test_a_finished_pre_training_serves_again(data: Data, images: Data, tmp_path: Path) -> None:
    recipe = recipe_of('fast_scnn')
    first = train(recipe, data, tmp_path / 'first', images=images)
    learnt = tmp_path / 'first' / 'images' / 'last.pt'
    second = train(recipe, data, tmp_path / 'second', pretrained=learnt)
    assert not (tmp_path / 'second' / 'images').exists()
    told, again = read_checkpoint(first), read_checkpoint(second)
    assert runs(again['lineage']) == ['tiny, 2 epochs']
    assert again['learnt_from'] == told['learnt_from'] and len(told['learnt_from']) == 2
    expected, found = weights(first), weights(second)
    assert all(torch.equal(tensor, found[name]) for name, tensor in expected.items())
    with pytest.raises(ConfigurationError, match='begins with a pre-training and was given no images'):
        train(recipe, data, tmp_path / 'third')
    with pytest.raises(ConfigurationError, match='fast_scnn_classifier does not fit ERFNet'):
        load_pretrained(build_network('erfnet', 11), learnt)
    with pytest.raises(ConfigurationError, match=r'holds a fast_scnn, which learnt from labelled pixels.*--start-from'):
        load_pretrained(build_network('fast_scnn', 11), first)
    state = torch.load(learnt, weights_only=False)
    state['rtseg']['licence'] = 'CC-BY-NC-4.0'
    torch.save(state, tmp_path / 'bound.pt')
    assert load_pretrained(build_network('fast_scnn', 11), tmp_path / 'bound.pt').licence == 'CC-BY-NC-4.0'


def test_front_end_weights_in_torchvisions_naming(tmp_path: Path) -> None:
    frontend = build_frontend('resnet18')
    torch.save({**frontend.state_dict(), 'fc.weight': torch.zeros(1000, 512)}, tmp_path / 'resnet18.pth')
    network = build_network('farsee_net', 11)
    parent = load_pretrained(network, tmp_path / 'resnet18.pth')
    assert (parent.lineage, parent.learnt_from, parent.licence) == (['front-end resnet18.pth'], {}, 'unknown')
    assert torch.equal(network.frontend.conv1.weight, frontend.conv1.weight)
    with pytest.raises(BundleError, match='not a checkpoint of rtseg train'):
        load_pretrained(build_network('fast_scnn', 11), tmp_path / 'resnet18.pth')


def test_smaller_crops_first(data: Data, tmp_path: Path) -> None:
    """A stage may hand all of its weights over."""
    small = Stage('small', {'crop': (32, 64), 'epochs': 2}, 'weights')
    recipe = replace(TINY, before=(small,), epochs=1, lr=1e-9, ema=0.0)
    after = weights(train(recipe, data, tmp_path))
    for name, tensor in weights(tmp_path / 'small' / 'last.pt').items():
        if name.endswith('weight'):
            assert torch.allclose(tensor, after[name], atol=1e-6), name


def test_every_fault_of_the_images_is_listed(image_root: Path, tmp_path: Path) -> None:
    whole = (image_root / 'train' / 'sky' / '0.png').read_bytes()
    for place in ('train/road', 'train/sky', 'val/road'):
        (tmp_path / place).mkdir(parents=True)
    (tmp_path / 'train' / 'bare').mkdir()
    (tmp_path / 'train' / 'road' / 'cut.png').write_bytes(whole[:-12])
    (tmp_path / 'train' / 'sky' / 'empty.jpg').write_bytes(b'')
    with pytest.raises(BundleError) as refused:
        open_images(tmp_path)
    message = str(refused.value)
    for fault in (
        '4 faults',
        'bare: no images in it',
        'cut.png: a truncated PNG',
        'empty.jpg: not an image',
        'val: 1 folders of classes in it',
    ):
        assert fault in message
    (tmp_path / 'train' / 'bare').rmdir()
    (tmp_path / 'val' / 'tree').mkdir()
    for place in ('val/road', 'val/tree'):
        (tmp_path / place / 'whole.png').write_bytes(whole)
    with pytest.raises(BundleError, match='train and val have different classes'):
        open_images(tmp_path)


def test_an_image_is_a_sample_with_a_number(image_root: Path) -> None:
    data = ImageFolder(image_root, 'train')
    assert len(data) == 8 and data.counts().tolist() == [4, 4]
    name, rgb, label = data[5]
    assert name == '1' and rgb.shape == (56, 128, 3) and label.shape == () and int(label) == 1


def test_the_command_wants_images_for_a_pre_training_only(root: Path, image_root: Path, tmp_path: Path) -> None:
    def run(recipe: str, *options: str) -> Any:
        arguments = [recipe, '--root', str(root), '--out', str(tmp_path / 'out'), *options]
        return CliRunner().invoke(command, arguments)

    assert 'begins with a pre-training' in run('farsee_net-camvid-paper').output
    assert 'does not begin with a pre-training' in run('farsee_net-camvid', '--images', str(image_root)).output
    both = run('farsee_net-camvid-paper', '--images', str(image_root), '--pretrained', 'x.pt')
    assert 'give one of them' in both.output and both.exit_code == 2
    twice = run('farsee_net-camvid-paper', '--start-from', 'y.pt', '--pretrained', 'x.pt')
    assert 'both say what the run begins with' in ' '.join(twice.output.split()) and twice.exit_code == 2
    size = ','.join(map(str, SIZE))
    settings = ['epochs=1', 'batch=4', f'crop=[{size}]', f'input_size=[{size}]', 'label_scale=1', 'validate_every=1']
    torch.save(build_frontend('resnet18').state_dict(), tmp_path / 'resnet18.pth')
    options = ['--pretrained', str(tmp_path / 'resnet18.pth'), *(a for s in settings for a in ('--set', s))]
    done = run('farsee_net-camvid-paper', *options)
    assert done.exit_code == 0, done.output
    card = json.loads((tmp_path / 'out' / 'bundle' / 'card.json').read_text())
    assert card['origin']['started_from'] == ['front-end resnet18.pth'] and card['licence'] == 'unknown'


def test_recipes_that_begin_with_imagenet() -> None:
    names = [n for n, r in RECIPES.items() if r.before and r.before[0].name == 'imagenet']
    assert names == [
        'farsee_net-cityscapes',
        'fast_scnn-cityscapes-imagenet',
        'fast_scnn-cityscapes-coarse-imagenet',
        'erfnet-cityscapes-imagenet',
        'farsee_net-camvid-paper',
    ]
    for name in names:
        (first, stage), *_, (_, last) = RECIPES[name].stages()
        assert (first, stage.crop, stage.batch, stage.mean) == ('imagenet', (224, 224), 256, last.mean)
        assert stage.network == f'{last.network}_classifier'
    changed = with_settings(RECIPES[names[0]], ['splits=["train","val"]', 'hold_out=ulm'])
    (_, stage), *_, (_, last) = changed.stages()
    assert (stage.splits, stage.hold_out, last.splits, last.hold_out) == (('train',), '', ('train', 'val'), 'ulm')
