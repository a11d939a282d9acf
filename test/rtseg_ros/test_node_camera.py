# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a camera has of its own, but for clouds: subscription, gate, outputs. Parts alone, without a node."""

from dataclasses import replace
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from parts import bare
from rclpy.qos import DurabilityPolicy, ReliabilityPolicy
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from rtseg_models.bundle import load_bundle
from rtseg_models.engine import Segmentation
from rtseg_models.engine.paint import blend
from rtseg_ros.gate import FrameGate
from rtseg_ros.image_codec import BadFrame
from rtseg_ros.node import outputs as outputs_module
from rtseg_ros.node import subscription as subscription_module
from rtseg_ros.node.camera import Arrival, Camera, Session
from rtseg_ros.node.outputs import Outputs
from rtseg_ros.node.subscription import SuitedSubscription
from rtseg_ros.paints import Paints
from rtseg_ros.parameters import Settings


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


def test_nothing_is_painted_for_the_mask(monkeypatch):
    for painting in (Paints, outputs_module):
        for name in {'overlay', 'colourise', 'encode_compressed'} & set(dir(painting)):
            monkeypatch.setattr(painting, name, lambda *_, **__: pytest.fail('painted'))
    assert set(published('mask')[0]) == {'mask'}


def test_compressed_colours_are_those_of_the_classes_in_the_quality_asked_for():
    sent, labels, _, table = published('color_mask/compressed', jpeg_quality=100)
    found = cv2.imdecode(np.array(sent['color_mask/compressed'].data), cv2.IMREAD_COLOR)[:, :, ::-1]
    assert np.abs(found.astype(int) - table[labels]).mean() < 10
    low, high = (
        len(published('color_mask/compressed', jpeg_quality=quality)[0]['color_mask/compressed'].data)
        for quality in (5, 95)
    )
    assert low < high / 2


def test_colours_come_in_every_encoding():
    card = load_bundle('fast_scnn-camvid').card
    tables, rgb = Paints(card).tables, np.array(card.colour_table(), np.uint8)
    assert np.array_equal(tables['rgb8'], rgb) and np.array_equal(tables['bgr8'], rgb[:, ::-1])
    assert np.array_equal(tables['rgba8'][:, :3], rgb)
    assert tables['rgba8'][:, 3].tolist() == [255] * 255 + [0]  # unlabelled pixels are transparent


@pytest.mark.parametrize(
    'topics, computed',
    [({'confidence/compressed'}, True), ({'confidence', 'mask'}, True), ({'mask', 'overlay'}, False)],
)
def test_confidence_is_computed_for_its_subscribers_alone(monkeypatch, topics, computed):
    camera = bare(Camera, outputs=SimpleNamespace(wanted=lambda: frozenset(topics)))
    monkeypatch.setattr(Camera, '_fresh', lambda *_: True)
    monkeypatch.setattr(Camera, '_rgb', lambda *_: None)
    assert camera.decoded(Arrival(camera, None, 0.0, Session()), Settings()).confidence is computed


def test_the_limit_of_pixels_is_the_one_at_configure():
    camera = bare(Camera, _compressed=False, _max_pixels=11, last_frame='3x4 rgb8')
    message = Image(height=3, width=4, encoding='rgb8', step=12, data=bytes(36))
    with pytest.raises(BadFrame, match='11 pixels are the most'):
        camera._rgb(message, Settings(max_image_pixels=12))
    camera._max_pixels = 12
    assert camera._rgb(message, Settings(max_image_pixels=11)).shape == (3, 4, 3)


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
