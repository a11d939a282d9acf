# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""SIGINT and SIGTERM in the first second of every process, while Python still imports what it needs."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytest.importorskip('rclpy')
from node_process import environment, until
from recordings import drive, frames, write_bag

from rtseg_models.bundle import shipped_bundles
from rtseg_ros.startup import StopRequest

INT, TERM = signal.SIGINT, signal.SIGTERM
TOPIC = '/camera/image_raw'


@pytest.fixture(scope='module')
def bag(tmp_path_factory):
    """A recording that takes some seconds to replay."""
    return write_bag(tmp_path_factory.mktemp('bags') / 'drive', drive(frames(2) * 200, TOPIC))


@pytest.fixture
def command_of(bag, tmp_path):
    """Module and arguments of each process."""
    if 'fast_scnn-camvid' not in shipped_bundles():
        pytest.skip('the bundle fast_scnn-camvid is not shipped in this checkout')
    out = ['--out', str(tmp_path / 'out')]
    replay = [str(bag), '--topic', TOPIC, '--model', 'fast_scnn-camvid']
    return {
        'segmentation_node': ['rtseg_ros.node.process'],
        'synthetic_camera': ['rtseg_ros.synthetic_camera', '--ros-args', '-p', f'cache_dir:={tmp_path}'],
        'replay_bag': ['rtseg_ros.replay_bag', *replay, *out],
        'demo': ['rtseg_ros.demo', *out],
    }


EXIT_CODES = {
    'segmentation_node': {INT: 0, TERM: 0},
    'synthetic_camera': {INT: 0, TERM: 0},
    'replay_bag': {INT: 130, TERM: 130},
    'demo': {INT: 130, TERM: 143},
}


def answers_signals(process):
    """Whether the process has come so far that it handles SIGTERM."""
    status = Path(f'/proc/{process.pid}/status').read_text()
    caught = next(line for line in status.splitlines() if line.startswith('SigCgt'))
    return int(caught.split()[1], 16) >> (TERM - 1) & 1


@pytest.mark.parametrize(
    ('numbers', 'delay_s'), [((INT,), 0.0), ((TERM, TERM), 0.0), ((INT, INT), 0.2), ((TERM,), 0.5), ((INT,), 1.0)]
)
@pytest.mark.parametrize('name', EXIT_CODES)
def test_a_signal_in_the_first_second_ends_it_without_a_traceback(command_of, tmp_path, name, numbers, delay_s):
    process = subprocess.Popen(
        [sys.executable, '-m', *command_of[name]],
        env=environment(HOME=str(tmp_path)),
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    until(lambda: answers_signals(process), 'signal handler')
    time.sleep(delay_s)
    for number in numbers:
        process.send_signal(number)
    code = EXIT_CODES[name][numbers[0]]
    output, _ = process.communicate(timeout=10 if code else 2)  # what exits with 0 promises two seconds
    assert process.returncode == code, output
    assert 'Traceback' not in output, output


def test_a_replay_without_rosbags_says_so_in_a_sentence():
    """As on a robot whose Python is older than 3.10."""
    code = "import sys; sys.modules['rosbags'] = None; from rtseg_ros.replay_bag import main; main()"
    done = subprocess.run([sys.executable, '-c', code, '--help'], capture_output=True, text=True)
    assert done.returncode == 69
    assert done.stderr.startswith("replay_bag: needs the package 'rosbags'") and done.stderr.count('\n') == 1


@pytest.mark.parametrize('program', ['segmentation_node', 'synthetic_camera', 'replay_bag', 'demo'])
def test_an_opencv_that_cannot_be_loaded_is_told_in_a_sentence(program, command_of, tmp_path):
    """As the one of a distribution beside a newer NumPy."""
    (tmp_path / 'cv2.py').write_text("raise ImportError('numpy.core.multiarray failed to import')")
    command = [sys.executable, '-m', *command_of[program]]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(PYTHONPATH=str(tmp_path)))
    assert done.returncode == 69, done.stderr
    assert 'cannot be loaded: numpy.core.multiarray failed to import' in done.stderr
    assert done.stderr.count('\n') == 1


def test_a_missing_package_is_told_by_the_node(command_of):
    code = "import sys; sys.modules['safetensors'] = None; from rtseg_ros.node.process import main; main()"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, env=environment())
    assert done.returncode == 69
    assert done.stderr == "segmentation_node: needs the package 'safetensors', which is not installed\n"


def test_a_stop_request_takes_a_signal_within_any_step_of_its_wait():
    """Where ``threading.Event`` would wait for a lock that its own thread holds."""
    stop, asked = StopRequest(), []

    def trace(frame, event, arg):
        if frame.f_code is StopRequest.wait.__code__:
            asked.append(frame.f_lineno)
            signal.raise_signal(TERM)
        return trace

    before, tracer = signal.getsignal(TERM), sys.gettrace()
    signal.signal(TERM, lambda number, frame: stop.set())
    sys.settrace(trace)
    try:
        assert stop.wait(10.0)
    finally:
        sys.settrace(tracer)
        signal.signal(TERM, before)
    assert len(asked) > 2


def test_a_stop_request_that_nobody_makes_ends_in_time():
    began_s = time.monotonic()
    assert not StopRequest().wait(0.01)
    assert time.monotonic() - began_s >= 0.01
