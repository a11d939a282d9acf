# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's parts one by one, where a whole node would show a fault only now and then."""

import json
import shutil
import sys
import threading
import weakref
from collections import deque
from concurrent.futures import Future
from contextlib import nullcontext
from dataclasses import replace
from threading import Condition, Event, Lock
from types import ModuleType, SimpleNamespace

import cv2
import numpy as np
import pytest
from builtin_interfaces.msg import Time
from node_process import until
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from rtseg_models.bundle import load_bundle
from rtseg_models.engine import NonFiniteLogits, Pipeline, Segmentation
from rtseg_models.engine.backends import Options
from rtseg_models.engine.paint import blend
from rtseg_models.errors import BundleError, DeviceLost, OutOfDeviceMemory, RtsegError, Unavailable
from rtseg_ros.gate import FrameGate
from rtseg_ros.node import model as model_module
from rtseg_ros.node import points_output
from rtseg_ros.node import serving as serving_module
from rtseg_ros.node import subscription as subscription_module
from rtseg_ros.node.camera import Arrival, Camera, Session
from rtseg_ros.node.legends import Legends
from rtseg_ros.node.live_settings import LiveSettings
from rtseg_ros.node.loader import Loader
from rtseg_ros.node.model import Model, _Opener, cache_folder, open_model, resized
from rtseg_ros.node.outputs import Outputs
from rtseg_ros.node.points_output import MOST_DUE, LabelledFrame, PointsOutput
from rtseg_ros.node.rounds import serve_round
from rtseg_ros.node.serving import Serving
from rtseg_ros.node.subscription import SuitedSubscription
from rtseg_ros.node.transforms import Transforms
from rtseg_ros.paints import Paints
from rtseg_ros.pairing import Pairing
from rtseg_ros.parameters import Settings


def bare(kind, **fields):
    """An object of ``kind`` that was not initialised but for these fields."""
    made = kind.__new__(kind)
    vars(made).update(fields)
    return made


def quiet(text):
    """Tells nobody."""


# ---- outputs


def published(*topics, **changes):
    """What ``Outputs`` publishes of one frame, by topic, and what it was made of."""
    sent = {}
    publishers = {
        t: SimpleNamespace(get_subscription_count=lambda: 1, publish=lambda m, t=t: sent.update({t: m})) for t in topics
    }
    labels = (np.arange(64 * 96, dtype=np.uint32).reshape(64, 96) // 600).astype(np.uint8)
    rgb = np.full((64, 96, 3), 200, np.uint8)
    card = load_bundle('fast_scnn-camvid').card
    settings = replace(Settings(), **changes)
    outputs = bare(Outputs, _publishers=publishers)
    outputs.publish(Segmentation(labels, None, {}), rgb, Header(), Paints(card), settings, None)
    return sent, labels, rgb, np.array(card.colour_table(), np.uint8)


def test_the_overlay_follows_its_parameters():
    sent, labels, rgb, table = published('overlay', overlay_alpha=0.25)
    np.testing.assert_array_equal(np.array(sent['overlay'].data).reshape(rgb.shape), blend(rgb, labels, table, 0.25))
    with_legend = published('overlay', overlay_legend=True)[0]['overlay'].data
    assert with_legend != published('overlay')[0]['overlay'].data


def test_compressed_colours_are_those_of_the_classes_in_the_quality_asked_for():
    sent, labels, _, table = published('color_mask/compressed', jpeg_quality=100)
    found = cv2.imdecode(np.array(sent['color_mask/compressed'].data), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(found.astype(int) - table[labels]).mean() < 10
    low, high = (
        len(published('color_mask/compressed', jpeg_quality=quality)[0]['color_mask/compressed'].data)
        for quality in (5, 95)
    )
    assert low < high / 2


# ---- cloud


CALIBRATION = [100.0, 0.0, 1.0, 0.0, 100.0, 1.0, 0.0, 0.0, 1.0]


def cloud_of(**fields):
    transforms = SimpleNamespace(matrix=lambda frame, header: np.eye(4))
    fields = {'_lock': Condition(), '_sending': Lock(), '_epoch': 0, '_due': deque(), '_closed': False, **fields}
    return bare(PointsOutput, _transforms=transforms, _prefix='', _builder=None, **fields)


def frame_with(info):
    return LabelledFrame(np.zeros((2, 2), np.uint8), np.zeros((2, 2, 3), np.uint8), Header(frame_id='camera'), info)


def test_the_clouds_tolerance_is_in_seconds():
    node = SimpleNamespace(create_publisher=lambda *_: None, resolve_topic_name=lambda name: f'/{name}')
    made = PointsOutput(node, '', Settings(cloud='depth', cloud_sync_s=0.05), None)
    assert made._pairing._tolerance_ns == 50_000_000


def test_a_fisheye_lens_is_refused_for_lidar():
    info = CameraInfo(distortion_model='equidistant', k=CALIBRATION, d=[0.1, 0.0, 0.0, 0.0])
    with pytest.raises(ValueError, match='equidistant'):
        cloud_of()._from_lidar(None, frame_with(info))


def test_lidar_points_go_through_the_lens(monkeypatch):
    seen = []
    monkeypatch.setattr(points_output, 'points_from_message', lambda sweep: np.zeros(0))
    monkeypatch.setattr(points_output, 'cloud_from_lidar', lambda *arguments: seen.append(arguments))
    info = CameraInfo(distortion_model='plumb_bob', k=CALIBRATION, d=[-0.3, 0.1, 0.0, 0.0, 0.0])
    cloud_of()._from_lidar(SimpleNamespace(header=None), frame_with(info))
    assert list(seen[0][5]) == [-0.3, 0.1, 0.0, 0.0, 0.0]


def test_depth_is_spread_by_the_rectified_camera(monkeypatch):
    seen = []
    monkeypatch.setattr(points_output, 'depth_from_message', lambda sweep: np.zeros((2, 2)))
    monkeypatch.setattr(points_output, 'cloud_from_depth', lambda *arguments: seen.append(arguments))
    info = CameraInfo(k=CALIBRATION, p=[50.0, 0.0, 1.0, 0.0, 0.0, 50.0, 1.0, 0.0, 0.0, 0.0, 1.0, 0.0])
    cloud_of(_calibration=SimpleNamespace(info=info))._from_depth(None, frame_with(None))
    assert seen[0][3][0, 0] == 50


def test_sweeps_are_kept_by_the_bytes_that_they_take():
    cloud = cloud_of(_pairing=Pairing(0), _paused=False)
    sweep = SimpleNamespace(header=Header(), data=bytes(7))
    cloud._keep(sweep)
    assert cloud._pairing._sweeps == [(0, sweep, 7)]


def builder_of(sent, made):
    """A cloud output that pairs at once, whose clouds are made by ``made``."""
    cloud = cloud_of(_pairing=Pairing(10**9), _paused=False, _publisher=SimpleNamespace(publish=sent.append))
    cloud._made, cloud.published, cloud.failed, cloud.failed_in_a_row, cloud.last_error = made, 0, 0, 0, ''
    cloud._guard = SimpleNamespace(warn=lambda *_: None)
    return cloud


def slow_builder():
    """A cloud output, what it sends, and what tells that a cloud is begun and lets it be made."""
    sent, begun, go = [], Event(), Event()

    def made(frame, sweep):
        begun.set()
        assert go.wait(10)
        return frame.header.stamp.sec, ''

    return builder_of(sent, made), sent, begun, go


def frame_and_sweep(cloud, second):
    frame = frame_with(None)
    cloud.publish(frame.labels, frame.rgb, Header(stamp=Time(sec=second)), None)
    cloud._keep(SimpleNamespace(header=Header(stamp=Time(sec=second)), data=b''))


def test_sweeps_are_taken_while_a_cloud_is_made_and_clouds_keep_the_frames_order():
    cloud, sent, begun, go = slow_builder()
    frame_and_sweep(cloud, 0)
    assert begun.wait(10)
    for second in range(1, MOST_DUE + 3):  # two more than wait
        frame_and_sweep(cloud, second)
    go.set()
    until(lambda: cloud.published == MOST_DUE + 1, 'clouds')
    assert sent == [0, *range(3, MOST_DUE + 3)]
    assert (cloud.published, cloud.failed, cloud.failed_in_a_row) == (MOST_DUE + 1, 2, 0)
    assert 'clouds take longer' in cloud.last_error


def test_a_burst_of_one_sweep_drops_none_and_an_idle_builder_keeps_nothing():
    sent = []
    cloud = builder_of(sent, lambda frame, sweep: (frame.header.stamp.nanosec, ''))
    kept = []
    for i in range(3 * MOST_DUE):
        frame = frame_with(None)
        kept.append(weakref.ref(frame.labels))
        cloud.publish(frame.labels, frame.rgb, Header(stamp=Time(nanosec=i)), None)
    del frame
    cloud._keep(SimpleNamespace(header=Header(stamp=Time(nanosec=100)), data=b''))
    until(lambda: cloud.published == 3 * MOST_DUE, 'clouds')
    assert sent == [*range(3 * MOST_DUE)] and cloud.failed == 0
    until(lambda: not any(reference() for reference in kept), 'end of the frames')


@pytest.mark.parametrize('ending', ['pause', 'restart'])
def test_a_cloud_that_is_being_made_is_not_published_after_the_end(ending):
    cloud, sent, begun, go = slow_builder()
    cloud._transforms = None
    frame_and_sweep(cloud, 0)
    frame_and_sweep(cloud, 1)
    assert begun.wait(10)
    cloud.pause(True) if ending == 'pause' else cloud.restart()
    cloud._paused = False  # pause(False) would forget by itself
    go.set()
    frame_and_sweep(cloud, 2)
    until(lambda: sent, 'a cloud')
    assert sent == [2]


def test_cameras_share_a_listener_of_transforms(monkeypatch):
    made, gone = [], []
    listener = SimpleNamespace(unregister=lambda: gone.append(1))
    fake = ModuleType('tf2_ros')
    fake.Buffer, fake.TransformException = SimpleNamespace, LookupError
    fake.TransformListener = lambda buffer, node: made.append(node) or listener
    monkeypatch.setitem(sys.modules, 'tf2_ros', fake)
    first, second = (Transforms.of('node') for _ in range(2))
    assert first is second and made == ['node']
    first.close()
    assert not gone
    second.close()
    assert gone == [1]
    Transforms.of('node').close()
    assert len(made) == 2


def test_a_disabled_node_publishes_no_cloud_and_keeps_no_sweep(monkeypatch):
    sent = []
    monkeypatch.setattr(PointsOutput, '_hand_over', lambda self, pairs: sent.extend(pairs))
    cloud = cloud_of(_pairing=Pairing(10**9), _paused=False)
    camera = SimpleNamespace(cloud=cloud)
    serving = bare(Serving, cameras=[camera, SimpleNamespace(cloud=None)], _session=Session(), enabled=True)
    frame, sweep = frame_with(None), SimpleNamespace(header=Header(stamp=Time(sec=5)), data=bytes(7))
    arguments = frame.labels, frame.rgb, Header(stamp=Time(sec=5)), None
    cloud.publish(*arguments)  # waits for its sweep
    serving.enable(False)
    cloud._keep(sweep)
    cloud.publish(*arguments)
    assert not sent and not cloud._pairing._sweeps and not cloud._pairing._frames
    serving.enable(True)
    cloud.publish(*arguments)
    cloud._keep(sweep)
    assert [found for _, found in sent] == [sweep]


# ---- camera


def test_confidence_is_computed_for_a_subscriber_of_its_compressed_form_alone(monkeypatch):
    camera = bare(Camera, outputs=SimpleNamespace(wanted=lambda: frozenset({'confidence/compressed'})))
    monkeypatch.setattr(Camera, '_fresh', lambda *_: True)
    monkeypatch.setattr(Camera, '_rgb', lambda *_: None)
    assert camera.decoded(Arrival(camera, None, 0.0, Session()), Settings()).confidence


def test_time_that_jumps_back_restarts_the_cloud(monkeypatch):
    restarted, now_s = [], [100]
    cloud = SimpleNamespace(restart=lambda: restarted.append(now_s[0]))
    statistics = SimpleNamespace(restart_window=lambda: None)
    camera = bare(Camera, _gate=FrameGate(), statistics=statistics, cloud=cloud, last_age_s=None)
    monkeypatch.setattr(Camera, '_now_ns', lambda self: now_s[0] * 10**9)

    def arrives():
        stamp = SimpleNamespace(sec=now_s[0], nanosec=0)
        return camera._fresh(SimpleNamespace(header=SimpleNamespace(stamp=stamp)), Settings())

    assert arrives() and not restarted
    now_s[0] = 10
    assert arrives() and restarted == [10]


# ---- model


def test_the_self_test_at_another_size_than_the_cards_runs_the_network(tiny_bundle):
    pipeline = Pipeline(tiny_bundle, input_size=(96, 128), options=Options(device='cpu', precision='fp32'))
    model = Model(pipeline, None, Paints(tiny_bundle.card), Settings())
    assert model.self_test() is None
    infer = pipeline.backend.infer
    pipeline.backend.infer = lambda rgb: np.full_like(infer(rgb), np.nan)
    with pytest.raises(NonFiniteLogits):
        model.self_test()


def unlike(model, **card):
    """A copy of the model's bundle on disk with other facts in its card."""
    path = model.bundle.path / 'card.json'
    path.write_text(json.dumps({**json.loads(path.read_text()), **card}))


@pytest.fixture
def serving_model(tiny_bundle, tmp_path):
    """A model of a bundle that may be spoilt."""
    path = shutil.copytree(tiny_bundle.path, tmp_path / 'copy')
    settings = Settings(model=str(path), device='cpu', warmup_iterations=0)
    model = open_model(settings, quiet, quiet, lambda: False)
    yield model
    model.pipeline.close()


def test_another_size_is_opened_of_the_very_weights_that_serve(serving_model):
    other = resized(serving_model, (96, 128), quiet, quiet, lambda: False)
    assert other.pipeline.input_size == (96, 128) and other.bundle is serving_model.bundle
    other.pipeline.close()
    unlike(serving_model, licence='another')
    with pytest.raises(BundleError, match='has changed since it was loaded; ~/reload_model'):
        resized(serving_model, (96, 128), quiet, quiet, lambda: False)


def test_another_size_does_not_move_the_network_to_the_cpu(serving_model, monkeypatch):
    closed = []
    found = SimpleNamespace(backend=SimpleNamespace(fallback='no kernels'), close=lambda: closed.append(1))
    monkeypatch.setattr(model_module._Opener, 'open', lambda self, size: SimpleNamespace(pipeline=found))
    with pytest.raises(Unavailable, match='only the CPU can be had: no kernels'):
        resized(serving_model, (96, 128), quiet, quiet, lambda: False)
    assert closed == [1]
    serving_model.pipeline.backend.fallback = 'no kernels'  # it is on the CPU already
    assert resized(serving_model, (96, 128), quiet, quiet, lambda: False).pipeline is found


# ---- rounds


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


# ---- camera


def test_a_subscription_that_fails_is_told_until_it_goes_well():
    def follow(wanted):
        if broken:
            raise RuntimeError('two types')

    broken, told = [1], []
    camera = bare(
        Camera,
        input=SimpleNamespace(follow=follow, topic='/image', calibration=SimpleNamespace(forget=lambda: None)),
        cloud=None,
        outputs=SimpleNamespace(wanted=lambda debug: {'mask'}),
        _guard=SimpleNamespace(report=lambda error, where: told.append(where)),
    )
    camera.follow(True, Settings())
    assert camera.follow_error == 'RuntimeError: two types' and told == ['subscriptions of /image']
    broken.clear()
    camera.follow(True, Settings())
    assert camera.follow_error == ''


# ---- subscription


def test_to_be_made_anew_ends_no_silence(monkeypatch):
    """As where a camera that offers best effort comes and goes, faster than its silence is judged."""
    now_s, offered = [100.0], []
    monkeypatch.setattr(subscription_module.time, 'monotonic', lambda: now_s[0])
    node = SimpleNamespace(
        resolve_topic_name=lambda name: name,
        get_publishers_info_by_topic=lambda name: offered,
        create_subscription=lambda *_: made.append(1) or object(),
        destroy_subscription=lambda subscription: None,
    )
    made, source = [], SuitedSubscription(node, '/image', Image, print, depth=1)
    qos = SimpleNamespace(reliability=ReliabilityPolicy.BEST_EFFORT, durability=DurabilityPolicy.VOLATILE)
    camera = SimpleNamespace(topic_type='sensor_msgs/msg/Image', qos_profile=qos, endpoint_gid=[1])
    for second in range(6):
        now_s[0] += 1
        offered[:] = [camera] * (second % 2)
        source.follow(True)
    assert len(made) == 6 and source.silent_s() == 5
    source.close()
    assert source.silent_s() == 0


# ---- serving


def round_of_20_ms(monkeypatch, masks, subscribed=True):
    """A ``Serving`` of three cameras after a round that published ``masks``, and the times that its ladder was told."""
    told = []
    serving = bare(
        Serving,
        model=SimpleNamespace(pipeline=SimpleNamespace(input_size=(64, 96))),
        cameras=[SimpleNamespace(input=SimpleNamespace(subscribed=subscribed))] * 3,
        rate=SimpleNamespace(add=lambda size, frame_ms: told.append(frame_ms)),
        _settings=Settings,
        _loader=SimpleNamespace(busy=False),
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


def test_a_frame_whose_camera_was_unsubscribed_meanwhile_counts_with_its_time(monkeypatch):
    _, told = round_of_20_ms(monkeypatch, masks=1, subscribed=False)
    assert told == [pytest.approx(20.0)]


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


def test_broken_logits_bring_a_self_test_every_five_seconds_at_most(monkeypatch):
    now_s, tested = [0.0], []
    serving = bare(Serving, _tested_s=-serving_module.WARN_PERIOD_S, _self_test=lambda: tested.append(now_s[0]))
    monkeypatch.setattr(serving_module.time, 'monotonic', lambda: now_s[0])
    for now_s[0] in (100.0, 101.0, 104.9, 105.0, 109.0):
        serving._test_again()
    assert tested == [100.0, 105.0]


def test_colours_come_in_every_encoding():
    card = load_bundle('fast_scnn-camvid').card
    tables, rgb = Paints(card).tables, np.array(card.colour_table(), np.uint8)
    assert np.array_equal(tables['rgb8'], rgb) and np.array_equal(tables['bgr8'], rgb[:, ::-1])
    assert np.array_equal(tables['rgba8'][:, :3], rgb)
    assert tables['rgba8'][:, 3].tolist() == [255] * 255 + [0]  # unlabelled pixels are transparent


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


@pytest.mark.parametrize(('serves', 'error'), ((True, RuntimeError('late')), (False, RtsegError('cleaned up'))))
def test_a_network_is_closed_for_an_error_unless_it_serves(serves, error):
    closed, done = [], Future()
    done.set_exception(error)
    new = SimpleNamespace(pipeline=SimpleNamespace(close=lambda: closed.append(1)))
    serving = SimpleNamespace(model=new if serves else None, swap=lambda model: done)
    with pytest.raises(type(error), match=str(error)):
        Loader(None, lambda: False)._swap(serving, new)
    assert bool(closed) != serves


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


# ---- model


def test_the_target_rate_is_divided_among_the_cameras(monkeypatch):
    sizes, closed = [(64, 96), (96, 128)], []

    def opened(self, size):
        return SimpleNamespace(size=size, pipeline=SimpleNamespace(close=lambda: closed.append(size)))

    monkeypatch.setattr(model_module, 'ladder_sizes', lambda *_: sizes)
    monkeypatch.setattr(model_module, '_frame_ms', lambda model: 60.0 if model.size == sizes[1] else 20.0)
    monkeypatch.setattr(_Opener, 'open', opened)
    settings = Settings(target_rate_hz=10.0, cameras=('front', 'rear'))
    found = _Opener(None, settings, quiet, quiet, lambda: False).open_largest_that_holds()
    assert found.size == sizes[0]  # 60 ms fit into 100, but not twice
    assert closed == [sizes[1]]


@pytest.mark.parametrize('error', [RtsegError, OutOfDeviceMemory, RuntimeError])
def test_a_network_that_fails_its_first_run_is_closed(error, monkeypatch):
    closed = []

    def fail(*_):
        raise error('it failed')

    pipeline = SimpleNamespace(warm_up=fail, close=lambda: closed.append(1))
    monkeypatch.setattr(model_module, 'Pipeline', lambda *_, **__: pipeline)
    settings = Settings(backend='openvino', device='cpu')
    opener = _Opener(load_bundle('fast_scnn-camvid'), settings, quiet, quiet, lambda: False)
    with pytest.raises(error, match='it failed'):
        opener.open(None)
    assert closed == [1]
    model = SimpleNamespace(pipeline=pipeline)
    monkeypatch.setattr(_Opener, 'open', lambda *_: model)
    monkeypatch.setattr(model_module, '_frame_ms', fail)
    with pytest.raises(error, match='it failed'):
        opener.open_largest_that_holds()
    assert closed == [1, 1]


def test_what_rclpy_would_refuse_later_applies_nothing():
    live = bare(LiveSettings, value=Settings(), _active=lambda: True, _applied=lambda *_: pytest.fail('applied'))
    changes = [Parameter('confidence_threshold', value=0.9), Parameter('use_sim_time', value='yes')]
    found = live._change(changes)
    assert not found.successful and "'use_sim_time' is 'yes'" in found.reason
    assert live.value.confidence_threshold == 0.0


def test_the_cache_belongs_to_its_owner_alone(tmp_path):
    assert cache_folder(str(tmp_path / 'cache'), quiet).stat().st_mode & 0o077 == 0


def test_a_device_that_the_self_test_finds_lost_ends_the_process():
    def self_test():
        raise DeviceLost('the context is gone')

    given_up = []
    serving = bare(Serving, model=SimpleNamespace(self_test=self_test), _give_up=given_up.append, self_test_error='')
    with pytest.raises(DeviceLost):
        serving._self_test()
    assert len(given_up) == 1 and serving.self_test_error == 'the context is gone'


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
