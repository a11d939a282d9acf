# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Published checkpoints: each repository's forward pass, written here with plain functions, names the tensors and their
shapes, makes them at random, and is what the imported network must equal.
"""

from __future__ import annotations

from copy import copy
from functools import lru_cache

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from click.testing import CliRunner

from rtseg_models.bundle import load_bundle
from rtseg_models.cli.import_command import command
from rtseg_models.errors import BundleError, NotFound, UsageError
from rtseg_models.export.importers import IMPORTERS, import_checkpoint
from rtseg_models.labels import CAMVID, CITYSCAPES
from rtseg_models.networks import build_network
from rtseg_models.networks.prediction import upsample


class Tensors(dict):
    """A state dict that invents a tensor when it is first asked for, near the scale that training leaves."""

    def __init__(self, eps: float = 1e-5) -> None:
        super().__init__()
        self.eps = eps
        self.generator = torch.Generator().manual_seed(5)

    def make(self, name, *shape, low=None, high=None):
        if name not in self:
            if low is None:
                self[name] = (
                    torch.randn(*shape, generator=self.generator)
                    * (2.0 / max(1, shape[-1] * shape[-2] * shape[1])) ** 0.5
                )
            else:
                self[name] = torch.empty(*shape).uniform_(low, high, generator=self.generator)
        return self[name]

    def bias(self, name, count):
        return self.make(f'{name}.bias', count, low=-0.2, high=0.2)

    def conv(self, x, name, cout, kernel, stride=1, padding=0, dilation=1, groups=1, bias=False):
        kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
        weight = self.make(f'{name}.weight', cout, x.shape[1] // groups, *kernel)
        return F.conv2d(x, weight, self.bias(name, cout) if bias else None, stride, padding, dilation, groups)

    def deconv(self, x, name, cout, kernel, padding, output_padding):
        weight = self.make(f'{name}.weight', x.shape[1], cout, kernel, kernel)
        return F.conv_transpose2d(x, weight, self.bias(name, cout), 2, padding, output_padding)

    def norm(self, x, name):
        width = x.shape[1]
        mean = self.make(f'{name}.running_mean', width, low=-0.3, high=0.3)
        variance = self.make(f'{name}.running_var', width, low=0.5, high=1.5)
        scale = self.make(f'{name}.weight', width, low=0.6, high=1.4)
        self.setdefault(f'{name}.num_batches_tracked', torch.tensor(7))
        return F.batch_norm(x, mean, variance, scale, self.bias(name, width), False, 0.0, self.eps)

    def prelu(self, x, name):
        return F.prelu(x, self.make(f'{name}.weight', x.shape[1], low=0.1, high=0.4))


def tramac(t, x, classes=19):
    """Fast-SCNN-pytorch, models/fast_scnn.py: logits before the last resize."""

    def flat(x, name, at, cout, kernel, stride=1, padding=0, groups=1, act=True):
        x = t.norm(t.conv(x, f'{name}.{at}', cout, kernel, stride, padding, groups=groups), f'{name}.{at + 1}')
        return F.relu(x) if act else x

    def separable(x, name, cout, stride=1):
        x = flat(x, f'{name}.conv', 0, x.shape[1], 3, stride, 1, x.shape[1])
        return flat(x, f'{name}.conv', 3, cout, 1)

    def bottleneck(x, name, cout, stride):
        wide = x.shape[1] * 6
        y = flat(x, f'{name}.block.0.conv', 0, wide, 1)
        y = flat(y, f'{name}.block.1.conv', 0, wide, 3, stride, 1, wide)
        y = flat(y, f'{name}.block', 2, cout, 1, act=False)
        return x + y if stride == 1 and x.shape[1] == cout else y

    x = flat(x, 'learning_to_downsample.conv.conv', 0, 32, 3, 2)
    x = separable(x, 'learning_to_downsample.dsconv1', 48, 2)
    high = x = separable(x, 'learning_to_downsample.dsconv2', 64, 2)
    for stage, (cout, stride) in enumerate(((64, 2), (96, 2), (128, 1)), 1):
        for i in range(3):
            x = bottleneck(x, f'global_feature_extractor.bottleneck{stage}.{i}', cout, stride if i == 0 else 1)
    levels = [x]
    for i, bins in enumerate((1, 2, 3, 6), 1):
        level = flat(F.adaptive_avg_pool2d(x, bins), f'global_feature_extractor.ppm.conv{i}.conv', 0, 32, 1)
        levels.append(F.interpolate(level, x.shape[-2:], mode='bilinear', align_corners=True))
    x = flat(torch.cat(levels, 1), 'global_feature_extractor.ppm.out.conv', 0, 128, 1)
    x = F.interpolate(x, scale_factor=4, mode='bilinear', align_corners=True)
    x = flat(x, 'feature_fusion.dwconv.conv', 0, 128, 3, 1, 1, 128)
    low = t.norm(t.conv(x, 'feature_fusion.conv_lower_res.0', 128, 1, bias=True), 'feature_fusion.conv_lower_res.1')
    up = t.norm(t.conv(high, 'feature_fusion.conv_higher_res.0', 128, 1, bias=True), 'feature_fusion.conv_higher_res.1')
    x = separable(separable(F.relu(low + up), 'classifier.dsconv1', 128), 'classifier.dsconv2', 128)
    aux = F.relu(t.norm(t.conv(high, 'auxlayer.0', 32, 3, padding=1), 'auxlayer.1'))
    t.conv(aux, 'auxlayer.4', classes, 1, bias=True)
    return t.conv(x, 'classifier.conv.1', classes, 1, bias=True)


def erfnet(t, x, classes=20):
    """erfnet_pytorch, train/erfnet.py."""

    def down(x, name, cout):
        y = t.conv(x, f'{name}.conv', cout - x.shape[1], 3, 2, 1, bias=True)
        return F.relu(t.norm(torch.cat([y, F.max_pool2d(x, 2, 2)], 1), f'{name}.bn'))

    def block(x, name, d):
        w = x.shape[1]
        y = F.relu(t.conv(x, f'{name}.conv3x1_1', w, (3, 1), padding=(1, 0), bias=True))
        y = F.relu(t.norm(t.conv(y, f'{name}.conv1x3_1', w, (1, 3), padding=(0, 1), bias=True), f'{name}.bn1'))
        y = F.relu(t.conv(y, f'{name}.conv3x1_2', w, (3, 1), padding=(d, 0), dilation=(d, 1), bias=True))
        y = t.norm(t.conv(y, f'{name}.conv1x3_2', w, (1, 3), padding=(0, d), dilation=(1, d), bias=True), f'{name}.bn2')
        return F.relu(x + y)

    def up(x, name, cout):
        return F.relu(t.norm(t.deconv(x, f'{name}.conv', cout, 3, 1, 1), f'{name}.bn'))

    x = down(down(x, 'encoder.initial_block', 16), 'encoder.layers.0', 64)
    for i in range(1, 6):
        x = block(x, f'encoder.layers.{i}', 1)
    x = down(x, 'encoder.layers.6', 128)
    for i, d in enumerate((2, 4, 8, 16, 2, 4, 8, 16), 7):
        x = block(x, f'encoder.layers.{i}', d)
    t.conv(x, 'encoder.output_conv', classes, 1, bias=True)
    x = up(x, 'decoder.layers.0', 64)
    x = block(block(x, 'decoder.layers.1', 1), 'decoder.layers.2', 1)
    x = up(x, 'decoder.layers.3', 16)
    x = block(block(x, 'decoder.layers.4', 1), 'decoder.layers.5', 1)
    return t.deconv(x, 'decoder.output_conv', classes, 2, 0, 0)[:, :19]


def dabnet(t, x, classes=19):
    """DABNet, model/DABNet.py: logits before the last resize."""

    def act(x, name):
        return t.prelu(t.norm(x, f'{name}.bn'), f'{name}.acti')

    def conv(x, name, cout, kernel, **options):
        return act(t.conv(x, f'{name}.conv', cout, kernel, **options), f'{name}.bn_prelu')

    def module(x, name, d):
        half = x.shape[1] // 2
        y = conv(act(x, f'{name}.bn_relu_1'), f'{name}.conv3x3', half, 3, padding=1)
        near = conv(y, f'{name}.dconv3x1', half, (3, 1), padding=(1, 0), groups=half)
        near = conv(near, f'{name}.dconv1x3', half, (1, 3), padding=(0, 1), groups=half)
        far = conv(y, f'{name}.ddconv3x1', half, (3, 1), padding=(d, 0), dilation=(d, 1), groups=half)
        far = conv(far, f'{name}.ddconv1x3', half, (1, 3), padding=(0, d), dilation=(1, d), groups=half)
        return x + t.conv(act(near + far, f'{name}.bn_relu_2'), f'{name}.conv1x1.conv', x.shape[1], 1)

    def shrunk(x, times):
        for _ in range(times):
            x = F.avg_pool2d(x, 3, 2, 1)
        return x

    image = x
    x = conv(x, 'init_conv.0', 32, 3, stride=2, padding=1)
    x = conv(conv(x, 'init_conv.1', 32, 3, padding=1), 'init_conv.2', 32, 3, padding=1)
    x = act(torch.cat([x, shrunk(image, 1)], 1), 'bn_prelu_1')
    x = torch.cat([t.conv(x, 'downsample_1.conv3x3.conv', 29, 3, 2, 1), F.max_pool2d(x, 2, 2)], 1)
    first = x = act(x, 'downsample_1.bn_prelu')
    for i in range(3):
        x = module(x, f'DAB_Block_1.DAB_Module_1_{i}', 2)
    x = act(torch.cat([x, first, shrunk(image, 2)], 1), 'bn_prelu_2')
    second = x = act(t.conv(x, 'downsample_2.conv3x3.conv', 128, 3, 2, 1), 'downsample_2.bn_prelu')
    for i, d in enumerate((4, 4, 8, 8, 16, 16)):
        x = module(x, f'DAB_Block_2.DAB_Module_2_{i}', d)
    x = act(torch.cat([x, second, shrunk(image, 3)], 1), 'bn_prelu_3')
    return t.conv(x, 'classifier.0.conv', classes, 1)


def farseenet(t, x, classes=19):
    """realtime-semantic-segmentation-pytorch, models/farseenet.py: logits before the last resize."""

    def conv(x, name, cout, kernel=1, dilation=1, groups=1):
        padding = dilation * (kernel // 2)
        return F.relu(t.norm(t.conv(x, f'{name}.0', cout, kernel, 1, padding, dilation, groups), f'{name}.1'))

    def residual(x, name, cout, stride):
        y = F.relu(t.norm(t.conv(x, f'{name}.conv1', cout, 3, stride, 1), f'{name}.bn1'))
        y = t.norm(t.conv(y, f'{name}.conv2', cout, 3, 1, 1), f'{name}.bn2')
        if x.shape != y.shape:
            x = t.norm(t.conv(x, f'{name}.downsample.0', cout, 1, stride), f'{name}.downsample.1')
        return F.relu(x + y)

    def pyramid(x, name, cout, rates):
        branches = [conv(x, f'{name}.0', cout)]
        for i, rate in enumerate(rates, 1):
            branches.append(conv(conv(x, f'{name}.{i}.0', cout), f'{name}.{i}.1', cout, 3, rate, cout))
        return torch.cat(branches, 1)

    x = F.relu(t.norm(t.conv(x, 'frontend_network.conv1', 64, 7, 2, 3), 'frontend_network.bn1'))
    x = F.max_pool2d(x, 3, 2, 1)
    stages = {}
    for stage, cout in enumerate((64, 128, 256, 512), 1):
        x = residual(x, f'frontend_network.layer{stage}.0', cout, 1 if stage == 1 else 2)
        x = stages[stage] = residual(x, f'frontend_network.layer{stage}.1', cout, 1)
    back = 'backend_network'
    x = pyramid(x, f'{back}.conv_high', 256, (6, 12, 18))
    x = F.pixel_shuffle(t.conv(x, f'{back}.sub_pixel_high.0', 2048, 1), 2)
    x = torch.cat([x, conv(stages[3], f'{back}.conv_low_init', 48)], 1)
    x = pyramid(x, f'{back}.conv_low', 128, (6, 12))
    x = conv(conv(x, f'{back}.conv_low_last.0', 512), f'{back}.conv_low_last.1', 512, 3)
    return F.pixel_shuffle(t.conv(x, f'{back}.sub_pixel_low.0', classes * 16, 1), 4)


class Case:
    """A repository's forward pass, its batch norm epsilon, its container and how many tensors its files hold."""

    def __init__(self, forward, eps, wrap, count):
        self.forward, self.eps, self.wrap, self.count = forward, eps, wrap, count

    @lru_cache  # noqa: B019 - four cases that live as long as the tests
    def made(self, classes):
        tensors = Tensors(self.eps)
        with torch.no_grad():
            self.forward(tensors, torch.zeros(1, 3, 64, 64), **({} if classes is None else {'classes': classes}))
        return tensors

    def tensors(self, classes=None):
        return copy(self.made(classes))

    def save(self, tensors, path):
        torch.save(self.wrap(dict(tensors)), path)
        return path


CASES = {
    'tramac-fast-scnn': Case(tramac, 1e-5, lambda s: s, 276),
    'erfnet-pytorch': Case(erfnet, 1e-3, lambda s: {f'module.{k}': v for k, v in s.items()}, 345),
    'dabnet': Case(dabnet, 1e-3, lambda s: {'epoch': 999, 'model': s}, 486),
    'zh320-farseenet': Case(farseenet, 1e-5, lambda s: {'cur_epoch': 800, 'best_score': 0.7, 'state_dict': s}, 212),
}


def imported_network(imported):
    network = build_network(imported.network, len(imported.facts['class_names']), **imported.network_args)
    network.load_state_dict(imported.state)
    return network.eval()


@pytest.mark.parametrize('kind', CASES)
def test_imported_network_equals_the_published_forward_pass(kind, tmp_path):
    case = CASES[kind]
    tensors = case.tensors()
    assert len(tensors) == case.count
    imported = import_checkpoint(kind, case.save(tensors, tmp_path / 'weights.pth'))
    network = imported_network(imported)
    x = torch.randn(2, 3, 96, 160, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        expected, found = case.forward(tensors, x), network(x)
    assert found.shape == expected.shape
    assert float((found - expected).abs().max()) <= 1e-4 * float(expected.std())
    aligned = imported.facts['align_corners']
    published = F.interpolate(expected, (96, 160), mode='bilinear', align_corners=aligned)
    assert torch.allclose(
        upsample(found, network.stride, (96, 160), aligned), published, atol=2e-4 * float(published.std())
    )


@pytest.mark.parametrize('kind', CASES)
def test_every_tensor_is_placed_once(kind, tmp_path):
    tensors = CASES[kind].tensors()
    state = import_checkpoint(kind, CASES[kind].save(tensors, tmp_path / 'weights.pth')).state
    pool = {}
    for name, tensor in tensors.items():
        pool.setdefault(tuple(tensor.shape), []).append(name)
    used = set()
    for name, tensor in state.items():
        if name.endswith('num_batches_tracked') or (kind == 'erfnet-pytorch' and name.startswith('decoder.6.')):
            continue
        (match,) = [n for n in pool[tuple(tensor.shape)] if torch.equal(tensors[n], tensor)]
        assert match not in used
        used.add(match)
    unused = {n for n in tensors if n not in used and not n.endswith('num_batches_tracked')}
    assert all(n.startswith(('auxlayer.', 'encoder.output_conv.', 'decoder.output_conv.')) for n in unused)


def test_facts_carry_classes_normalisation_and_licence(tmp_path):
    facts = {
        kind: import_checkpoint(kind, case.save(case.tensors(), tmp_path / f'{kind}.pth')).facts
        for kind, case in CASES.items()
    }
    assert all(f['class_names'] == CITYSCAPES.names and f['dataset'] == 'cityscapes' for f in facts.values())
    assert {k: f['licence'] for k, f in facts.items()} == {
        'tramac-fast-scnn': 'Apache-2.0',
        'erfnet-pytorch': 'CC-BY-NC-4.0',
        'dabnet': 'MIT',
        'zh320-farseenet': 'Apache-2.0',
    }
    assert {k for k, f in facts.items() if f['align_corners']} == {'tramac-fast-scnn', 'zh320-farseenet'}
    assert facts['erfnet-pytorch']['mean'] == (0.0, 0.0, 0.0)
    assert facts['erfnet-pytorch']['std'] == (1.0, 1.0, 1.0)
    assert facts['tramac-fast-scnn']['mean'] == (0.485, 0.456, 0.406)
    # DABNet subtracts a mean from grey values 0..255 and does not divide.
    mean, std = facts['dabnet']['mean'], facts['dabnet']['std']
    assert [(200 / 255 - m) / s for m, s in zip(mean, std)] == pytest.approx([200 - 73.16, 200 - 82.91, 200 - 72.39])


def test_dabnet_trained_on_camvid_is_told_by_its_head(tmp_path):
    case = CASES['dabnet']
    imported = import_checkpoint('dabnet', case.save(case.tensors(classes=11), tmp_path / 'camvid.pth'))
    assert imported.facts['class_names'] == CAMVID.names
    assert imported.facts['input_size'] == (360, 480)


def test_the_command_writes_a_bundle_with_the_published_weights(tmp_path):
    case, file, out = CASES['dabnet'], tmp_path / 'camvid.pth', tmp_path / 'bundle'
    case.save(case.tensors(classes=11), file)
    done = CliRunner().invoke(command, ['dabnet', str(file), '--out', str(out), '--size', '64x96'])
    assert done.exit_code == 0, done.output
    bundle, state = load_bundle(str(out)), import_checkpoint('dabnet', file).state
    weights = bundle.weights()
    assert weights.keys() == {name for name in state if not name.endswith('num_batches_tracked')}
    assert all(np.array_equal(weight, state[name].numpy()) for name, weight in weights.items())
    assert set(bundle.sizes()) == {(360, 480), (64, 96)} and bundle.card.licence == 'MIT'
    assert 'camvid' in done.output and 'MIT' in done.output


def test_files_without_batch_counters_load(tmp_path):
    tensors = {k: v for k, v in CASES['dabnet'].tensors().items() if not k.endswith('num_batches_tracked')}
    assert len(import_checkpoint('dabnet', CASES['dabnet'].save(tensors, tmp_path / 'old.pth')).state) == 486


@pytest.mark.parametrize(('kind', 'other'), zip(CASES, [*list(CASES)[1:], 'tramac-fast-scnn']))
def test_checkpoint_of_another_network_is_refused(kind, other, tmp_path):
    path = CASES[other].save(CASES[other].tensors(), tmp_path / 'weights.pth')
    with pytest.raises(BundleError, match=f'tensor .* is missing; this is not a checkpoint of {kind}'):
        import_checkpoint(kind, path)


@pytest.mark.parametrize('kind', CASES)
def test_missing_left_over_and_misshapen_tensors_are_named(kind, tmp_path):
    case = CASES[kind]
    dropped = sorted(n for n in case.tensors() if n.endswith('running_var') and not n.startswith('auxlayer'))[3]
    head = IMPORTERS[kind].head[0]

    tensors = case.tensors()
    del tensors[dropped]
    tensors['strange.weight'] = torch.zeros(3)
    with pytest.raises(BundleError, match=rf'tensors missing: {dropped}; tensors left over: strange\.weight$'):
        import_checkpoint(kind, case.save(tensors, tmp_path / 'names.pth'))

    tensors = case.tensors()
    tensors[dropped] = torch.zeros(3)
    with pytest.raises(BundleError, match=rf"tensor '{dropped}' is \(3,\); {kind} has \("):
        import_checkpoint(kind, case.save(tensors, tmp_path / 'shape.pth'))

    tensors = case.tensors()
    tensors[head] = torch.zeros(8, 8, 1, 1)
    with pytest.raises(BundleError, match=rf"tensor '{head}' is \(8, 8, 1, 1\); {kind} has"):
        import_checkpoint(kind, case.save(tensors, tmp_path / 'head.pth'))


def test_files_that_are_no_checkpoint_are_refused_in_one_sentence(tmp_path):
    whole = CASES['dabnet'].save(CASES['dabnet'].tensors(), tmp_path / 'weights.pth')
    cut = tmp_path / 'cut.pth'
    cut.write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    text = tmp_path / 'text.pth'
    text.write_text('not a checkpoint')
    empty = tmp_path / 'empty.pth'
    empty.write_bytes(b'')
    listed = tmp_path / 'list.pth'
    torch.save([1, 2], listed)
    for path in (cut, text, empty, listed):
        with pytest.raises(BundleError) as caught:
            import_checkpoint('dabnet', path)
        assert str(caught.value).startswith(f'{path}: ')
        assert '\n' not in str(caught.value)
    with pytest.raises(NotFound, match='no such checkpoint'):
        import_checkpoint('dabnet', tmp_path / 'absent.pth')
    with pytest.raises(UsageError, match="unknown kind of checkpoint 'mmseg'; known: tramac-fast-scnn, erfnet-pytorch"):
        import_checkpoint('mmseg', whole)


class Trap:
    """An object whose unpickling would run code."""

    def __reduce__(self):
        return exec, ('raise SystemExit("ran")',)


def test_nothing_in_a_pickle_is_executed(tmp_path):
    path = tmp_path / 'trap.pth'
    torch.save({'model': Trap()}, path)
    with pytest.raises(BundleError, match='more in it than tensors'):
        import_checkpoint('dabnet', path)
