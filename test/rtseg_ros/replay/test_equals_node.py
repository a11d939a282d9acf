# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The bag replay gives the live node's masks, byte for byte: same messages, same settings, same threads."""

from __future__ import annotations

import json

from builtin_interfaces.msg import Time
from click.testing import CliRunner
from node_process import NODE, NodeProcess, Probe, bundle, until
from recordings import FRAME_ID, PERIOD_NS, START_NS, drive, frames, write_bag
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from rtseg_ros.image_codec import decode_image
from rtseg_ros.replay.command import main
from rtseg_ros.reporting.measures import mask_digest

COUNT = 8
MASK = f'{NODE}/mask'


def test_replay_equals_node(tmp_path):
    pairs = frames(COUNT, 180, 320)
    bag = write_bag(tmp_path / 'drive', drive(pairs))
    settings = ['--threads', '1', '--precision', 'fp32', '--model', str(bundle().path)]
    done = CliRunner().invoke(
        main, [str(bag), '--topic', '/camera/image_raw', '--out', str(tmp_path / 'out'), *settings]
    )
    assert done.exit_code == 0, done.output
    replayed = {
        row['stamp_ns']: row['sha256']
        for row in json.loads((tmp_path / 'out' / 'report.json').read_text())['per_frame']
    }

    node = NodeProcess(parameters={'deterministic': True, 'precision': 'fp32', 'max_image_age_s': 0.0})
    try:
        node.wait_for_log('serving ')
        probe = Probe()
        probe.subscribe(MASK, Image)
        camera = probe.publisher('/image')
        until(camera.get_subscription_count, 'subscription of the node')
        for i, (rgb, _) in enumerate(pairs):
            stamp = START_NS + i * PERIOD_NS
            message = probe.frame(rgb)
            message.header = Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id=FRAME_ID)
            camera.publish(message)
            until(lambda: len(probe.received[MASK]) > i, f'mask of frame {i}', 20.0, lambda: node.log)  # noqa: B023
        live = {
            m.header.stamp.sec * 10**9 + m.header.stamp.nanosec: mask_digest(decode_image(m)[:, :, 0])
            for m in probe.received[MASK]
        }
        probe.close()
    finally:
        node.close()
    assert live == replayed
    assert len(set(live.values())) > COUNT // 2, 'the frames should differ'
