# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Faults inside the node at run time: a network that fails, hangs or loses its device. One node meets most of them."""

import re
import signal
import threading
import time

import pytest
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_process import LATCHED, NODE, NodeProcess, Probe, bundle, picture, until
from sensor_msgs.msg import Image
from std_msgs.msg import String
from std_srvs.srv import SetBool, Trigger

MASK = f'{NODE}/mask'

SABOTAGE = """
import os, time
from pathlib import Path
import numpy as np
from rtseg_models.engine import backends
from rtseg_models.errors import DeviceLost
from rtseg_ros.statistics import Statistics

switch = Path(os.environ['SABOTAGE'])
healthy_create, healthy_received = backends._create, Statistics.received

def create(*arguments):
    backend = healthy_create(*arguments)
    healthy_infer = backend.infer

    def infer(rgb):
        fault = switch.read_text()
        logits = healthy_infer(rgb)
        if fault in ('nan', 'inf'):
            logits = logits.copy()
            logits[0, -1, -1, -1] = float(fault)
        if fault == 'nan, then a bug':
            switch.write_text('bug')
            logits = np.full_like(logits, np.nan)
        if fault == 'bug':
            raise ZeroDivisionError('a bug')
        if fault == 'lost':
            raise DeviceLost('the context is gone')
        if fault == 'short of memory once':
            switch.write_text('')
        if fault.startswith('short of memory'):
            with switch.with_name('tries').open('a') as tries:
                tries.write('x')
            raise MemoryError
        while switch.read_text() == 'hang':
            time.sleep(0.01)
        return logits

    backend.infer = infer
    return backend

def received(self):
    if switch.read_text() == 'callback':
        raise ValueError('a bug in a callback')
    healthy_received(self)

backends._create, Statistics.received = create, received
"""


@pytest.fixture(scope='module')
def workshop(tmp_path_factory):
    """A folder whose ``sitecustomize`` spoils the runtime's results as the file ``switch`` says."""
    folder = tmp_path_factory.mktemp('sabotage')
    (folder / 'sitecustomize.py').write_text(SABOTAGE)
    (folder / 'switch').write_text('')
    return folder


def spoilt_node(workshop, **parameters):
    bundle()
    given = {'max_consecutive_failures': 3, 'max_image_age_s': 0.0, **parameters}
    return NodeProcess(parameters=given, PYTHONPATH=str(workshop), SABOTAGE=str(workshop / 'switch'))


@pytest.fixture(scope='module')
def node(workshop):
    process = spoilt_node(workshop)
    process.wait_for_log('serving ')
    yield process
    process.close()


@pytest.fixture(scope='module')
def probe(node):
    found = Probe()
    found.subscribe('/diagnostics', DiagnosticArray)
    found.subscribe(MASK, Image)
    until(found.publisher('/image').get_subscription_count, 'subscription of the node')
    yield found
    found.close()


@pytest.fixture
def fault(workshop):
    """Sets a fault for one test."""
    yield (workshop / 'switch').write_text
    (workshop / 'switch').write_text('')


def send(probe):
    message = probe.frame(picture())
    probe.publisher('/image').publish(message)
    return message


def serves(probe):
    message = send(probe)
    return until(lambda: masked(probe, message), 'mask')


def masked(probe, message):
    return any(m.header == message.header for m in list(probe.received[MASK]))


def fails_times(probe, count):
    """Sends frames one by one until that many more have failed."""
    before = int(probe.counts()['failed'])
    for sent in range(count):
        send(probe)
        until(lambda sent=sent: int(probe.counts()['failed']) == before + sent + 1, 'count of failed')


def level_of(probe, name, text):
    def found():
        status = probe.diagnosis(name)
        return status if status is not None and text in status.message else None

    return until(found, f'diagnosis {text!r}').level


def test_an_unforeseen_error_is_shown_once_and_counted(probe, node, fault):
    assert serves(probe)
    fault('bug')
    fails_times(probe, 3)
    assert node.log.count('ZeroDivisionError: a bug') == 1
    assert level_of(probe, 'processing', '3 frames failed in a row') == DiagnosticStatus.ERROR
    fault('')
    assert serves(probe)
    assert int(probe.counts()['consecutive_failures']) == 0


@pytest.mark.parametrize('value', ['nan', 'inf'])
def test_labels_of_broken_logits_are_not_published_and_the_self_test_runs_again(probe, fault, value):
    assert serves(probe)
    fault(value)
    before = len(probe.received[MASK])
    failed = int(probe.counts()['failed'])

    def tested_again():  # at most once every five seconds
        send(probe)
        time.sleep(0.3)
        return probe.diagnosis('model').level == DiagnosticStatus.ERROR

    until(tested_again, 'failed self-test')
    assert 'NaN or infinity' in probe.diagnosis('model').message
    assert int(probe.counts()['failed']) > failed
    assert len(probe.received[MASK]) == before
    fault('')
    assert serves(probe)
    assert probe.answer(f'{NODE}/self_test', Trigger).success
    until(lambda: probe.diagnosis('model').level == DiagnosticStatus.OK, 'passed self-test')


def test_an_unforeseen_error_of_the_self_test_after_broken_logits_is_survived(probe, node, fault):
    assert serves(probe)

    def tested_again():  # at most once every five seconds
        fault('nan, then a bug')
        send(probe)
        time.sleep(0.3)
        return 'self-test: unexpected error' in node.log

    until(tested_again, 'self-test with a bug', 20.0, lambda: node.log)
    assert level_of(probe, 'model', 'a bug') == DiagnosticStatus.ERROR
    fault('')
    assert serves(probe)
    assert probe.answer(f'{NODE}/self_test', Trigger).success
    until(lambda: probe.diagnosis('model').level == DiagnosticStatus.OK, 'passed self-test')


def test_short_memory_costs_one_more_try(probe, fault):
    before = int(probe.counts()['failed'])
    fault('short of memory once')
    assert serves(probe)
    assert int(probe.counts()['failed']) == before


def test_lasting_shortage_of_memory_drops_frames_after_one_retry_each_and_is_an_error(probe, node, workshop, fault):
    assert serves(probe)
    (workshop / 'tries').write_text('')
    fault('short of memory')
    fails_times(probe, 3)
    assert len((workshop / 'tries').read_text()) == 6
    assert 'lost a frame, as memory is short' in node.log and 'MemoryError' not in node.log
    assert level_of(probe, 'processing', '3 frames failed in a row') == DiagnosticStatus.ERROR
    fault('')
    assert serves(probe)


def test_errors_of_callbacks_are_shown_once_and_counted(probe, node, fault):
    assert serves(probe)
    before = int(probe.counts()['unexpected_errors'])
    fault('callback')
    for sent in range(3):
        send(probe)
        until(lambda sent=sent: int(probe.counts()['unexpected_errors']) == before + sent + 1, 'count of errors')
    assert node.log.count('ValueError: a bug in a callback') == 1
    fault('')
    assert serves(probe)


def test_a_result_that_comes_after_disabling_is_discarded(probe, fault):
    assert serves(probe)
    before = int(probe.counts()['dropped_disabled'])
    masks = len(probe.received[MASK])
    fault('hang')
    send(probe)
    until(lambda: int(probe.counts()['in_flight']) == 1, 'frame in the network')
    try:
        assert probe.answer(f'{NODE}/enable', SetBool, SetBool.Request(data=False)).success
        fault('')
        until(lambda: int(probe.counts()['dropped_disabled']) == before + 1, 'count of disabled')
        assert len(probe.received[MASK]) == masks
    finally:
        fault('')
        assert probe.answer(f'{NODE}/enable', SetBool, SetBool.Request(data=True)).success
    assert serves(probe)


def test_a_hanging_inference_is_diagnosed_and_newer_frames_replace_older_ones(probe, fault):
    assert serves(probe)
    before = int(probe.counts()['dropped_busy'])
    fault('hang')
    for _ in range(4):
        last = send(probe)
        time.sleep(0.2)
    assert level_of(probe, 'processing', 'an inference has been running') == DiagnosticStatus.ERROR
    fault('')
    until(lambda: masked(probe, last), 'mask of the newest frame')
    assert int(probe.counts()['dropped_busy']) == before + 2


def hung_frame(probe, fault):
    """A frame that is in the network, which does not end."""
    assert serves(probe)
    fault('hang')
    message = send(probe)
    time.sleep(0.3)
    return message


def test_a_result_that_comes_after_deactivate_is_discarded(probe, fault):
    before = int(probe.counts()['dropped_disabled'])
    message = hung_frame(probe, fault)
    assert probe.change_state('deactivate')
    fault('')
    until(lambda: int(probe.counts()['dropped_disabled']) == before + 1, 'count of disabled')
    assert not masked(probe, message)
    assert probe.change_state('activate')
    until(probe.publisher('/image').get_subscription_count, 'subscription of the node')
    assert serves(probe)


def test_cleanup_waits_for_the_inference_and_discards_its_result(probe, fault):
    message = hung_frame(probe, fault)
    assert probe.change_state('deactivate')
    release = threading.Timer(0.5, fault, [''])
    release.start()
    for label in ('cleanup', 'configure', 'activate'):
        assert probe.change_state(label)
    assert not masked(probe, message)
    until(probe.publisher('/image').get_subscription_count, 'subscription of the node')
    assert serves(probe)


def test_a_reload_during_inference_loses_neither_frame_nor_network(probe, fault):
    message = hung_frame(probe, fault)
    release = threading.Timer(1.0, fault, [''])
    release.start()
    response = probe.answer(f'{NODE}/reload_model', Trigger)
    assert response.success, response.message
    until(lambda: masked(probe, message), 'mask of the old network')
    assert serves(probe)


def revive(probe, fault):
    """Have the shared node serve where a test has failed on its way: it is run once more."""
    fault('')
    time.sleep(1.0)
    if not probe.publisher('/image').get_subscription_count():
        probe.change_state('configure')  # refused where it is configured
        assert probe.change_state('activate')
        until(probe.publisher('/image').get_subscription_count, 'subscription of the node')


def test_services_that_cleanup_overtakes_are_answered_and_no_surprise(node, probe, fault):
    revive(probe, fault)
    loading = f': {bundle().card.network}, '
    before, loads = int(probe.counts()['unexpected_errors']), node.log.count(loading)
    hung_frame(probe, fault)
    answers = [begun(probe, service) for service in ('self_test', 'reload_model')]
    until(lambda: node.log.count(loading) > loads, 'loading')
    assert probe.change_state('deactivate')
    release = threading.Timer(0.5, fault, [''])
    release.start()
    assert probe.change_state('cleanup')
    until(lambda: all(answer.done() for answer in answers), 'answers of the services', 30.0)
    found = [(answer.result().success, answer.result().message) for answer in answers]
    assert found == [(False, 'the node was cleaned up meanwhile')] * 2
    for label in ('configure', 'activate'):
        assert probe.change_state(label)
    until(probe.publisher('/image').get_subscription_count, 'subscription of the node')
    assert serves(probe)
    assert int(probe.counts()['unexpected_errors']) == before


def begun(probe, service):
    """The future answer of a service of the node."""
    client = probe.node.create_client(Trigger, f'{NODE}/{service}')
    assert client.wait_for_service(10)
    return client.call_async(Trigger.Request())


def test_shutdown_during_inference_discards_its_result(node, probe, fault):
    """The last test of the shared node, which stays finalized."""
    revive(probe, fault)
    message = hung_frame(probe, fault)
    release = threading.Timer(0.5, fault, [''])
    release.start()
    assert probe.change_state('shutdown')
    assert probe.state() == 'finalized'
    assert probe.counts('model')['state'] == 'finalized'
    assert not masked(probe, message)
    assert node.signal(signal.SIGINT) == 0
    assert not re.search(r'on_(deactivate|cleanup|shutdown)', node.log), node.log


@pytest.mark.parametrize('begin', [send, lambda probe: begun(probe, 'reload_model')], ids=['frame', 'reload'])
def test_signals_end_a_node_whose_inference_hangs_and_its_shared_memory(workshop, fault, begin):
    """Left behind, 64 MB a time by the shipped profile, it would fill /dev/shm."""
    node = spoilt_node(workshop)
    try:
        node.wait_for_log('serving ')
        own = node.segments()
        probe = Probe()
        probe.subscribe(MASK, Image)
        until(lambda: probe.publisher('/image').get_subscription_count() >= 1, 'subscription of the node')
        fault('hang')
        begin(probe)
        time.sleep(0.5)
        probe.close()
        assert node.signal(signal.SIGTERM, signal.SIGINT) == 0, node.log
        assert 'Traceback' not in node.log
        assert not [path for path in own if path.exists()]
    finally:
        node.close()


def test_a_lost_device_ends_the_process_for_a_respawn_and_the_next_one_serves(workshop, node, fault):
    """Also what a respawn after SIGKILL amounts to: masks and latched legends from the new process."""
    node.close()
    first = spoilt_node(workshop)
    probe = Probe()
    try:
        first.wait_for_log('serving ')
        probe.subscribe(MASK, Image)
        assert until(probe.publisher('/image').get_subscription_count, 'subscription of the node')
        fault('lost')
        until(lambda: send(probe) and (first.process.poll() is not None or time.sleep(0.2)), 'end of the node')
        assert first.end() == 70, first.log
        assert 'the context is gone' in first.log
        fault('')
        second = spoilt_node(workshop)
        try:
            until(lambda: served_soon(probe), 'mask of the new process', 20.0)
            second.process.kill()
            second.end()
        finally:
            second.close()
        third = spoilt_node(workshop)
        try:
            probe.subscribe(f'{NODE}/class_map', String, LATCHED)
            until(lambda: probe.received[f'{NODE}/class_map'], 'legend of the new process', 20.0)
            until(lambda: served_soon(probe), 'mask of the new process', 20.0)
        finally:
            third.close()
    finally:
        probe.close()
        first.close()


def served_soon(probe):
    """Whether a frame that is sent now is answered within a fifth of a second."""
    message = send(probe)
    time.sleep(0.2)
    return masked(probe, message)
