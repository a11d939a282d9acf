# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Figures of a card: measured at every size, never on what was trained on, taken over with where they are from."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Dict, Set, Tuple

import cv2
import numpy as np
import pytest
import torch
from click.testing import CliRunner
from safetensors.numpy import load_file

from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.cli.export_command import command
from rtseg_models.datasets.sample import Sample
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.engine.backends.torch_graph import deployed_network
from rtseg_models.errors import ConfigurationError, Unavailable
from rtseg_models.evaluation import evaluate
from rtseg_models.export import figures
from rtseg_models.export.bundle_writer import write_bundle
from rtseg_models.export.figures import measure, rewrite_card, with_figures, with_words
from rtseg_models.labels import CAMVID
from rtseg_models.street import Street


class Streets:
    """Two rendered frames of twice the bundle's input size."""

    class_set = CAMVID

    def __init__(self) -> None:
        self.frames = [Street(seed, height=128, width=192).frame(0) for seed in (41, 42)]

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), self.frames[index].rgb, self.frames[index].label)


@pytest.fixture(scope='module')
def streets() -> Streets:
    return Streets()


def copy(bundle: Bundle, to: Path, origin: Dict[str, Any], **facts: Any) -> Bundle:
    shutil.copytree(bundle.path, to)
    found = load_bundle(str(to))
    return rewrite_card(found, replace(found.card, origin=origin, **facts))


def test_on_a_processor_without_bf16_its_agreement_is_measured_by_emulating_it(
    tiny_bundle: Bundle,
    streets: Streets,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    used = []

    def refusing(bundle: Bundle, *, options: Options = Options(), **more: Any) -> Pipeline:
        if options.precision == 'bf16':
            raise Unavailable('the CPU offers fp32 alone')
        pipeline = Pipeline(bundle, options=options, **more)
        used.append(pipeline.backend.precision)
        return pipeline

    monkeypatch.setattr(figures, 'Pipeline', refusing)
    caplog.set_level('INFO', logger='rtseg')
    card = measure(copy(tiny_bundle, tmp_path / 'bundle', {}, agreement={}), streets, 'val').card
    assert 'val' in card.miou and set(card.agreement) == {'bf16', 'fp16'}
    assert 'bf16' in used and 0.9 <= card.agreement['bf16'] < card.agreement['fp16'] <= 1
    assert 'measured in PyTorch: the CPU offers fp32 alone' in caplog.text


def test_every_size_of_the_bundle_is_measured(tiny_bundle: Bundle, streets: Streets, tmp_path: Path) -> None:
    card = measure(copy(tiny_bundle, tmp_path / 'bundle', {}), streets, 'val').card
    assert list(card.miou) == list(card.origin['iou']) == ['val', 'val@96x128']
    for name, size in (('val', (64, 96)), ('val@96x128', (96, 128))):
        pipeline = Pipeline(tiny_bundle, input_size=size, options=Options(precision='fp32'))
        assert card.miou[name] == round(evaluate(pipeline, streets).confusion.miou(), 4)
        pipeline.close()
    assert set(card.origin['iou']['val']) == set(CAMVID.names)


def test_a_split_without_labels_measures_nothing(tiny_bundle: Bundle, tmp_path: Path) -> None:
    class Blank(Streets):
        def __getitem__(self, index: int) -> Sample:
            name, rgb, label = super().__getitem__(index)
            return Sample(name, rgb, np.full_like(label, CAMVID.ignore_id))

    with pytest.raises(ConfigurationError, match='val: no pixel is labelled'):
        measure(copy(tiny_bundle, tmp_path / 'bundle', {}), Blank(), 'val')


def test_what_was_trained_on_is_not_measured(tiny_bundle: Bundle, streets: Streets, tmp_path: Path) -> None:
    bundle = copy(tiny_bundle, tmp_path / 'bundle', {'trained_on': ['train', 'val']})
    card = measure(bundle, streets, 'val').card
    assert card.miou == {} and 'bf16' in card.agreement


RECIPE = {'name': 'tuned', 'lr': 0.01, 'epochs': 9, 'splits': ['train', 'val'], 'hold_out': '', 'seed': 1}


@pytest.fixture
def runs(tiny_bundle: Bundle, tmp_path: Path) -> Dict[str, Bundle]:
    """What is shipped, the run that chose the recipe, and the run that held a drive out, whose rate was another."""
    selection = {**RECIPE, 'splits': ['train']}
    held_out = {**RECIPE, 'splits': ['train'], 'hold_out': '0001TP', 'lr': 0.02}
    measured = {'val': {'sky': 0.9}}
    shipped = {'trained_on': ['train', 'val'], 'recipe': RECIPE}
    chosen = {'trained_on': ['train'], 'recipe': selection, 'epochs': 9, 'seed': 1, 'iou': measured}
    other = {'trained_on': ['train'], 'recipe': held_out, 'epochs': 9, 'seed': 1, 'iou': {}}
    return {
        'shipped': copy(tiny_bundle, tmp_path / 'shipped', shipped),
        'selection': copy(tiny_bundle, tmp_path / 'selection', chosen, miou={'val': 0.71, 'val@96x128': 0.73}),
        'held_out': copy(tiny_bundle, tmp_path / 'held_out', other, miou={'val': 0.69, 'held_out_drive': 0.61}),
    }


def test_figures_are_taken_over_with_their_origin(runs: Dict[str, Bundle]) -> None:
    card = with_figures(runs['shipped'], [runs['selection'], runs['held_out']]).card
    assert card.miou == {'val': 0.71, 'val@96x128': 0.73, 'held_out_drive': 0.61}
    assert card.origin['iou'] == {'val': {'sky': 0.9}} and card.origin['trained_on'] == ['train', 'val']
    told = card.origin['figures']
    assert set(told) == set(card.miou)
    assert told['val']['weights_sha256'] == runs['selection'].card.weights_sha256
    assert told['val']['trained_on'] == ['train'] and told['val']['other_settings'] == {}
    assert told['held_out_drive']['hold_out'] == '0001TP'
    assert told['held_out_drive']['other_settings'] == {'lr': 0.02}
    assert card.origin['protocol'] == (
        'weights: train, val; val: another run of the recipe, on train; '
        'held_out_drive: another run of the recipe, on train without 0001TP (lr 0.02)'
    )


def test_limits_name_the_domain_and_the_weak_classes(runs: Dict[str, Bundle]) -> None:
    card = runs['selection'].card
    weak = replace(card, origin={**card.origin, 'iou': {'val': {'sky': 0.9, 'pole': 0.125, 'car': None}}})
    domain, classes = with_words(weak).origin['limits']
    assert 'Cambridge' in domain and classes == 'IoU below 0.3 on val: pole 0.12'
    assert with_words(weak).origin['protocol'] == 'weights: train; val: these weights'


def test_fp16_that_overflows_counts_as_no_agreement(tiny_bundle: Bundle, streets: Streets, tmp_path: Path) -> None:
    network = deployed_network(tiny_bundle).network
    with torch.no_grad():
        next(p for p in network.parameters() if p.ndim == 4).mul_(1e7)
    bundle = write_bundle(network, replace(tiny_bundle.card, agreement={}), tmp_path / 'loud', half=False)
    assert measure(bundle, streets, 'val').card.agreement['fp16'] < 0.99


def test_weights_stay_in_fp32_where_fp16_changes_labels(tiny_bundle: Bundle, tmp_path: Path) -> None:
    network = deployed_network(tiny_bundle).network
    last = [p for p in network.parameters() if p.ndim == 4][-1]
    with torch.no_grad():
        last[5] += 1  # one class wins everywhere
        [p for p in network.parameters() if p.ndim == 1][-1].zero_()  # its bias
    assert stored(network, tiny_bundle, tmp_path / 'clear') == (1.0, {'float16', 'float32'})
    with torch.no_grad():
        last.copy_(1 + (last - last.mean()) * 1e-5)  # all classes alike but for what fp16 cannot tell
    share, kinds = stored(network, tiny_bundle, tmp_path / 'close')
    assert share < 0.999 and kinds == {'float32'}


def stored(network: torch.nn.Module, like: Bundle, out: Path) -> Tuple[float, Set[str]]:
    bundle = write_bundle(network, like.card, out)
    return bundle.card.origin['fp16_weights'], {str(w.dtype) for w in load_file(bundle.weights_path).values()}


def test_own_figures_stay_and_second_hand_ones_are_not_passed_on(runs: Dict[str, Bundle]) -> None:
    second_hand = with_figures(runs['shipped'], [runs['held_out']])
    card = runs['selection'].card
    assert with_figures(runs['selection'], [second_hand]).card == with_words(card)
    assert card.miou.items() >= {'val': 0.71}.items()
    assert with_figures(runs['selection'], [runs['held_out']]).card.miou['val'] == 0.71


def test_figures_of_another_network_are_refused(runs: Dict[str, Bundle], tmp_path: Path) -> None:
    wide = copy(runs['selection'], tmp_path / 'wide', {}, miou={'val': 0.9}, network_args={'dropout': 0.2})
    with pytest.raises(ConfigurationError, match=r"network_args is \{'dropout': 0.2\}, not \{\}"):
        with_figures(runs['shipped'], [wide])
    rendered = copy(runs['selection'], tmp_path / 'rendered', {}, miou={'val': 0.9}, dataset='synthetic')
    with pytest.raises(ConfigurationError, match="dataset is 'synthetic', not 'camvid'"):
        with_figures(runs['shipped'], [rendered])


def test_the_command_merges_figures(runs: Dict[str, Bundle], tmp_path: Path) -> None:
    sources = [part for name in ('selection', 'held_out') for part in ('--figures-from', str(runs[name].path))]
    arguments = [str(runs['shipped'].path), '--out', str(tmp_path / 'final'), *sources]
    done = CliRunner().invoke(command, arguments)
    assert done.exit_code == 0, done.output
    assert load_bundle(str(tmp_path / 'final')).card.miou['held_out_drive'] == 0.61
    assert runs['shipped'].card.miou == {}


@pytest.fixture
def yard(tmp_path: Path) -> Path:
    """A dataset of one image and one class."""
    root = tmp_path / 'yard'
    for folder, pixels in (('val', np.zeros((64, 96, 3), np.uint8)), ('valannot', np.zeros((64, 96), np.uint8))):
        (root / folder).mkdir(parents=True)
        assert cv2.imwrite(str(root / folder / 'a.png'), pixels)
    classes = {'name': 'yard', 'ignore_id': 255, 'classes': [{'name': 'path', 'colour': [1, 2, 3]}]}
    (root / 'classes.json').write_text(json.dumps(classes), encoding='utf-8')
    return root


@pytest.mark.parametrize('fault', ('classes', 'dataset', 'kinship'))
def test_a_command_that_fails_leaves_nothing_behind(
    fault: str, runs: Dict[str, Bundle], yard: Path, tmp_path: Path
) -> None:
    """What is wrong comes to light after the graphs are written, but the folder appears last."""
    wide = copy(runs['selection'], tmp_path / 'wide', {}, network_args={'dropout': 0.2})
    given = {
        'classes': ['--dataset', 'folder', '--root', str(yard)],
        'dataset': ['--dataset', 'synthetic'],
        'kinship': ['--figures-from', str(wide.path)],
    }[fault]
    out = tmp_path / 'exports' / 'final'
    done = CliRunner().invoke(command, [str(runs['shipped'].path), '--out', str(out), *given])
    assert isinstance(done.exception, ConfigurationError), done.output
    assert not list(out.parent.iterdir())
