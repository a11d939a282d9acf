# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The managed node under a lifecycle manager, and networks changed under way. One node serves all of it."""

import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_process import NODE, NodeProcess, Probe, bundle, picture, until
from sensor_msgs.msg import Image
from std_srvs.srv import SetBool, Trigger

MASK = f'{NODE}/mask'


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """The bundle of the node, which tests spoil and mend."""
    return shutil.copytree(bundle().path, tmp_path_factory.mktemp('bundles') / 'mine')


@pytest.fixture(scope='module')
def node(folder):
    process = NodeProcess(
        parameters={'autostart': False, 'model': folder, 'warmup_iterations': 0, 'max_image_age_s': 0.0}
    )
    yield process
    code = process.signal(signal.SIGINT)
    assert code == 0, process.log
    assert 'Traceback' not in process.log, process.log


@pytest.fixture(scope='module')
def probe(node):
    found = Probe()
    found.subscribe('/diagnostics', DiagnosticArray)
    found.subscribe(MASK, Image)
    until(lambda: found.diagnosis('model'), 'diagnostics')
    yield found
    found.close()


def serves(probe):
    """Whether a frame that is sent now is answered."""
    camera = probe.publisher('/image')
    until(camera.get_subscription_count, 'subscription of the node')
    message = probe.frame(picture())
    camera.publish(message)
    return until(lambda: any(m.header == message.header for m in list(probe.received[MASK])), 'mask')


def to_active(probe):
    for label in {'unconfigured': ('configure', 'activate'), 'inactive': ('activate',), 'active': ()}[probe.state()]:
        assert probe.change_state(label)


def resident_kb(node):
    status = Path(f'/proc/{node.process.pid}/status').read_text()
    return int(next(line for line in status.splitlines() if line.startswith('VmRSS')).split()[1])


def test_a_failed_configure_says_why_and_can_be_repeated(probe, node, folder):
    assert probe.state() == 'unconfigured'
    assert probe.set(model=str(folder / 'none'))[0].successful
    assert not probe.change_state('configure')
    assert probe.state() == 'unconfigured'
    assert f'on_configure: {folder / "none"}' in node.log
    status = until(lambda: told(probe, 'model', 'none'), 'diagnosis')
    assert status.level == DiagnosticStatus.ERROR
    assert not probe.answer(f'{NODE}/self_test', Trigger).success
    assert probe.set(model=str(folder))[0].successful
    assert probe.change_state('configure')
    assert probe.state() == 'inactive'


def told(probe, name, text):
    status = probe.diagnosis(name)
    return status if status is not None and text in status.message else None


def test_only_the_active_node_subscribes_and_publishes(probe):
    to_active(probe)
    assert serves(probe)
    assert probe.change_state('deactivate')
    camera = probe.publisher('/image')
    until(lambda: camera.get_subscription_count() == 0, 'end of the subscription')
    assert probe.change_state('activate')
    assert serves(probe)


def test_a_disabled_node_stays_so_through_cleanup_and_configure(probe):
    to_active(probe)
    assert probe.answer(f'{NODE}/enable', SetBool, SetBool.Request(data=False)).success
    try:
        for label in ('deactivate', 'cleanup', 'configure', 'activate'):
            assert probe.change_state(label)
        camera = probe.publisher('/image')
        until(camera.get_subscription_count, 'subscription of the node')
        before = len(probe.received[MASK])
        camera.publish(probe.frame(picture()))
        until(lambda: probe.counts()['dropped_disabled'] == '1', 'count of disabled')
        assert len(probe.received[MASK]) == before
    finally:
        assert probe.answer(f'{NODE}/enable', SetBool, SetBool.Request(data=True)).success
    assert serves(probe)


def test_parameters_of_configure_are_refused_while_active(probe):
    to_active(probe)
    (result,) = probe.set(backend='torch')
    assert not result.successful
    assert 'backend' in result.reason
    assert 'ros2 lifecycle set /segmentation deactivate' in result.reason
    assert probe.set(backend='auto')[0].successful  # as it is


@pytest.mark.parametrize(
    'cycles',
    [pytest.param(5, id='short'), pytest.param(300, id='long', marks=[pytest.mark.long, pytest.mark.timeout(1800)])],
)
def test_cycles_leave_nothing_behind(probe, node, cycles):
    """Below 100 kB a cycle once the allocator has settled; the short form only sees that every cycle serves."""
    to_active(probe)
    settled_kb = 0
    for cycle in range(cycles):
        for label in ('deactivate', 'cleanup', 'configure', 'activate'):
            assert probe.change_state(label), f'{label} of cycle {cycle}: {node.log[-2000:]}'
        assert serves(probe)
        if cycle == 20:
            settled_kb = resident_kb(node)
    if cycles > 21:
        assert (resident_kb(node) - settled_kb) / (cycles - 21) < 100


def test_reload_of_a_bad_bundle_keeps_the_old_one_serving(probe, folder):
    to_active(probe)
    weights = folder / 'model.safetensors'
    good = weights.read_bytes()
    weights.write_bytes(good[:-1])
    try:
        response = probe.answer(f'{NODE}/reload_model', Trigger)
        assert not response.success
        assert str(weights) in response.message
        assert serves(probe)
        status = until(lambda: told(probe, 'model', 'the last reload failed'), 'diagnosis')
        assert status.level == DiagnosticStatus.WARN
    finally:
        weights.write_bytes(good)
    assert probe.answer(f'{NODE}/reload_model', Trigger).success
    assert serves(probe)


def test_reload_of_a_bundle_that_fails_its_self_test_keeps_the_old_one_serving(probe, folder):
    to_active(probe)
    golden = folder / 'golden.npz'
    good = golden.read_bytes()
    rgb, labels = bundle().golden()
    np.savez_compressed(golden, rgb=rgb, labels=(labels + 1) % bundle().card.classes)
    try:
        response = probe.answer(f'{NODE}/reload_model', Trigger)
        assert not response.success
        assert 'golden sample' in response.message
        assert serves(probe)
    finally:
        golden.write_bytes(good)
    assert probe.answer(f'{NODE}/reload_model', Trigger).success


def test_frames_are_served_throughout_a_reload(probe):
    """What the old network could have served is not lost: at 10 Hz every frame is answered."""
    to_active(probe)
    assert serves(probe)
    camera = probe.publisher('/image')
    client = probe.node.create_client(Trigger, f'{NODE}/reload_model')
    assert client.wait_for_service(5.0)
    future = client.call_async(Trigger.Request())
    sent = []
    while not future.done() or len(sent) < 10:
        sent.append(probe.frame(picture()))
        camera.publish(sent[-1])
        until(
            lambda: any(m.header == sent[-1].header for m in list(probe.received[MASK])), 'mask during the reload', 3.0
        )
    assert future.result().success, future.result().message


def test_transitions_during_inference_leave_the_node_well(probe, node):
    to_active(probe)
    camera = probe.publisher('/image')
    until(camera.get_subscription_count, 'subscription of the node')
    for _ in range(3):
        for _ in range(5):
            camera.publish(probe.frame(picture((360, 480))))
        assert probe.change_state('deactivate')
        assert probe.change_state('activate')
    assert serves(probe)
    assert 'unexpected error' not in node.log
