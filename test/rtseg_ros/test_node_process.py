# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the node's process begins and ends: command line, parameter file, bundles, signals, exit codes."""

import json
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
from node_process import NodeProcess, bundle, until

INT, TERM = signal.SIGINT, signal.SIGTERM


@pytest.fixture
def started():
    """Starts nodes and sees to their end."""
    nodes = []

    def start(*arguments, **options):
        nodes.append(NodeProcess(*arguments, **options))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()


@pytest.fixture
def copied(tmp_path):
    """A bundle that may be spoilt."""
    return shutil.copytree(bundle().path, tmp_path / 'spoilt')


@pytest.mark.parametrize('numbers', [(INT,), (TERM,), (INT, INT), (TERM, INT)])
def test_signals_end_the_idle_node_at_once(started, numbers):
    node = started()
    node.wait_for_log('serving ')
    assert node.signal(*numbers) == 0
    assert 'Traceback' not in node.log


def answers_signals(node):
    """Whether the process has come so far that it handles SIGTERM."""
    status = Path(f'/proc/{node.process.pid}/status').read_text()
    caught = next(line for line in status.splitlines() if line.startswith('SigCgt'))
    return int(caught.split()[1], 16) >> (TERM - 1) & 1


@pytest.mark.parametrize('delay_s', [0.0, 0.3, 0.6, 0.9])
def test_signals_end_the_loading_node(started, delay_s):
    node = started()
    until(lambda: answers_signals(node), 'signal handler')
    time.sleep(delay_s)
    assert node.signal(INT, INT) == 0
    assert 'Traceback' not in node.log
    assert 'giving up' not in node.log


def fails(started, code, *told, arguments=(), **parameters):
    node = started(*arguments, parameters=parameters)
    assert node.end() == code, node.log
    assert 'Traceback' not in node.log, node.log
    for text in told:
        assert str(text) in node.log, node.log


def test_unknown_argument_is_a_usage_error(started):
    fails(started, 64, '--sise', arguments=('--sise', '5'))


def test_unknown_ros_argument_is_a_usage_error(started):
    fails(started, 64, '--sise', arguments=('--ros-args', '--sise'))


def test_missing_parameter_file_is_a_usage_error(started):
    fails(started, 64, 'nowhere.yaml', arguments=('--ros-args', '--params-file', 'nowhere.yaml'))


def test_value_out_of_range_is_a_usage_error(started):
    fails(started, 64, 'overlay_alpha', '0 to 1', overlay_alpha=2)


def test_wrong_type_is_a_usage_error(started):
    fails(started, 64, 'lazy', 'true or false', lazy='maybe')


def test_missing_bundle_names_its_path_and_the_shipped_ones(started, tmp_path):
    fails(started, 66, tmp_path / 'none', bundle().name, model=tmp_path / 'none')


def test_damaged_weights_are_refused(started, copied):
    weights = copied / 'model.safetensors'
    data = bytearray(weights.read_bytes())
    data[-1] ^= 1
    weights.write_bytes(data)
    fails(started, 65, weights, 'sha256', model=copied)


def test_damaged_card_is_refused_by_field(started, copied):
    card = json.loads((copied / 'card.json').read_text())
    card['classes'][1]['id'] = 0
    (copied / 'card.json').write_text(json.dumps(card))
    fails(started, 65, copied / 'card.json', "'classes'", model=copied)


def test_self_test_fails_where_the_golden_labels_differ(started, copied):
    rgb, labels = bundle().golden()
    np.savez_compressed(copied / 'golden.npz', rgb=rgb, labels=(labels + 1) % bundle().card.classes)
    fails(started, 65, 'golden sample', model=copied)


def test_missing_device_is_never_replaced(started):
    fails(started, 69, 'cuda', device='cuda')


def test_contradictions_are_configuration_errors(started):
    fails(started, 78, 'input_width', input_height=512)


def test_input_size_without_a_graph_and_without_pytorch_names_the_sizes_present(started, tmp_path):
    height, width = bundle().card.input_size
    (tmp_path / 'sitecustomize.py').write_text("import sys\nsys.modules['torch'] = None\n")
    node = started(parameters={'input_height': 64, 'input_width': 96}, PYTHONPATH=str(tmp_path))
    assert node.end() == 78, node.log
    assert f'{height}x{width}' in node.log
    assert 'rtseg export --size 64x96' in node.log


def test_unknown_names_in_the_parameter_file_are_told(started, tmp_path):
    file = tmp_path / 'my.yaml'
    file.write_text('/**:\n  ros__parameters:\n    confidence_treshold: 0.5\n    overlay_alpha: 1\n')
    node = started('--ros-args', '--params-file', str(file))
    node.wait_for_log('serving ')
    assert "'confidence_treshold'" in node.log
    assert "did you mean 'confidence_threshold'" in node.log


def test_unwritable_cache_costs_a_warning_only(started, tmp_path):
    (tmp_path / 'file').write_text('')
    node = started(parameters={'cache_dir': tmp_path / 'file' / 'below'})
    node.wait_for_log('serving ')
    assert 'running without an engine cache' in node.log


def test_a_target_rate_chooses_among_the_sizes_of_the_bundle(started):
    smallest, largest = bundle().sizes()[0], bundle().sizes()[-1]
    slow = started(parameters={'target_rate_hz': 0.01})
    slow.wait_for_log(f'serving {bundle().name} {largest[0]}x{largest[1]}')
    fast = started(parameters={'target_rate_hz': 1000})
    fast.wait_for_log(f'serving {bundle().name} {smallest[0]}x{smallest[1]}')
    assert 'no input size holds target_rate_hz 1000' in fast.log


def segments():
    """Shared-memory files of Fast DDS."""
    return {path.name for path in Path('/dev/shm').glob('fastdds_*')}


@pytest.mark.parametrize('number', [signal.SIGINT, signal.SIGTERM])
def test_the_nodes_shared_memory_goes_with_it(number):
    before = segments()
    node = NodeProcess()
    node.wait_for_log('serving ')
    assert segments() - before, 'the shipped profile should give the node a segment'
    assert node.signal(number) == 0
    assert segments() - before == set()
