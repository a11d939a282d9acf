# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""How the node's process begins and ends: command line, parameter file, signals, shared memory."""

import signal
import threading
import time
from pathlib import Path

import pytest
from node_process import NODE, Probe, until
from rcl_interfaces.srv import GetParameters

from rtseg_ros import segmentation_node
from rtseg_ros.node import process

INT, TERM = signal.SIGINT, signal.SIGTERM


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
    assert '[ERROR]' not in node.log and '[FATAL]' not in node.log


def test_unknown_argument_is_a_usage_error(started):
    started('--sise', '5').refused(64, '--sise')


def test_unknown_ros_argument_is_a_usage_error(started):
    started('--ros-args', '--sise').refused(64, '--sise')


@pytest.mark.parametrize('file', ['cameras: []', 'plugins: []'])
def test_an_empty_list_is_a_usage_error(started, tmp_path, file):
    """Its type is not known; a file of all nodes of a vehicle may hold one for another."""
    (tmp_path / 'all.yaml').write_text(f'/**:\n  ros__parameters:\n    {file}\n')
    started('--ros-args', '--params-file', str(tmp_path / 'all.yaml')).refused(64, 'empty list')


def test_a_namespace_that_cannot_be_is_a_usage_error(started):
    started('--ros-args', '-r', '__ns:=/foo/').refused(64, 'namespace must not end with')


def test_missing_parameter_file_is_a_usage_error(started):
    started('--ros-args', '--params-file', 'nowhere.yaml').refused(64, 'nowhere.yaml')


@pytest.mark.parametrize('variables', [{'ROS_LOG_DIR': '/proc/none'}, {'HOME': '/proc/none'}])
def test_a_log_folder_that_cannot_be_had_is_no_usage_error(started, monkeypatch, variables):
    for name in ('ROS_HOME', 'ROS_LOG_DIR'):
        monkeypatch.delenv(name, raising=False)
    started(**variables).refused(70, 'cannot start logging', 'ROS_LOG_DIR', '/proc/none')


@pytest.mark.parametrize('domain', ['233', 'home'])
def test_a_domain_that_dds_has_not_is_a_usage_error(started, domain):
    started(ROS_DOMAIN_ID=domain).refused(64, 'ROS_DOMAIN_ID')


def test_a_node_that_cannot_be_created_is_one_sentence(monkeypatch, capsys):
    def refused(stop, stopping):
        raise RuntimeError('failed to create a DomainParticipant')

    monkeypatch.setattr(segmentation_node, 'SegmentationNode', refused)
    assert process._serve(threading.Event(), '') == 70
    assert 'cannot be created: RuntimeError: failed to create a DomainParticipant' in capsys.readouterr().err


def test_value_out_of_range_is_a_usage_error(started):
    started(parameters={'overlay_alpha': 2}).refused(64, 'overlay_alpha', '0 to 1')


def test_wrong_type_is_a_usage_error(started):
    started(parameters={'lazy': 'maybe'}).refused(64, 'lazy', 'true or false')


def test_a_bare_off_is_no_false(started):
    node, probe = started(parameters={'cloud': 'off', 'autostart': False}), Probe()
    try:
        get = GetParameters.Request(names=['cloud'])
        assert probe.answer(f'{NODE}/get_parameters', GetParameters, get).values[0].string_value == 'off'
        assert probe.set(cloud=False)[0].successful
        assert 'off, depth, lidar' in probe.set(cloud=True)[0].reason
    finally:
        probe.close()
    assert node.signal(INT) == 0


def test_unknown_names_in_the_parameter_file_are_told(started, tmp_path):
    file = tmp_path / 'my.yaml'
    file.write_text(
        '/**:\n  ros__parameters:\n    confidence_treshold: 0.5\n    overlay_alpha: 1\n    use_sim_time: false\n'
        '    qos_overrides./image.subscription.reliability: best_effort\n'
    )
    node = started('--ros-args', '--params-file', str(file))
    node.wait_for_log('serving ')
    assert "'confidence_treshold'" in node.log
    assert "did you mean 'confidence_threshold'" in node.log
    assert "'qos_overrides./image.subscription.reliability' is given" in node.log
    assert node.log.count('is given but the node has none of that name') == 2, node.log


@pytest.mark.parametrize('number', [INT, TERM])
def test_the_nodes_shared_memory_goes_with_it(started, number):
    node = started()
    node.wait_for_log('serving ')
    own = node.segments()
    assert node.signal(number) == 0
    assert not [path for path in own if path.exists()]
