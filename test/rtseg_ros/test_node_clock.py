# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Simulated time: no clock yet, frames judged by it, and a bag that begins again. One node meets it in this order."""

import time

import pytest
from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from node_process import NODE, NodeProcess, Probe, bundle, picture, until
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import Image
from std_msgs.msg import Header

MASK = f'{NODE}/mask'
START_S = 1000


@pytest.fixture(scope='module')
def node():
    bundle()
    process = NodeProcess(parameters={'use_sim_time': True})
    process.wait_for_log('serving ')
    yield process
    process.close()


@pytest.fixture(scope='module')
def probe(node):
    found = Probe()
    found.subscribe('/diagnostics', DiagnosticArray)
    found.subscribe(MASK, Image)
    for topic, kind in (('/image', Image), ('/clock', Clock)):
        until(found.publisher(topic, kind).get_subscription_count, f'subscription of {topic}')
    yield found
    found.close()


def send(probe, stamp_s):
    header = Header(stamp=Time(sec=int(stamp_s), nanosec=int(stamp_s % 1 * 1e9)))
    probe.publisher('/image').publish(probe.frame(picture(), header=header))
    return header


def masks(probe, header):
    return sum(m.header == header for m in list(probe.received[MASK]))


def serves(probe, stamp_s):
    header = send(probe, stamp_s)
    return until(lambda: masks(probe, header), f'mask of {stamp_s} s')


def set_clock(probe, now_s):
    """Publish /clock and wait until the node goes by it."""
    probe.publisher('/clock', Clock).publish(Clock(clock=Time(sec=now_s)))
    until(lambda: probe.received['/diagnostics'][-1].header.stamp.sec == now_s, f'node at {now_s} s')


def drops(probe, reason, stamp_s):
    before = int(probe.counts()[f'dropped_{reason}'])
    send(probe, stamp_s)
    return until(lambda: int(probe.counts()[f'dropped_{reason}']) == before + 1, f'count of {reason}')


def test_without_a_clock_no_frame_is_too_old_and_a_warning_says_so(probe, node):
    for stamp_s in (1, START_S, 2_000_000_000):
        assert serves(probe, stamp_s)

    def warned():
        status = probe.diagnosis('input')
        return status if status is not None and status.level == DiagnosticStatus.WARN else None

    status = until(warned, 'a warning')
    assert 'nothing arrives on /clock' in status.message
    assert '[WARN]' in next(line for line in node.log.splitlines() if 'nothing arrives on /clock' in line)


def test_once_the_clock_runs_frames_are_judged_by_it(probe):
    set_clock(probe, START_S)
    assert serves(probe, START_S - 0.4)  # frames have paused meanwhile, which is an ERROR of its own
    until(lambda: probe.diagnosis('input').level == DiagnosticStatus.OK, 'end of the warning')
    assert drops(probe, 'stale', START_S - 0.6)
    assert drops(probe, 'future', START_S + 0.2)
    assert probe.set(max_image_age_s=0.0, max_future_s=0.0)[0].successful
    assert serves(probe, START_S - 100)
    assert serves(probe, START_S + 100)
    assert all(result.successful for result in probe.set(max_image_age_s=0.5, max_future_s=0.1))


def test_a_repeated_stamp_is_served_again(probe):
    header = send(probe, START_S)
    until(lambda: masks(probe, header) == 1, 'first mask')
    send(probe, START_S)
    until(lambda: masks(probe, header) == 2, 'second mask')


def test_a_zero_stamp_passes_unless_the_parameter_says_otherwise(probe):
    assert serves(probe, 0)
    assert probe.set(drop_zero_stamp=True)[0].successful
    assert drops(probe, 'zero_stamp', 0)
    assert probe.set(drop_zero_stamp=False)[0].successful


def test_a_bag_that_begins_again_restarts_the_statistics_and_no_count(probe):
    set_clock(probe, START_S + 60)
    for i in range(40):
        assert serves(probe, START_S + 60 + i / 1000)
    before = probe.counts()
    assert float(before['rate_hz']) > 1
    set_clock(probe, START_S)
    assert serves(probe, START_S)
    time.sleep(1)  # a new window shows one frame in at least one second
    after = probe.counts()
    assert float(after['rate_hz']) <= 1
    assert int(after['published']) == int(before['published']) + 1
    assert {key for key in after if after[key] != before[key] and key.startswith('dropped')} == set()
