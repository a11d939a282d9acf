# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from recordings import FRAME_ID, PERIOD_NS, START_NS, Entry, drive, png, write_bag
from replays import COUNT, LABELS, MASK, TOPIC, masks, report, timeless

from rtseg_ros.bag import Bag
from rtseg_ros.reporting.measures import mask_digest


def test_masks_are_those_of_the_pipeline_under_the_images_stamps(replay, bag, expected, tmp_path):
    assert replay(bag, '--outputs', 'mask,color,overlay').exit_code == 0
    written = masks(tmp_path / 'out')
    assert [(s, f) for s, f, _ in written] == [(START_NS + i * PERIOD_NS, FRAME_ID) for i in range(COUNT)]
    assert all(np.array_equal(image[:, :, 0], labels) for (_, _, image), labels in zip(written, expected))
    for topic in ('/segmentation/color_mask', '/segmentation/overlay'):
        assert len(masks(tmp_path / 'out', topic)) == COUNT
    with Bag(bag) as source, Bag(tmp_path / 'out' / 'masks') as result:
        times = [[r.record_time_ns for r in b.images([t])] for b, t in ((source, TOPIC), (result, MASK))]
    assert times[0] == times[1]
    facts = report(tmp_path / 'out')
    assert {r['stamp_ns']: r['sha256'] for r in facts['per_frame']} == {
        START_NS + i * PERIOD_NS: mask_digest(labels) for i, labels in enumerate(expected)
    }
    assert facts['settings']['threads'] == 1 and facts['miou'] is None


def test_two_runs_are_equal_but_for_time(replay, bag, tmp_path):
    for out in ('a', 'b'):
        assert replay(bag, '--ground-truth-topic', LABELS, out=out).exit_code == 0
    assert timeless(tmp_path / 'a') == timeless(tmp_path / 'b')
    assert (tmp_path / 'a' / 'masks' / 'masks_0.mcap').read_bytes() == (
        tmp_path / 'b' / 'masks' / 'masks_0.mcap'
    ).read_bytes()


def test_several_topics_and_compressed_images(replay, pairs, tmp_path):
    entries = drive(pairs[:3])
    entries += [
        Entry('/rear/jpeg', e.stamp_ns, png(e.image), e.record_time_ns + 1) for e in entries if e.topic == TOPIC
    ]
    path = write_bag(tmp_path / 'two', entries)
    assert replay(path, '--topic', '/rear/jpeg').exit_code == 0
    facts = report(tmp_path / 'out')
    first, second = '/segmentation/camera/image_raw/mask', '/segmentation/rear/jpeg/mask'
    assert set(facts['mask_sha256']) == {first, second}
    assert facts['mask_sha256'][first] == facts['mask_sha256'][second]  # PNG loses nothing


def test_several_bags_merge_exactly(replay, pairs, tmp_path):
    whole = write_bag(tmp_path / 'whole', drive(pairs))
    entries = drive(pairs)
    parts = [write_bag(tmp_path / n, e) for n, e in (('one', entries[:10]), ('two', entries[10:]))]
    assert replay(whole, '--ground-truth-topic', LABELS, out='a').exit_code == 0
    assert replay(*parts, '--ground-truth-topic', LABELS, out='b').exit_code == 0
    one, two = report(tmp_path / 'a'), report(tmp_path / 'b')
    for key in ('miou', 'iou', 'confusion', 'frames', 'mask_sha256', 'label_share', 'pixel_accuracy'):
        assert one[key] == two[key], key
    assert (tmp_path / 'b' / 'one' / 'masks' / 'metadata.yaml').is_file()


def test_bags_of_one_name_are_told_apart(replay, pairs, tmp_path):
    bags = [write_bag(tmp_path / place / 'drive', drive(pairs[:2])) for place in ('monday', 'tuesday')]
    assert replay(*bags).exit_code == 0
    assert report(tmp_path / 'out')['source']['bags'] == ['drive-1', 'drive-2']
    assert (tmp_path / 'out' / 'drive-2' / 'masks' / 'metadata.yaml').is_file()
