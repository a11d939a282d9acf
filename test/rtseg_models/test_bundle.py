# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Dict

import numpy as np
import onnx
import pytest
from safetensors.numpy import load_file, save_file

from rtseg_models.bundle import WEIGHTS, ZOO, Bundle, load_bundle, sha256_of, shipped_bundles
from rtseg_models.card import Card
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options, openvino_backend
from rtseg_models.errors import BundleError, ConfigurationError, NotFound, RtsegError
from rtseg_models.export.bundle_writer import write_bundle
from rtseg_models.labels import CAMVID
from rtseg_models.networks import build_network, logit_stride


@pytest.fixture
def copy(tiny_bundle: Bundle, tmp_path: Path) -> Path:
    return Path(shutil.copytree(tiny_bundle.path, tmp_path / 'copy'))


def with_tensors(path: Path, change: Callable[[dict[str, np.ndarray]], None]) -> None:
    """Change the weights and let the card know their new hash."""
    tensors = load_file(str(path / WEIGHTS))
    change(tensors)
    save_file(tensors, str(path / WEIGHTS))
    card = Card.from_json((path / 'card.json').read_text(), 'card')
    (path / 'card.json').write_text(replace(card, weights_sha256=sha256_of(path / WEIGHTS)).to_json())


def with_facts(path: Path, facts: Dict[str, Any]) -> None:
    """Change the card."""
    found = json.loads((path / 'card.json').read_text())
    (path / 'card.json').write_text(json.dumps({**found, **facts}))


def test_a_bundle_is_whole(tiny_bundle: Bundle) -> None:
    assert tiny_bundle.sizes() == [(64, 96), (96, 128)]
    rgb, labels = tiny_bundle.golden()
    assert rgb.shape == (64, 96, 3)
    assert labels.shape == (64, 96)


def test_graphs_hold_no_weights_and_parse_on_old_runtimes(tiny_bundle: Bundle) -> None:
    model = onnx.load(str(tiny_bundle.graph((64, 96))), load_external_data=False)
    assert model.ir_version <= 8
    assert [(o.domain, o.version) for o in model.opset_import] == [('', 17)]
    external = [t for t in model.graph.initializer if t.data_location == onnx.TensorProto.EXTERNAL]
    assert {e.value for t in external for e in t.external_data if e.key == 'location'} == {WEIGHTS}
    named = {t.name.removeprefix('network.').removesuffix('.f16') for t in external}
    assert named == set(tiny_bundle.weights())
    assert sum(len(t.raw_data) for t in model.graph.initializer) < 20_000
    onnx.checker.check_model(str(tiny_bundle.graph((64, 96))))


@pytest.mark.parametrize('name', ['', *shipped_bundles()])
def test_graphs_cast_the_image_before_all_else(name: str, tiny_bundle: Bundle) -> None:
    """TensorRT takes uint8 into nothing but a cast."""
    bundle = load_bundle(name) if name else tiny_bundle
    for size in bundle.sizes():
        graph = onnx.load(str(bundle.graph(size)), load_external_data=False).graph
        assert [node.op_type for node in graph.node if 'image' in node.input] == ['Cast'], size


@pytest.mark.parametrize('backend', ['openvino', 'onnxruntime', 'torch'])
def test_golden_sample_on_every_backend(tiny_bundle: Bundle, backend: str) -> None:
    assert Pipeline(tiny_bundle, backend=backend).self_test() >= 0.999


def test_shipped_bundles_load_by_name_and_pass_their_golden_sample() -> None:
    assert 'fast_scnn-camvid' in shipped_bundles()
    for name in shipped_bundles():
        bundle = load_bundle(name)
        assert bundle.card.input_size in bundle.sizes() and len(bundle.sizes()) > 1  # a target rate can choose
        for backend in ('openvino', 'onnxruntime', 'torch'):
            assert Pipeline(bundle, backend=backend, options=Options(precision='fp32')).self_test() >= 0.999
        assert Pipeline(bundle).self_test() >= 0.99  # auto, in reduced precision where the card allows it


def test_a_missing_bundle_lists_the_shipped_ones() -> None:
    with pytest.raises(NotFound, match='fast_scnn-camvid'):
        load_bundle('/nowhere/at/all')


@pytest.mark.parametrize('name', ['card.json', WEIGHTS])
def test_a_missing_file_is_named(copy: Path, name: str) -> None:
    (copy / name).unlink()
    with pytest.raises(NotFound, match=str(copy / name)):
        load_bundle(str(copy))


@pytest.mark.parametrize('name', ['card.json', WEIGHTS])
def test_a_folder_or_pipe_in_place_of_a_file_is_called_so(copy: Path, name: str) -> None:
    (copy / name).unlink()
    (copy / name).mkdir()
    with pytest.raises(BundleError, match=f'{copy / name}: a folder; expected a file'):
        load_bundle(str(copy))
    (copy / name).rmdir()
    os.mkfifo(copy / name)
    with pytest.raises(BundleError, match=f'{copy / name}: no regular file; expected a file'):
        load_bundle(str(copy))


@pytest.mark.parametrize('length', [256, 5000])
def test_a_name_that_is_too_long_for_a_file_is_no_bundle(length: int) -> None:
    with pytest.raises(NotFound, match='no such bundle; shipped bundles'):
        load_bundle('x' * length)


@pytest.mark.parametrize('name', ['card.json', 'model.safetensors'])
def test_files_of_somebody_else_are_named(copy: Path, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = Path.open

    def refused(self: Path, *arguments: Any, **options: Any) -> Any:
        if self.name == name:
            raise PermissionError(errno.EACCES, 'Permission denied', str(self))
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Path, 'open', refused)
    with pytest.raises(NotFound, match=rf'cannot be read: .*{copy}/{name}'):
        load_bundle(str(copy))


def test_damaged_weights_are_found_by_their_hash(copy: Path) -> None:
    data = bytearray((copy / WEIGHTS).read_bytes())
    data[-100] ^= 1
    (copy / WEIGHTS).write_bytes(data)
    with pytest.raises(BundleError, match='sha256'):
        load_bundle(str(copy))


def test_truncated_weights_are_refused_even_with_the_right_hash(copy: Path) -> None:
    (copy / WEIGHTS).write_bytes((copy / WEIGHTS).read_bytes()[:5000])
    facts = json.loads((copy / 'card.json').read_text())
    facts['weights_sha256'] = sha256_of(copy / WEIGHTS)
    (copy / 'card.json').write_text(json.dumps(facts))
    with pytest.raises(BundleError, match='safetensors'):
        load_bundle(str(copy))


def test_weights_in_a_format_that_numpy_lacks_are_refused(copy: Path) -> None:
    data = (copy / WEIGHTS).read_bytes()
    length = int.from_bytes(data[:8], 'little')
    header = data[8 : 8 + length].replace(b'"F16"', b'"BF16"')
    (copy / WEIGHTS).write_bytes(len(header).to_bytes(8, 'little') + header + data[8 + length :])
    facts = json.loads((copy / 'card.json').read_text())
    facts['weights_sha256'] = sha256_of(copy / WEIGHTS)
    (copy / 'card.json').write_text(json.dumps(facts))
    with pytest.raises(BundleError, match='bfloat16'):
        load_bundle(str(copy))


def test_nan_weights_are_named(copy: Path) -> None:
    with_tensors(copy, lambda t: t['classifier.3.bias'].__setitem__(2, np.nan))
    with pytest.raises(BundleError, match=r"'classifier\.3\.bias' holds NaN"):
        load_bundle(str(copy))


@pytest.mark.parametrize(
    'change,said',
    [
        (lambda t: t.pop('classifier.3.bias'), r"'classifier\.3\.bias' of fast_scnn is missing"),
        (lambda t: t.update(extra=np.zeros(3, np.float32)), "'extra' does not belong"),
        (lambda t: t.update({'classifier.3.bias': np.zeros(5, np.float32)}), r"'classifier\.3\.bias' is \(5,\)"),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    copy: Path, change: Callable[[dict[str, np.ndarray]], None], said: str
) -> None:
    with_tensors(copy, change)
    with pytest.raises(BundleError, match=said):
        Pipeline(load_bundle(str(copy)), backend='torch')


@pytest.mark.parametrize(
    ('facts', 'said'),
    [
        ({'network': 'u_net'}, "field 'network' is 'u_net'; known: contextnet, "),
        ({'network': 'fast_scnn_classifier'}, "field 'network' is 'fast_scnn_classifier'; known: contextnet, "),
        ({'network_args': {'colour': 'blue'}}, "field 'network_args' is {'colour': 'blue'}: "),
        ({'network_args': {'classes': 3}}, "field 'network_args' is {'classes': 3}: "),
        ({'network': 'farsee_net', 'network_args': {'method': 9}}, "field 'network_args' is {'method': 9}: "),
        ({'output_stride': 4}, "field 'output_stride' is 4; fast_scnn has 8"),
    ],
)
def test_cards_that_describe_no_network_are_refused_by_field(copy: Path, facts: Dict[str, Any], said: str) -> None:
    with_facts(copy, facts)
    with pytest.raises(BundleError, match=re.escape(f'{copy / "card.json"}: {said}')):
        Pipeline(load_bundle(str(copy)), backend='torch')


def test_weights_root_confines_paths(copy: Path) -> None:
    assert load_bundle(str(copy), str(copy.parent)).path == copy
    with pytest.raises(ConfigurationError, match='outside weights_root'):
        load_bundle(str(copy), str(copy / 'elsewhere'))


def test_a_size_without_graph_is_refused_with_the_sizes_there(tiny_bundle: Bundle) -> None:
    with pytest.raises(ConfigurationError, match='64x96, 96x128') as caught:
        tiny_bundle.graph((128, 128))
    assert 'rtseg export --size 128x128' in str(caught.value)


def test_an_existing_bundle_is_never_overwritten(tiny_bundle: Bundle, copy: Path) -> None:
    before = (copy / 'card.json').read_bytes()
    with pytest.raises(RtsegError, match='exists already'):
        write_bundle(build_network('fast_scnn', 11).eval(), tiny_bundle.card, copy)
    assert (copy / 'card.json').read_bytes() == before


def test_nothing_is_left_where_writing_fails(tiny_bundle: Bundle, tmp_path: Path) -> None:
    network = build_network('fast_scnn', 11).eval()
    network.classifier[3].weight.data[:] = float('nan')
    with pytest.raises(BundleError):
        write_bundle(network, tiny_bundle.card, tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize('damage', ['two bytes', 'half', 'one bit'])
def test_a_damaged_golden_sample_is_refused(copy: Path, damage: str) -> None:
    whole = (copy / 'golden.npz').read_bytes()
    middle = len(whole) // 2
    flipped = whole[:middle] + bytes([whole[middle] ^ 1]) + whole[middle + 1 :]
    (copy / 'golden.npz').write_bytes({'two bytes': b'PK', 'half': whole[:middle], 'one bit': flipped}[damage])
    with pytest.raises(BundleError, match=r'golden\.npz'):
        load_bundle(str(copy)).golden()
    (copy / 'golden.npz').unlink()
    with pytest.raises(NotFound, match=r'golden\.npz: cannot be read'):
        load_bundle(str(copy)).golden()


MARKS = {'fast_scnn': 0.62, 'contextnet': 0.60, 'dabnet': 0.62, 'erfnet': 0.60, 'farsee_net': 0.54}
"""What each network's selection run has to reach on CamVid's val."""


@pytest.mark.parametrize('network', MARKS)
def test_shipped_bundles_reach_their_marks_and_tell_how(network: str) -> None:
    card = load_bundle(f'{network}-camvid').card
    assert (card.network, card.class_names, card.dataset) == (network, CAMVID.names, 'camvid')
    assert card.miou['val'] >= MARKS[network] and 'held_out_drive' in card.miou
    assert {'seed', 'epochs', 'minutes', 'hardware', 'protocol', 'limits', 'recipe'} <= card.origin.keys()
    assert set(card.origin['figures']) == set(card.miou) == set(card.origin['iou'])  # all learnt from val
    for name, iou in card.origin['iou'].items():
        assert card.origin['figures'][name]['trained_on'] == ['train']
        assert np.mean([v for v in iou.values() if v is not None]) == pytest.approx(card.miou[name], abs=2e-4)


def test_the_zoo_is_small_and_has_the_papers_sizes() -> None:
    assert sum(path.stat().st_size for path in ZOO.rglob('*') if path.is_file()) < 50e6
    assert 'val@180x240' in load_bundle('farsee_net-camvid').card.miou


def test_the_readme_tells_the_cards_figures() -> None:
    readme = (Path(__file__).parents[2] / 'README.md').read_text(encoding='utf-8')
    table = readme.split('<!-- bundles -->')[1].split('<!-- /bundles -->')[0]
    for name in shipped_bundles():
        bundle = load_bundle(name)
        row = next(line for line in table.splitlines() if f'`{name}`' in line)
        assert f'| {bundle.card.miou["val"]:.3f} | {bundle.card.miou["held_out_drive"]:.3f} |' in row
        assert all(f'`{split}`' in row for split in bundle.card.origin['trained_on'])
        assert ', '.join(f'{h}x{w}' for h, w in bundle.sizes()) in row


def test_weights_root_is_a_folder_and_not_the_beginning_of_a_name(tiny_bundle: Bundle, tmp_path: Path) -> None:
    (tmp_path / 'models').mkdir()
    shutil.copytree(tiny_bundle.path, tmp_path / 'models-of-others')
    with pytest.raises(ConfigurationError, match='outside weights_root'):
        load_bundle(str(tmp_path / 'models-of-others'), str(tmp_path / 'models'))


@pytest.mark.parametrize('name', ['card.json', WEIGHTS, '64x96.onnx', 'golden.npz', 'below/anything'])
def test_weights_root_confines_every_file_of_a_bundle(tiny_bundle: Bundle, copy: Path, name: str) -> None:
    (copy / name).parent.mkdir(exist_ok=True)
    (copy / name).unlink(missing_ok=True)
    outside = tiny_bundle.path / Path(name).name
    (copy / name).symlink_to(outside if outside.exists() else tiny_bundle.path)
    assert load_bundle(str(copy)).path == copy
    said = f'{copy / name}: leads to {(copy / name).resolve()}, outside weights_root {copy.parent}'
    with pytest.raises(ConfigurationError, match=re.escape(said)):
        load_bundle(str(copy), str(copy.parent))


def test_links_inside_weights_root_are_followed(copy: Path) -> None:
    (copy / WEIGHTS).rename(copy.parent / 'weights')
    (copy / WEIGHTS).symlink_to(copy.parent / 'weights')
    (copy / 'circle').symlink_to(copy / 'circle')
    assert load_bundle(str(copy), str(copy.parent)).path == copy


def test_a_golden_sample_of_another_shape_or_kind_is_refused(copy: Path) -> None:
    bundle = load_bundle(str(copy))
    rgb, labels = bundle.golden()
    wrong: Dict[str, np.ndarray]
    for wrong in ({'labels': labels[:-1]}, {'labels': labels.astype(np.int64)}, {'rgb': rgb / 255}):
        np.savez_compressed(copy / 'golden.npz', **{'rgb': rgb, 'labels': labels, **wrong})
        with pytest.raises(BundleError, match=r'golden\.npz: rgb is'):
            bundle.golden()


def test_graphs_that_disagree_with_pytorch_are_not_written(
    tiny_bundle: Bundle, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def spoilt(backend: Any, rgb: np.ndarray) -> np.ndarray:
        return sound(backend, rgb) * np.float32(1.01)

    sound = openvino_backend.OpenVINOBackend.infer
    monkeypatch.setattr(openvino_backend.OpenVINOBackend, 'infer', spoilt)
    with pytest.raises(BundleError, match='openvino differs from eager at 64x96'):
        write_bundle(build_network('fast_scnn', 11).eval(), tiny_bundle.card, tmp_path / 'out')
    assert list(tmp_path.iterdir()) == []


def test_a_size_that_the_network_cannot_take_is_refused(tiny_bundle: Bundle, tmp_path: Path) -> None:
    network = build_network('contextnet_cn18', len(CAMVID)).eval()
    card = replace(tiny_bundle.card, network='contextnet_cn18', output_stride=logit_stride(network))
    bundle = write_bundle(network, card, tmp_path / 'cn18')
    for backend in ('torch', 'onnxruntime'):  # which has no graph of the size and exports one
        with pytest.raises(ConfigurationError, match='input size 32x64: this network needs 64 or more on each side'):
            Pipeline(bundle, backend=backend, input_size=(32, 64))
