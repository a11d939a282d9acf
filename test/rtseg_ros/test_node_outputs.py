# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a user of the running node sees: masks, pictures, legends, parameters, counters. One node serves all of it."""

import json
import signal
import time

import cv2
import numpy as np
import pytest
from diagnostic_msgs.msg import DiagnosticArray
from node_process import LATCHED, NODE, SMALL, NodeProcess, Probe, bundle, picture, until
from rcl_interfaces.srv import DescribeParameters
from sensor_msgs.msg import CameraInfo, CompressedImage, Image
from std_msgs.msg import Float64, Header, String
from std_srvs.srv import SetBool, Trigger

from rtseg_models import __version__
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_ros.parameters import PARAMETERS, Settings

MASK = f'{NODE}/mask'


@pytest.fixture(scope='module')
def size():
    return bundle().card.input_size


@pytest.fixture(scope='module')
def node(size):
    given = {'input_height': size[0], 'input_width': size[1], 'deterministic': True, 'max_image_pixels': 1_000_000}
    given['max_image_age_s'] = 2.0  # a busy machine makes frames old
    process = NodeProcess('--ros-args', '-r', 'image:=/front/image_raw', parameters=given)
    yield process
    code = process.signal(signal.SIGTERM)
    assert code == 0, process.log
    assert 'Traceback' not in process.log, process.log


@pytest.fixture(scope='module')
def probe(node):
    node.wait_for_log('serving ')
    found = Probe()
    found.subscribe('/diagnostics', DiagnosticArray)
    yield found
    found.close()


@pytest.fixture(scope='module')
def pipeline(size):
    return Pipeline(bundle(), input_size=size, options=Options(threads=1, precision='fp32'))


@pytest.fixture
def watch(probe):
    """Subscribes topics for one test and waits until frames get through."""
    opened = []

    def begin(**kinds):
        for name, kind in kinds.items():
            topic = f'{NODE}/' + name.replace('__', '/')
            probe.subscribe(topic, kind)
            opened.append(topic)
        camera = probe.publisher('/front/image_raw')

        def served():  # the subscription of the test before may be the one that is matched, about to end
            camera.publish(probe.frame(picture()))
            time.sleep(0.2)
            return probe.received[MASK]

        until(served, 'first mask')
        return camera

    yield begin
    for topic in opened:
        probe.unsubscribe(topic)


def exchange(probe, camera, message, topic=MASK):
    """Publish a frame and return the message that answers it."""
    camera.publish(message)
    return answer(probe, message, topic)


def answer(probe, message, topic):
    """The message on a topic that has the header of ``message``."""
    return until(lambda: next((m for m in list(probe.received[topic]) if m.header == message.header), None), topic)


@pytest.mark.parametrize('shape', [SMALL, (121, 163), (360, 480)])
def test_mask_is_the_pipelines_under_the_inputs_header(probe, watch, pipeline, shape):
    camera = watch(mask=Image)
    rgb = picture(shape, seed=shape[1])
    mask = exchange(probe, camera, probe.frame(rgb))
    assert (mask.height, mask.width, mask.encoding, mask.step) == (*shape, 'mono8', shape[1])
    assert mask.header.frame_id == 'front_optical'
    assert bytes(mask.data) == pipeline(rgb).labels.tobytes()


def test_every_picture_comes_from_one_inference(probe, watch, pipeline):
    kinds = {'mask': Image, 'color_mask': Image, 'overlay': Image, 'confidence': Image}
    packed = ('mask__compressed', 'overlay__compressed', 'confidence__compressed')
    camera = watch(**kinds, **dict.fromkeys(packed, CompressedImage))
    rgb = picture(seed=3)
    message = probe.frame(rgb)
    exchange(probe, camera, message)
    found = {name: answer(probe, message, f'{NODE}/{name}') for name in kinds}
    expected = pipeline(rgb, confidence=True)
    table = np.array(bundle().card.colour_table(), np.uint8)
    assert pixels(found['color_mask']).tobytes() == table[expected.labels].tobytes()
    assert pixels(found['confidence']).tobytes() == expected.confidence.tobytes()
    assert found['overlay'].encoding == 'rgb8'
    half = (rgb.astype(int) + table[expected.labels]) / 2
    assert np.abs(pixels(found['overlay']) - half).max() <= 1
    png = answer(probe, message, f'{NODE}/mask/compressed')
    assert np.array_equal(cv2.imdecode(np.array(png.data), cv2.IMREAD_UNCHANGED), expected.labels)
    png = answer(probe, message, f'{NODE}/confidence/compressed')
    assert np.array_equal(cv2.imdecode(np.array(png.data), cv2.IMREAD_UNCHANGED), expected.confidence)
    jpeg = answer(probe, message, f'{NODE}/overlay/compressed')
    shown = cv2.imdecode(np.array(jpeg.data), cv2.IMREAD_COLOR)[:, :, ::-1].astype(int)
    assert np.abs(shown - half).mean() < 10 < np.abs(shown - rgb).mean()


def pixels(message):
    shape = (message.height, message.width, 3) if message.encoding == 'rgb8' else (message.height, message.width)
    return np.array(message.data, np.uint8).reshape(shape)


def test_parameters_take_effect_at_once_or_are_refused_with_a_reason(probe, watch, pipeline, size):
    camera = watch(mask=Image, color_mask=Image)
    rgb = picture(seed=5)
    assert probe.set(confidence_threshold=1)[0].successful
    mask = exchange(probe, camera, probe.frame(rgb))
    assert bytes(mask.data) == pipeline(rgb, threshold=1.0).labels.tobytes()
    assert probe.set(confidence_threshold=0.0, output_size='network', color_encoding='rgba8')[0].successful
    message = probe.frame(rgb)
    mask = exchange(probe, camera, message)
    assert (mask.height, mask.width) == size
    assert answer(probe, message, f'{NODE}/color_mask').encoding == 'rgba8'
    assert all(r.successful for r in probe.set(output_size='input', color_encoding='rgb8'))
    for name, value, told in [
        ('confidence_threshold', 1.5, 'Max: 1.0'),
        ('overlay_alpha', 'much', 'number'),
        ('output_size', 'huge', 'input, network'),
        ('model', 'another', 'deactivate'),
    ]:
        (result,) = probe.set(**{name: value})
        assert not result.successful
        assert name in result.reason
        assert told in result.reason
    assert bytes(exchange(probe, camera, probe.frame(rgb)).data) == pipeline(rgb).labels.tobytes()


def test_late_joiners_get_the_legends(probe):
    for topic, kind in [('class_map', String), ('legend', Image)]:
        probe.subscribe(f'{NODE}/{topic}', kind, LATCHED)
    latched = until(lambda: probe.received[f'{NODE}/class_map'], 'class map')[0]
    facts = json.loads(latched.data)
    assert [row['name'] for row in facts['classes']] == list(bundle().card.class_names)
    assert [row['id'] for row in facts['classes']] == list(range(bundle().card.classes))
    assert facts['weights_sha256'] == bundle().card.weights_sha256
    assert [tuple(row['colour']) for row in facts['classes']] == list(bundle().card.colours)
    assert (facts['model'], facts['version'], facts['unlabelled']) == (bundle().name, __version__, 255)
    assert until(lambda: probe.received[f'{NODE}/legend'], 'legend')[0].encoding == 'rgb8'
    for topic in ('class_map', 'legend'):
        probe.unsubscribe(f'{NODE}/{topic}')


def test_camera_info_is_rescaled_with_the_mask(probe, watch, size):
    camera = watch(mask=Image, camera_info=CameraInfo)
    info = CameraInfo(height=SMALL[0], width=SMALL[1], distortion_model='plumb_bob')
    info.k = [100.0, 0.0, 79.5, 0.0, 100.0, 59.5, 0.0, 0.0, 1.0]
    calibration = probe.publisher('/front/camera_info', CameraInfo)
    until(calibration.get_subscription_count, 'subscription of camera_info')
    calibration.publish(info)
    until(lambda: echoed(probe, camera, 'camera_info'), 'camera_info beside the mask')
    probe.set(output_size='network')
    try:
        scaled = until(lambda: echoed(probe, camera, 'camera_info', size), 'rescaled camera_info')
    finally:
        probe.set(output_size='input')
    assert scaled.k[0] == pytest.approx(100.0 * size[1] / SMALL[1])
    assert scaled.k[2] == pytest.approx((size[1] - 1) / 2)
    assert scaled.k[5] == pytest.approx((size[0] - 1) / 2)


def test_a_camera_info_of_another_aspect_ratio_is_not_passed_on(node, probe, watch):
    camera = watch(mask=Image, camera_info=CameraInfo)
    calibration = probe.publisher('/front/camera_info', CameraInfo)
    until(calibration.get_subscription_count, 'subscription of camera_info')
    calibration.publish(CameraInfo(height=240, width=240))

    def warned():
        exchange(probe, camera, probe.frame(picture()))
        return node.warning('no ~/camera_info for this frame')

    assert 'of 240x240 images and this one is 120x160' in until(warned, 'warning')
    without = probe.frame(picture())
    exchange(probe, camera, without)
    calibration.publish(CameraInfo(height=SMALL[0], width=SMALL[1]))
    until(lambda: echoed(probe, camera, 'camera_info'), 'camera_info beside the mask')
    assert without.header not in [m.header for m in list(probe.received[f'{NODE}/camera_info'])]


def echoed(probe, camera, name, size=SMALL):
    message = probe.frame(picture())
    exchange(probe, camera, message)
    found = (m for m in list(probe.received[f'{NODE}/{name}']) if m.header == message.header)
    return next((m for m in found if (m.height, m.width) == tuple(size)), None)


FAULTS = {
    'bad_encoding': {'encoding': 'rgb565'},
    'bad_size': {'step': 7},
    'too_large': {'height': 2000, 'width': 2000},
    'stale': {'age_s': 3.0},
    'future': {'age_s': -3.0},
    'zero_stamp': {'header': Header()},
}


def test_each_fault_is_counted_and_told_and_the_node_goes_on(probe, watch, node):
    camera = watch(mask=Image)
    before = probe.counts()
    assert probe.set(drop_zero_stamp=True)[0].successful
    for reason, changes in FAULTS.items():
        camera.publish(probe.frame(picture(), **changes))
        node.wait_for_log(f'dropped a frame ({reason})')
    assert probe.set(drop_zero_stamp=False)[0].successful
    exchange(probe, camera, probe.frame(picture()))
    exchange(probe, camera, probe.frame(picture(), header=Header()))
    after = probe.counts()
    changed = {key: int(after[key]) - int(before[key]) for key in after if key.startswith('dropped_')}
    assert changed == {key: int(key[len('dropped_') :] in FAULTS) for key in changed}
    assert 'rgb8, bgr8' in node.log


def test_a_change_of_size_or_encoding_is_told_once(probe, watch, node):
    camera = watch(mask=Image)
    exchange(probe, camera, probe.frame(picture()))
    told = node.log.count('frames are')
    for rgb, encoding in ((picture((90, 130)), 'rgb8'), (picture((90, 130)), 'bgr8'), (picture(), 'rgb8')):
        for _ in range(3):
            exchange(probe, camera, probe.frame(rgb, encoding=encoding))
        told += 1
        assert node.log.count('frames are') == told
    assert 'frames are 90x130 bgr8 (before: 90x130 rgb8)' in node.log


def test_padded_rows_and_trailing_bytes_change_nothing(probe, watch, pipeline):
    camera = watch(mask=Image)
    rgb = picture(seed=9)
    rows = np.pad(rgb.reshape(SMALL[0], -1), ((0, 0), (0, 37)), constant_values=0xAA)
    message = probe.frame(rgb, step=rows.shape[1], data=rows.tobytes() + b'more')
    assert bytes(exchange(probe, camera, message).data) == pipeline(rgb).labels.tobytes()


def test_nothing_is_subscribed_while_nobody_listens(probe, watch):
    camera = watch(mask=Image)
    exchange(probe, camera, probe.frame(picture()))
    probe.unsubscribe(MASK)
    try:
        until(lambda: camera.get_subscription_count() == 0, 'end of the subscription')
    finally:
        probe.subscribe(MASK, Image)


def test_debug_topics_that_are_not_published_keep_nothing_going(probe, watch):
    topic = f'{NODE}/debug/processing_time_ms'
    camera = watch(mask=Image)
    assert probe.set(publish_debug=False)[0].successful
    probe.subscribe(topic, Float64)
    try:
        probe.unsubscribe(MASK)
        until(lambda: camera.get_subscription_count() == 0, 'end of the subscription')
        assert probe.set(publish_debug=True)[0].successful
        until(lambda: camera.get_subscription_count() == 1, 'subscription for the debug topic')
    finally:
        probe.unsubscribe(topic)
        probe.set(publish_debug=False)
        probe.subscribe(MASK, Image)


def test_enable_drops_frames_until_enabled_again(probe, watch):
    camera = watch(mask=Image)
    assert probe.answer(f'{NODE}/enable', SetBool, SetBool.Request(data=False)).success
    before = int(probe.counts()['dropped_disabled'])
    camera.publish(probe.frame(picture()))
    until(lambda: int(probe.counts()['dropped_disabled']) == before + 1, 'count of disabled')
    assert probe.answer(f'{NODE}/enable', SetBool, SetBool.Request(data=True)).success
    exchange(probe, camera, probe.frame(picture()))


def test_a_rate_limit_holds_and_the_rest_counts_as_busy(probe, watch):
    camera = watch(mask=Image)
    exchange(probe, camera, probe.frame(picture()))
    assert probe.set(max_rate_hz=2.0)[0].successful
    try:
        busy, before = int(probe.counts()['dropped_busy']), len(probe.received[MASK])
        began_s = time.monotonic()
        for _ in range(30):
            camera.publish(probe.frame(picture()))
            time.sleep(0.1)
        served = len(probe.received[MASK]) - before
        assert 3 <= served <= 2 * (time.monotonic() - began_s) + 2
        until(lambda: int(probe.counts()['dropped_busy']) - busy >= 15, 'count of busy')
    finally:
        probe.set(max_rate_hz=0.0)


def test_a_camera_that_mislabels_is_read_as_told(probe, watch, pipeline):
    camera = watch(mask=Image)
    rgb = picture(seed=11)
    swapped = pipeline(np.ascontiguousarray(rgb[:, :, ::-1])).labels
    assert not np.array_equal(swapped, pipeline(rgb).labels)
    assert probe.set(encoding_override='bgr8')[0].successful
    try:
        assert bytes(exchange(probe, camera, probe.frame(rgb)).data) == swapped.tobytes()
    finally:
        probe.set(encoding_override='')


def test_a_threshold_that_changes_is_announced_with_the_classes(probe):
    probe.subscribe(f'{NODE}/class_map', String, LATCHED)
    until(lambda: len(probe.received[f'{NODE}/class_map']) == 1, 'class map')
    assert probe.set(confidence_threshold=0.1)[0].successful
    try:
        until(lambda: len(probe.received[f'{NODE}/class_map']) == 2, 'class map of the new threshold')
    finally:
        probe.set(confidence_threshold=0.0)
        probe.unsubscribe(f'{NODE}/class_map')


def test_diagnostics_tell_of_frames_model_and_device(probe, watch):
    camera = watch(mask=Image)
    exchange(probe, camera, probe.frame(picture()))
    found = probe.counts('input')
    assert (found['size'], found['encoding']) == ('{}x{}'.format(*SMALL), 'rgb8')
    assert 0 <= float(found['last_age_s']) < 5 and int(found['publishers']) >= 1
    assert {'age_ms', 'network_ms', 'total_ms'} <= probe.counts().keys()
    found, card = probe.counts('model'), bundle().card
    assert (found['sha256'], found['classes'], found['precision']) == (card.weights_sha256, str(card.classes), 'fp32')
    assert found['bundle'] == str(bundle().path) and 'golden sample' in found['self_test']
    found = probe.counts('device')
    assert found['actual'] == 'cpu' and float(found['memory_mb']) > 50 and found['version_numpy'] == np.__version__


def test_parameters_describe_themselves(probe):
    request = DescribeParameters.Request(names=list(PARAMETERS))
    for found in probe.answer(f'{NODE}/describe_parameters', DescribeParameters, request).descriptors:
        parameter, default = PARAMETERS[found.name], getattr(Settings(), found.name)
        assert found.description == parameter.description and parameter.range_text() in found.additional_constraints
        assert bool(found.floating_point_range) == isinstance(default, float)
        assert bool(found.integer_range) == (isinstance(default, int) and not isinstance(default, bool))


def test_durations_are_published_where_asked_for(probe, watch):
    camera = watch(mask=Image, debug__processing_time_ms=Float64, debug__pipeline_latency_ms=Float64)
    assert probe.set(publish_debug=True)[0].successful
    try:
        exchange(probe, camera, probe.frame(picture()))
        busy = until(lambda: probe.received[f'{NODE}/debug/processing_time_ms'], 'processing time')[0].data
        whole = until(lambda: probe.received[f'{NODE}/debug/pipeline_latency_ms'], 'latency')[0].data
        assert 0 < busy <= whole
    finally:
        probe.set(publish_debug=False)


def test_self_test_and_reload_answer_while_frames_are_served(probe, watch, node):
    camera = watch(mask=Image)
    response = probe.answer(f'{NODE}/self_test', Trigger)
    assert response.success, response.message
    assert '%' in response.message
    response = probe.answer(f'{NODE}/reload_model', Trigger)
    assert response.success, response.message
    exchange(probe, camera, probe.frame(picture()))


def test_every_frame_received_is_accounted_for(probe, watch):
    camera = watch(mask=Image)
    for _ in range(60):
        camera.publish(probe.frame(picture((360, 480))))
    counts = until(lambda: settled(probe), 'an idle node')
    received = int(probe.counts('input')['received'])
    dropped = sum(int(value) for key, value in counts.items() if key.startswith('dropped_'))
    assert received == int(counts['published']) + dropped + int(counts['failed'])
    assert int(counts['failed']) == 0
    assert probe.diagnosis('model').level == b'\x00'
    assert int(counts['unexpected_errors']) == 0


def settled(probe):
    counts = probe.counts()
    return counts if counts['in_flight'] == '0' else None
