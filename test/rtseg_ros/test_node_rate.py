# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``target_rate_hz`` on the real node, whose network takes as long as a file says, in proportion to its pixels."""

import shutil
from dataclasses import replace

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_process import NODE, NodeProcess, Probe, picture, until
from sensor_msgs.msg import Image

from rtseg_models.bundle import load_bundle
from rtseg_models.engine.backends.graphs import quantised_graph
from rtseg_ros.node.model import ladder_sizes
from rtseg_ros.parameters import Settings

MASK = f'{NODE}/mask'
TARGET_HZ = 10.0
CONFIGURED, MIDDLE, LARGEST = '64x96', '96x128', '128x192'

SLOW_NETWORK = """
import os, time
from pathlib import Path
from rtseg_models.engine import Pipeline

speed = Path(os.environ['SPEED'])
segment, open_ = Pipeline.__call__, Pipeline.__init__

def slow(self, *args, **options):
    height, width = self.input_size
    began = time.monotonic()
    result = segment(self, *args, **options)
    time.sleep(max(0, float(speed.read_text()) * height * width / (64 * 96) / 1e3 - (time.monotonic() - began)))
    return result

def slow_to_open(self, *args, **options):
    time.sleep(0.5)
    open_(self, *args, **options)

Pipeline.__call__, Pipeline.__init__ = slow, slow_to_open
"""


@pytest.fixture(scope='module')
def folder(tiny_bundle, tmp_path_factory):
    """A bundle with graphs for three sizes, of which the card names the smallest."""
    from rtseg_models.engine.backends.torch_graph import deployed_network, export_graph

    copy = shutil.copytree(tiny_bundle.path, tmp_path_factory.mktemp('bundles') / 'ladder')
    graph = export_graph(deployed_network(tiny_bundle), tiny_bundle.weights_path, (128, 192))
    (copy / f'{LARGEST}.onnx').write_bytes(graph)
    return copy


@pytest.fixture(scope='module')
def workshop(tmp_path_factory):
    found = tmp_path_factory.mktemp('speed')
    (found / 'sitecustomize.py').write_text(SLOW_NETWORK)
    (found / 'speed').write_text('1')
    return found


@pytest.fixture
def speed(workshop):
    """Sets the milliseconds of a frame at 64x96; four times the pixels take four times as long."""
    yield lambda ms: (workshop / 'speed').write_text(str(ms))
    (workshop / 'speed').write_text('1')


@pytest.fixture
def start(workshop, tmp_path):
    """Starts a node and a probe that watches it."""
    opened = []

    def started(bundle, **parameters):
        given = {'model': bundle, 'max_image_age_s': 0.0, 'cache_dir': tmp_path / 'cache', **parameters}
        node = NodeProcess(parameters=given, PYTHONPATH=str(workshop), SPEED=str(workshop / 'speed'))
        opened.append(node)
        node.wait_for_log('serving ')
        probe = Probe()
        opened.append(probe)
        probe.subscribe('/diagnostics', DiagnosticArray)
        probe.subscribe(MASK, Image)
        until(probe.publisher('/image').get_subscription_count, 'subscription of the node')
        until(lambda: probe.diagnosis('model'), 'diagnostics')
        return node, probe

    yield started
    for each in reversed(opened):
        each.close()


def send(node, probe, frames):
    """Sends frames one by one, of which none may be lost; how many were answered while a network was being opened."""
    meanwhile = 0
    for _ in range(frames):
        opening = openings(node)
        message = probe.frame(picture())
        probe.publisher('/image').publish(message)
        until(lambda message=message: any(m.header == message.header for m in probe.received[MASK][-3:]), 'mask', 3.0)
        meanwhile += opening > 0 and openings(node) == opening
    return meanwhile


def openings(node):
    """Networks that are being opened: changes announced and not yet done."""
    return node.log.count('changing the input size') - node.log.count('serving ') + 1


def send_until(node, probe, size, frames=400):
    """Sends frames until the network runs at ``size``; as ``send``."""
    meanwhile = 0
    for _ in range(0, frames, 10):
        meanwhile += send(node, probe, 10)
        found = {entry.key: entry.value for entry in probe.diagnosis('model').values}
        if found['input_size'] == size:
            return meanwhile
    pytest.fail(f'not at {size} after {frames} frames: {found}')


def test_the_size_follows_the_load_and_the_parameter_and_no_frame_is_lost(start, folder, speed):
    node, probe = start(folder)
    assert probe.counts('model')['input_size'] == CONFIGURED
    speed(5)
    assert probe.set(target_rate_hz=TARGET_HZ)[0].successful
    assert send_until(node, probe, LARGEST) >= 6  # opening takes half a second
    report = probe.counts('model')
    assert report['last_size_change'].startswith(f'{MIDDLE} to {LARGEST}: frames took')
    assert (report['size_changes'], report['target_rate_hz'], report['frame_allowed_ms']) == ('2', '10', '100.0')
    assert probe.set(target_rate_hz=0.0)[0].successful
    assert send_until(node, probe, CONFIGURED) >= 3
    assert 'target_rate_hz' not in probe.counts('model')
    counts = probe.counts()
    assert counts['dropped_busy'] == counts['failed'] == '0'
    assert f'changing the input size from {CONFIGURED} to {MIDDLE}: frames took' in node.log
    assert 'Traceback' not in node.log


def test_a_load_at_the_edge_settles_and_one_beyond_it_is_told(start, folder, speed):
    """At 60 ms the middle size takes 120, and the small one leaves no headroom for it: no swinging."""
    node, probe = start(folder, target_rate_hz=TARGET_HZ)
    assert probe.counts('model')['input_size'] == LARGEST
    speed(60)
    send_until(node, probe, CONFIGURED)
    changes = probe.counts('model')['size_changes']
    send(node, probe, 100)
    report = probe.counts('model')
    assert (report['input_size'], report['size_changes']) == (CONFIGURED, changes)
    assert report['holds_target_rate'] == 'true' and 60 <= float(report['frame_p90_ms']) <= 100
    speed(150)
    send(node, probe, 20)
    until(lambda: told(probe, f'no input size holds target_rate_hz {TARGET_HZ:g}'), 'warning')
    assert probe.counts('model')['holds_target_rate'] == 'false'
    assert node.log.count('no input size holds') == 1


def told(probe, text):
    status = probe.diagnosis('model')
    return status is not None and status.level == DiagnosticStatus.WARN and text in status.message


def test_a_size_that_cannot_be_had_is_left_out(start, folder, tmp_path, speed):
    spoilt = shutil.copytree(folder, tmp_path / 'spoilt')
    (spoilt / f'{MIDDLE}.onnx').write_bytes(b'no graph')
    node, probe = start(spoilt)
    speed(2)
    assert probe.set(target_rate_hz=TARGET_HZ)[0].successful
    send_until(node, probe, LARGEST)
    assert node.log.count(f'from {CONFIGURED} to {MIDDLE}') == 1
    assert 'the old network stays' in node.log
    assert probe.counts('model')['input_sizes'] == f'{CONFIGURED}, {LARGEST}'


def test_the_ladder_is_what_a_runtime_can_open(folder):
    bundle = load_bundle(str(folder))
    graphs = [(64, 96), (96, 128), (128, 192)]
    assert ladder_sizes(bundle, Settings(), 'openvino') == graphs
    assert ladder_sizes(bundle, Settings(), 'torch') == [(32, 48), (48, 72), (64, 96)]
    assert ladder_sizes(bundle, Settings(input_height=72, input_width=88), 'openvino') == sorted([*graphs, (72, 88)])


def test_the_ladder_of_int8_has_the_sizes_that_were_quantised(folder, tmp_path):
    bundle = load_bundle(str(shutil.copytree(folder, tmp_path / 'bundle')))
    quantised_graph(bundle, (96, 128)).touch()
    assert ladder_sizes(bundle, Settings(precision='int8'), 'openvino') == [(96, 128)]


def test_the_ladder_has_no_size_that_scored_below_a_smaller_one(folder):
    bundle = load_bundle(str(folder))

    def ladder(scores, **settings):
        return ladder_sizes(replace(bundle, card=replace(bundle.card, miou=scores)), Settings(**settings), 'openvino')

    assert bundle.card.input_size == (64, 96)
    assert ladder({'val': 0.6, 'val@96x128': 0.5, 'val@128x192': 0.55}) == [(64, 96)]
    assert ladder({'val': 0.6, 'val@96x128': 0.5, 'val@128x192': 0.7}) == [(64, 96), (128, 192)]
    assert ladder({'val': 0.6, 'val@128x192': 0.5}) == [(64, 96), (96, 128)]  # unknown: taken
    assert ladder({'val': 0.6, 'val@96x128': 0.5}, input_height=96, input_width=128)[1] == (96, 128)  # asked for
