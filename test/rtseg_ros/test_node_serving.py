# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rounds, swaps and the end of a network that serves. Parts alone, without a node."""

import sys
import threading
from concurrent.futures import Future
from contextlib import nullcontext
from types import ModuleType, SimpleNamespace

import pytest
from builtin_interfaces.msg import Time
from parts import bare, quiet
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy

from rtseg_models.bundle import load_bundle
from rtseg_models.engine import NonFiniteLogits
from rtseg_models.errors import DeviceLost, OutOfDeviceMemory, RtsegError
from rtseg_ros.node import serving as serving_module
from rtseg_ros.node.legends import Legends
from rtseg_ros.node.live_settings import LiveSettings
from rtseg_ros.node.loader import Loader
from rtseg_ros.node.rounds import serve_round
from rtseg_ros.node.serving import Serving
from rtseg_ros.parameters import Settings


@pytest.mark.parametrize('error', [NonFiniteLogits('NaN'), OutOfDeviceMemory('no room'), RuntimeError('strange')])
def test_a_picture_that_the_network_cannot_take_costs_its_batch_nothing(error):
    def batch(rgbs, **options):
        tried.append(rgbs)
        if 'bad' in rgbs:
            raise error
        return rgbs

    def frame(rgb):
        camera = SimpleNamespace(
            decoded=lambda arrival, settings: made,
            lose=lambda error: lost.append(rgb),
            tell_batch=told.append,
            published=lambda frame, result, model, settings: masks.append(result) or True,
        )
        made = SimpleNamespace(rgb=rgb, confidence=False, arrival=SimpleNamespace(camera=camera))
        return made.arrival

    tried, lost, masks, told = [], [], [], []
    model = SimpleNamespace(pipeline=SimpleNamespace(batch=batch, input_size=(64, 96)))
    passed_on = pytest.raises(NonFiniteLogits) if isinstance(error, NonFiniteLogits) else nullcontext()
    with passed_on:
        serve_round([frame('front'), frame('bad'), frame('rear')], model, Settings())
    assert tried == [['front', 'bad', 'rear'], ['front'], ['bad'], ['rear']]
    assert (lost, masks, told) == (['bad'], ['front', 'rear'], [error])


def round_of_20_ms(monkeypatch, masks, subscribed=True, loading=False):
    """A ``Serving`` of three cameras after a round that published ``masks``, and the times that its ladder was told."""
    told = []
    serving = bare(
        Serving,
        model=SimpleNamespace(pipeline=SimpleNamespace(input_size=(64, 96))),
        cameras=[SimpleNamespace(input=SimpleNamespace(subscribed=subscribed))] * 3,
        rate=SimpleNamespace(add=lambda size, frame_ms: told.append(frame_ms)),
        _settings=Settings,
        _loader=SimpleNamespace(busy=loading),
        _last_round=(1.0, 1),
    )
    clock = iter([10.0, 10.02])
    monkeypatch.setattr(serving_module.time, 'monotonic', lambda: next(clock))
    monkeypatch.setattr(serving_module, 'serve_round', lambda *_: masks)
    serving._serve([None] * 3)
    return serving, told


def test_a_round_without_a_mask_uses_up_no_turn(monkeypatch):
    serving, told = round_of_20_ms(monkeypatch, masks=0)
    assert serving._last_round == (1.0, 1) and not told


@pytest.mark.parametrize('masks', [1, 3])
def test_a_rate_limit_counts_the_frames_of_a_round(monkeypatch, masks):
    """Cameras that take turns and cameras that go together get the same share of it."""
    serving, _ = round_of_20_ms(monkeypatch, masks)
    monkeypatch.setattr(serving, '_settings', lambda: Settings(max_rate_hz=5.0))
    monkeypatch.setattr(serving_module.time, 'monotonic', lambda: 10.02)
    assert serving._pace() == pytest.approx(masks * 0.2 - 0.02)


def test_cameras_share_the_budget_of_a_target_rate(monkeypatch):
    _, told = round_of_20_ms(monkeypatch, masks=1)
    assert told == [pytest.approx(60.0)]


def test_what_a_round_takes_beside_loading_counts_for_nothing(monkeypatch):
    assert not round_of_20_ms(monkeypatch, masks=3, loading=True)[1]


def test_a_frame_whose_camera_was_unsubscribed_meanwhile_counts_with_its_time(monkeypatch):
    _, told = round_of_20_ms(monkeypatch, masks=1, subscribed=False)
    assert told == [pytest.approx(20.0)]


def test_the_input_size_failing_is_reported_and_survived():
    def follow(*_):
        raise FileNotFoundError('the bundle is gone')

    told = []
    serving = bare(
        Serving,
        cameras=[],
        closed=False,
        rate=SimpleNamespace(follow=follow),
        _load=SimpleNamespace(share=lambda: 0.0),
        _settings=Settings,
        _session=None,
        _loader=None,
        _guard=SimpleNamespace(report=lambda error, where: told.append(where)),
    )
    serving.stop()
    assert told == ['input size']


def test_broken_logits_bring_a_self_test_every_five_seconds_at_most(monkeypatch):
    now_s, tested = [0.0], []
    serving = bare(Serving, _tested_s=-serving_module.WARN_PERIOD_S, _self_test=lambda: tested.append(now_s[0]))
    monkeypatch.setattr(serving_module.time, 'monotonic', lambda: now_s[0])
    for now_s[0] in (100.0, 101.0, 104.9, 105.0, 109.0):
        serving._test_again()
    assert tested == [100.0, 105.0]


def test_a_device_that_the_self_test_finds_lost_ends_the_process():
    def self_test():
        raise DeviceLost('the context is gone')

    given_up = []
    serving = bare(Serving, model=SimpleNamespace(self_test=self_test), _give_up=given_up.append, self_test_error='')
    with pytest.raises(DeviceLost):
        serving._self_test()
    assert len(given_up) == 1 and serving.self_test_error == 'the context is gone'


def test_a_network_that_takes_anothers_place_closes_it_and_forgets_its_error():
    closed, told = [], []
    old = SimpleNamespace(pipeline=SimpleNamespace(close=lambda: closed.append(1)), bundle='old')
    worker = SimpleNamespace(submit=lambda work: work())
    serving = bare(Serving, model=old, self_test_error='wrong', _worker=worker, announce=lambda: told.append(1))
    serving.swap(SimpleNamespace(pipeline=None, bundle='new'))
    assert (closed, told, serving.self_test_error) == ([1], [1], '')


@pytest.mark.parametrize('fault', ['close', 'announce'])
def test_a_network_that_took_anothers_place_serves_whatever_fails_afterwards(fault):
    closed, warned = [], []

    def fails(name):
        if name == fault:
            raise RuntimeError(f'a bug in {name}')

    def submit(work):
        done = Future()
        done.set_result(work())
        return done

    old = SimpleNamespace(pipeline=SimpleNamespace(close=lambda: fails('close')), bundle='old')
    new = SimpleNamespace(pipeline=SimpleNamespace(close=lambda: closed.append(1)), bundle='new')
    node = SimpleNamespace(get_logger=lambda: SimpleNamespace(warning=warned.append))
    worker = SimpleNamespace(submit=submit)
    serving = bare(Serving, model=old, _worker=worker, _node=node, announce=lambda: fails('announce'))
    Loader(None, lambda: False)._swap(serving, new)
    assert serving.model is new and not closed
    assert len(warned) == 1 and f'RuntimeError: a bug in {fault}' in warned[0]


@pytest.mark.parametrize(('serves', 'error'), ((True, RuntimeError('late')), (False, RtsegError('cleaned up'))))
def test_a_network_is_closed_for_an_error_unless_it_serves(serves, error):
    closed, done = [], Future()
    done.set_exception(error)
    new = SimpleNamespace(pipeline=SimpleNamespace(close=lambda: closed.append(1)))
    serving = SimpleNamespace(model=new if serves else None, swap=lambda model: done)
    with pytest.raises(type(error), match=str(error)):
        Loader(None, lambda: False)._swap(serving, new)
    assert bool(closed) != serves


def test_a_network_that_cannot_be_closed_leaves_nothing_else_open():
    closed, warned = [], []

    def fails():
        raise RuntimeError('CUDA error')

    def part(name):
        return SimpleNamespace(close=lambda: closed.append(name))

    serving = bare(
        Serving,
        model=SimpleNamespace(pipeline=SimpleNamespace(close=fails)),
        stop=lambda: None,
        cameras=[part('left'), part('right')],
        _worker=SimpleNamespace(stop=lambda patience_s, hurried: True),
        _node=SimpleNamespace(get_logger=lambda: SimpleNamespace(warning=warned.append)),
        _announcing=threading.Lock(),
        _legends=part('legends'),
    )
    serving.close()
    assert closed == ['left', 'right', 'legends'] and 'CUDA error' in warned[0]


def test_a_second_reload_is_refused_while_the_first_loads():
    """And does not wait: it is the executor's thread that asks."""
    loader, go, begun = Loader(SimpleNamespace(error=quiet, info=quiet), lambda: False), threading.Event(), []

    def slow(stopping):
        begun.append(1)
        assert go.wait(10)
        raise RtsegError('it failed')

    serving = SimpleNamespace(closed=False)
    first = loader.replace(serving, slow)
    with pytest.raises(RtsegError, match='another network is being loaded'):
        loader.replace(serving, slow)
    go.set()
    with pytest.raises(RtsegError, match='it failed'):
        first.result(10)
    assert len(begun) == 1
    with pytest.raises(RtsegError, match='it failed'):
        loader.replace(serving, slow).result(10)


def test_a_failed_reload_is_forgotten_once_a_network_is_configured():
    loader = Loader(SimpleNamespace(error=quiet), lambda: False)

    def fails(stopping):
        raise RtsegError('it failed')

    with pytest.raises(RtsegError, match='it failed'):
        loader.replace(SimpleNamespace(closed=False), fails).result(10)
    assert loader.error == 'it failed'
    with pytest.raises(RtsegError, match='it failed'):
        loader.load(fails, lambda: None)
    assert loader.error == 'it failed'
    assert loader.load(lambda stopping: 'network', lambda: None) == 'network'
    assert not loader.error


def test_label_info_is_latched_and_names_every_class(monkeypatch):
    messages = ModuleType('vision_msgs.msg')
    messages.LabelInfo = type('LabelInfo', (SimpleNamespace,), {})  # vision_msgs is in no wheel
    messages.VisionClass = type('VisionClass', (SimpleNamespace,), {})
    monkeypatch.setitem(sys.modules, 'vision_msgs', ModuleType('vision_msgs'))
    monkeypatch.setitem(sys.modules, 'vision_msgs.msg', messages)
    offered, sent = {}, {}

    def create_publisher(kind, topic, qos):
        offered[topic] = qos
        return SimpleNamespace(publish=lambda message: sent.update({topic: message}))

    clock = SimpleNamespace(now=lambda: SimpleNamespace(to_msg=Time))
    bundle = load_bundle('fast_scnn-camvid')
    Legends(SimpleNamespace(create_publisher=create_publisher, get_clock=lambda: clock)).publish(bundle, 0.25)
    qos, info = offered['~/label_info'], sent['~/label_info']
    assert (qos.reliability, qos.durability) == (ReliabilityPolicy.RELIABLE, DurabilityPolicy.TRANSIENT_LOCAL)
    assert qos.depth == 1 and info.threshold == 0.25
    assert [(c.class_id, c.class_name) for c in info.class_map] == list(enumerate(bundle.card.class_names))


def test_the_legends_latched_last_are_those_of_the_network_that_serves():
    """The executor's thread is within publishing the old ones when the worker puts a network in place."""
    latched, begun, swapping = [], threading.Event(), threading.Event()

    def publish(bundle, threshold):
        if not begun.is_set():
            begun.set()
            swapping.wait(10)
            swapper.join(0.2)  # the worker, unless it waits for this
        latched.append(bundle)

    def submit(work):
        swapping.set()
        work()

    old, new = (SimpleNamespace(pipeline=SimpleNamespace(close=lambda: None), bundle=name) for name in ('old', 'new'))
    serving = bare(
        Serving,
        model=old,
        closed=False,
        _announcing=threading.Lock(),
        _legends=SimpleNamespace(publish=publish),
        _settings=Settings,
        _worker=SimpleNamespace(submit=submit),
    )
    swapper = threading.Thread(target=lambda: begun.wait(10) and serving.swap(new))
    swapper.start()
    serving.announce()
    swapper.join(10)
    assert latched[-1] == 'new'


def test_what_rclpy_would_refuse_later_applies_nothing():
    live = bare(LiveSettings, value=Settings(), _active=lambda: True, _applied=lambda *_: pytest.fail('applied'))
    changes = [Parameter('confidence_threshold', value=0.9), Parameter('use_sim_time', value='yes')]
    found = live._change(changes)
    assert not found.successful and "'use_sim_time' is 'yes'" in found.reason
    assert live.value.confidence_threshold == 0.0
