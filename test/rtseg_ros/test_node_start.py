# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""From settings to a node that serves, or the exit code that says why not: bundles, devices, sizes, engine caches."""

import json
import shutil
import signal
import subprocess

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_process import NODE, Probe, bundle, picture, until
from safetensors.numpy import load_file, save_file
from sensor_msgs.msg import Image

from rtseg_models.bundle import WEIGHTS, sha256_of

GPU_THAT_NOTHING_CAN_USE = """
from rtseg_models.engine import backends
backends.nvidia_gpu_present = lambda: True
"""

ON_OPENVINO = {'backend': 'openvino', 'device': 'cpu'}  # the runtime that keeps engines on every machine


@pytest.fixture
def copied(tmp_path):
    """A bundle that may be spoilt."""
    return shutil.copytree(bundle().path, tmp_path / 'spoilt')


def test_missing_bundle_names_its_path_and_the_shipped_ones(started, tmp_path):
    started(parameters={'model': tmp_path / 'none'}).refused(66, tmp_path / 'none', bundle().name)


def test_a_bundle_outside_weights_root_is_refused(started, copied, tmp_path):
    (tmp_path / 'allowed').mkdir()
    given = {'model': copied, 'weights_root': tmp_path / 'allowed'}
    started(parameters=given).refused(78, copied, 'outside weights_root')


def test_cameras_of_one_name_are_refused(started):
    started(parameters={'cameras': '[left, left]'}).refused(78, 'cameras', 'every name once')


def spoil(folder, weights=lambda tensors: None, card=lambda facts: None):
    """Change a bundle and have its card know the hash of the new weights."""
    tensors = load_file(folder / WEIGHTS)
    weights(tensors)
    save_file(tensors, folder / WEIGHTS)
    facts = json.loads((folder / 'card.json').read_text())
    facts['weights_sha256'] = sha256_of(folder / WEIGHTS)
    card(facts)
    (folder / 'card.json').write_text(json.dumps(facts))


def nan_bias(tensors):
    tensors['classifier.3.bias'][2] = np.nan


def short_bias(tensors):
    tensors['classifier.3.bias'] = np.zeros(5, np.float32)


def huge_scale(tensors):
    tensors['classifier.1.1.1.weight'][:] = 3e38  # finite, and yet the logits are not


@pytest.mark.parametrize(
    ('changes', 'told'),
    [
        ({'weights': nan_bias}, (WEIGHTS, "'classifier.3.bias' holds NaN")),
        ({'weights': short_bias}, (WEIGHTS, "'classifier.3.bias' is (5,)", '(11,)')),
        ({'weights': huge_scale}, ('logits hold NaN',)),
        ({'card': lambda facts: facts.update(output_stride=4)}, ('card.json', "'output_stride' is 4")),
        ({'card': lambda facts: facts['classes'].pop()}, ('card.json', "'classes' has 10 entries", '11 classes')),
    ],
)
def test_bundles_that_contradict_themselves_are_refused_by_tensor_or_field(started, copied, changes, told):
    spoil(copied, **changes)
    started(parameters={'model': copied}).refused(65, copied, *told)


def test_weights_cut_short_are_refused(started, copied):
    weights = copied / WEIGHTS
    weights.write_bytes(weights.read_bytes()[:5000])
    facts = json.loads((copied / 'card.json').read_text())
    facts['weights_sha256'] = sha256_of(weights)
    (copied / 'card.json').write_text(json.dumps(facts))
    started(parameters={'model': copied}).refused(65, weights, 'safetensors')


def test_damaged_weights_are_refused(started, copied):
    weights = copied / 'model.safetensors'
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    started(parameters={'model': copied}).refused(65, weights, 'sha256')


def test_damaged_card_is_refused_by_field(started, copied):
    card = json.loads((copied / 'card.json').read_text())
    card['classes'][1]['id'] = 0
    (copied / 'card.json').write_text(json.dumps(card))
    started(parameters={'model': copied}).refused(65, copied / 'card.json', "'classes'")


def test_self_test_fails_where_the_golden_labels_differ(started, copied):
    rgb, labels = bundle().golden()
    np.savez_compressed(copied / 'golden.npz', rgb=rgb, labels=(labels + 1) % bundle().card.classes)
    started(parameters={'model': copied}).refused(65, 'golden sample')


def test_missing_device_is_never_replaced(started):
    started(parameters={'device': 'cuda'}, CUDA_VISIBLE_DEVICES='').refused(
        69, 'cuda', 'onnxruntime 1.', 'PyTorch 2.', 'install'
    )


def test_auto_falls_back_to_the_cpu_with_a_warning_in_log_and_diagnostics(started, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text(GPU_THAT_NOTHING_CAN_USE)
    node = started(PYTHONPATH=str(tmp_path), CUDA_VISIBLE_DEVICES='')
    node.wait_for_log('serving ')
    assert 'install' in node.warning('running on the CPU: ')
    probe = Probe()
    try:
        probe.subscribe('/diagnostics', DiagnosticArray)
        facts = probe.counts('device')
        assert (facts['requested'], facts['actual']) == ('auto', 'cpu')
        assert 'install' in facts['fallback']
        assert probe.diagnosis('device').level == DiagnosticStatus.WARN
        assert facts['fallback'] in probe.diagnosis('device').message
    finally:
        probe.close()


def test_homes_of_unknown_users_are_told(started):
    started(parameters={'model': '~nobody-of-that-name/bundle'}).refused(66, '~nobody-of-that-name/bundle')
    node = started(parameters={'cache_dir': '~nobody-of-that-name/cache'})
    node.wait_for_log('serving ')
    assert 'home directory' in node.warning('running without an engine cache')


def test_a_clock_setting_of_the_wrong_type_is_refused(started):
    started(parameters={'use_sim_time': 5}).refused(64, 'use_sim_time', 'expected true or false')


def test_contradictions_are_configuration_errors(started):
    started(parameters={'input_height': 512}).refused(78, 'input_width')


@pytest.mark.parametrize('missing', ['torch', 'onnx'])
def test_input_size_without_a_graph_and_without_pytorch_names_the_sizes_present(started, tmp_path, missing):
    height, width = bundle().card.input_size
    (tmp_path / 'sitecustomize.py').write_text(f'import sys\nsys.modules[{missing!r}] = None\n')
    node = started(parameters={'input_height': 64, 'input_width': 96, **ON_OPENVINO}, PYTHONPATH=str(tmp_path))
    assert node.end() == 78, node.log
    assert f'{height}x{width}' in node.log
    assert 'rtseg export --size 64x96' in node.log


def test_auto_takes_pytorch_for_a_size_that_no_graph_can_be_made_of(started, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text("import sys\nsys.modules['onnx'] = None\n")
    node = started(parameters={'input_height': 64, 'input_width': 96, 'device': 'cpu'}, PYTHONPATH=str(tmp_path))
    until(lambda: '64x96 on torch cpu fp32' in node.log, 'PyTorch', 60, lambda: node.log)


MOUNTED = 'mount -t tmpfs -o {options} tmpfs {folder} && exec "$@"'


@pytest.mark.parametrize(
    ('options', 'told'),
    [('ro', 'Read-only file system'), ('size=64k', 'is the disk full'), ('size=64k,nr_inodes=2', 'No space left')],
)
def test_a_cache_on_a_read_only_or_full_disk_costs_a_warning_only(started, tmp_path, options, told):
    script = MOUNTED.format(options=options, folder=tmp_path)
    wrapper = ['unshare', '--map-root-user', '--mount', 'sh', '-c', script, 'sh']
    if not shutil.which('unshare') or subprocess.run([*wrapper, 'true'], capture_output=True).returncode:
        pytest.skip('this user may not mount a file system of its own')
    node = started(parameters={'cache_dir': tmp_path / 'cache', **ON_OPENVINO}, wrapper=wrapper)
    node.wait_for_log('serving ')
    assert told in node.warning('engine cache'), node.log


def test_a_damaged_engine_is_built_anew_with_a_warning(started, tmp_path):
    for damaged in (False, True):
        node = started(parameters={'cache_dir': tmp_path, **ON_OPENVINO})
        node.wait_for_log('serving ')
        assert node.signal(signal.SIGTERM) == 0
        (engine,) = tmp_path.glob('*/*.blob')
        assert bool(node.warning('is damaged; building anew')) == damaged
        engine.chmod(0o600)
        engine.write_bytes(b'an engine of another version')


def test_a_second_start_serves_from_the_cache_and_never_needs_pytorch(started, tmp_path):
    (tmp_path / 'sitecustomize.py').write_text("import sys\nsys.modules['torch'] = None\n")
    cache, built = tmp_path / 'cache', set()
    for _ in range(2):
        node = started(parameters={'cache_dir': cache, 'max_image_age_s': 0.0, **ON_OPENVINO}, PYTHONPATH=str(tmp_path))
        node.wait_for_log('serving ')
        probe = Probe()
        try:
            probe.subscribe(f'{NODE}/mask', Image)
            camera = probe.publisher('/image')
            until(camera.get_subscription_count, 'subscription of the node')
            camera.publish(probe.frame(picture()))
            until(lambda probe=probe: probe.received[f'{NODE}/mask'], 'first mask')
        finally:
            probe.close()
        assert node.signal(signal.SIGTERM) == 0
        built.update((engine, engine.stat().st_mtime_ns) for engine in cache.glob('*/*.blob'))
    assert len(built) == 1


def test_a_target_rate_chooses_among_the_sizes_of_the_bundle(started):
    smallest, largest = bundle().sizes()[0], bundle().sizes()[-1]
    slow = started(parameters={'target_rate_hz': 0.01})
    slow.wait_for_log(f'serving {bundle().name} {largest[0]}x{largest[1]}')
    fast = started(parameters={'target_rate_hz': 1000})
    fast.wait_for_log(f'serving {bundle().name} {smallest[0]}x{smallest[1]}')
    assert 'no input size holds target_rate_hz 1000' in fast.log
