# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, Entry, drive, write_bag
from replays import COUNT, LABELS, TOPIC, masks, report, timeless
from rosbags.typesys import Stores, get_typestore

from rtseg_models.engine import NonFiniteLogits, Pipeline
from rtseg_models.errors import DeviceLost
from rtseg_ros.bag import IMAGE_TYPES
from rtseg_ros.replay import command
from rtseg_ros.replay.plan import LATEST_S


def test_a_bad_bag_among_several_is_listed_and_the_others_are_done(replay, bag, tmp_path):
    (tmp_path / 'broken.mcap').write_text('nothing')
    result = replay(bag, tmp_path / 'broken.mcap')
    assert result.exit_code == 1
    facts = report(tmp_path / 'out')
    assert facts['frames'] == COUNT and 'broken' in facts['faults'][0]


@pytest.mark.parametrize('name', ['away_0.mcap', 'away_0.db3', 'away_0.mcap.zstd'])
def test_a_bag_on_a_disk_that_is_away_is_listed_and_the_others_are_done(name, replay, bag, tmp_path):
    (tmp_path / 'away').mkdir()
    (tmp_path / 'away' / name).symlink_to('/no/such/disk')
    result = replay(tmp_path / 'away', bag)
    assert result.exit_code == 1, result.output
    facts = report(tmp_path / 'out')
    assert facts['frames'] == COUNT and facts['faults'][0].startswith('away: ')


def test_a_lost_device_ends_all_bags(replay, bag, monkeypatch, tmp_path):
    def lost(*_):
        raise DeviceLost('cuda: the context is gone')

    monkeypatch.setattr(command, 'run_job', lost)
    result = replay(bag, shutil.copytree(bag, tmp_path / 'second'))
    assert result.exit_code == 70 and 'the context is gone' in result.stderr
    assert not (tmp_path / 'out' / 'report.json').exists()


def test_frames_that_do_not_decode_are_dropped_by_reason(replay, pairs, tmp_path):
    entries = [e for e in drive(pairs[:5]) if e.topic == TOPIC]
    faults = ({}, {'encoding': '32FC7'}, {'step': 5}, {'height': 0})
    entries = [Entry(e.topic, e.stamp_ns, e.image, e.record_time_ns, f) for e, f in zip(entries, [*faults, {}])]
    result = replay(write_bag(tmp_path / 'odd', entries))
    assert result.exit_code == 1
    facts = report(tmp_path / 'out')
    assert facts['dropped'] == {'bad_encoding': 1, 'bad_size': 2} and facts['frames'] == 2
    assert [r['index'] for r in facts['per_frame'] if 'dropped' in r] == [1, 2, 3]


@pytest.mark.parametrize('second, nanosecond', ((2**31 - 1, 2**32 - 1), (5, 10**9)))
def test_a_stamp_that_is_no_time_costs_only_its_frame(second, nanosecond, replay, pairs, tmp_path):
    types = get_typestore(Stores.ROS2_HUMBLE).types
    stamp = types['builtin_interfaces/msg/Time'](second, nanosecond)
    entries = [e for e in drive(pairs[:3]) if e.topic == TOPIC]
    entries[1].fields['header'] = types['std_msgs/msg/Header'](stamp, 'camera')
    assert replay(write_bag(tmp_path / 'odd', entries)).exit_code == 1
    facts = report(tmp_path / 'out')
    assert facts['dropped'] == {'decode': 1} and facts['frames'] == 2
    assert [stamp for stamp, _, _ in masks(tmp_path / 'out')] == [START_NS, START_NS + 2 * PERIOD_NS]


def test_bag_cut_short_is_replayed_as_far_as_it_goes(replay, pairs, expected, tmp_path):
    rng = np.random.default_rng(1)
    big = [(rng.integers(0, 256, (500, 600, 3), np.uint8), p[1]) for p in pairs[:4]]
    path = write_bag(tmp_path / 'cut', drive(big))
    file = path / 'cut.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = replay(path)
    assert result.exit_code == 1 and 'cut short' in result.stderr
    assert 0 < report(tmp_path / 'out')['frames'] < 4


@pytest.mark.parametrize(
    'make, status, said',
    (
        (lambda t: (t / 'absent',), 66, 'no such bag'),
        (lambda t: (t / 'text.mcap',), 65, 'not a bag'),
    ),
)
def test_what_is_no_bag_ends_with_its_status(make, status, said, replay, tmp_path):
    (tmp_path / 'text.mcap').write_text('nothing')
    result = replay(*make(tmp_path))
    assert result.exit_code == status and said in result.stderr
    assert not (tmp_path / 'out' / 'report.json').exists()


def test_wrong_topics_list_the_image_topics(replay, bag):
    for topic, status in (('/absent', 66), ('/chatter', 65), (None, 2)):
        result = replay(bag, topic=topic)
        assert result.exit_code == status and '/camera/image_raw, /camera/label' in ' '.join(result.stderr.split())


def test_command_lines_that_make_no_sense(replay, bag, tmp_path):
    for arguments, said in (
        ((), 'nothing to do'),
        ((bag, '--start', '3', '--end', '2'), 'not after'),
        ((bag, '--end', 'inf'), '--end inf: expected seconds'),
        ((bag, '--end', 'nan'), '--end nan: expected seconds'),
        ((bag, '--end', '1e300'), '--end 1e+300: expected seconds'),
        ((bag, '--start', 'inf'), '--start inf: expected seconds'),
        ((bag, '--start', 'nan'), '--start nan: expected seconds'),
        ((bag, '--outputs', 'mask,depth'), 'unknown depth'),
        ((bag, '--ground-truth', tmp_path, '--ground-truth-topic', LABELS), 'exclude'),
        ((bag, '--ground-truth-topic', LABELS, '--ground-truth-classes', 'mapillary'), 'mapillary'),
        ((bag, '--ground-truth-classes', 'camvid'), 'name them with --ground-truth'),
        ((bag, '--compare', tmp_path, tmp_path), 'it replays nothing'),
        ((bag, '--input-size', '512'), '512x1024'),
        ((bag, '--input-size', '16x16'), '512x1024'),
        ((bag, '--backend', 'foo'), 'foo'),
        ((bag, '--precision', 'fp17'), 'fp17'),
        ((bag, '--device', 'tpu'), 'tpu'),
    ):
        result = replay(*arguments, out=f'o{len(said)}')
        assert result.exit_code in (2, 66) and said in ' '.join(result.stderr.split()), (arguments, result.stderr)


def test_a_missing_bundle_is_told_before_anything_is_done(replay, bag, tmp_path):
    result = replay(bag, '--model', tmp_path / 'absent')
    assert result.exit_code == 66 and 'absent' in result.stderr
    assert not list((tmp_path / 'out').iterdir())


def test_network_failure_drops_the_frame(replay, bag, pairs, monkeypatch, tmp_path):
    call = Pipeline.__call__

    def failing(self, rgb, **options):
        if np.array_equal(rgb, pairs[4][0]):
            raise NonFiniteLogits('NaN')
        return call(self, rgb, **options)

    monkeypatch.setattr(Pipeline, '__call__', failing)
    assert replay(bag).exit_code == 1
    assert report(tmp_path / 'out')['dropped'] == {'failed': 1}


def test_damaged_jpegs_are_dropped_and_the_others_done(replay, pairs, tmp_path):
    files = [cv2.imencode('.jpg', rgb)[1].tobytes() for rgb, _ in pairs[:4]]
    files[1], files[2] = files[1][: len(files[1]) // 2], b''
    stamps = [START_NS + i * PERIOD_NS for i in range(4)]
    path = write_bag(tmp_path / 'jpegs', [Entry('/jpeg', s, f, s) for s, f in zip(stamps, files)])
    assert replay(path, topic='/jpeg').exit_code == 1
    facts = report(tmp_path / 'out')
    assert facts['dropped'] == {'decode': 2} and [r['index'] for r in facts['per_frame'] if 'dropped' in r] == [1, 2]


@pytest.mark.parametrize('form', ('mcap', 'sqlite3'))
def test_missing_message_definitions_cost_nothing(form, replay, pairs, tmp_path):
    whole = write_bag(tmp_path / 'whole' / 'drive', drive(pairs[:3]), form)
    bare = write_bag(tmp_path / 'bare' / 'drive', drive(pairs[:3]), form)
    if form == 'sqlite3':
        with sqlite3.connect(bare / 'drive.db3') as database:
            database.execute('DELETE FROM message_definitions')
    else:
        blank_definitions(bare / 'drive.mcap')
    for path, out in ((whole, 'a'), (bare, 'b')):
        assert replay(path, '--ground-truth-topic', LABELS, out=out).exit_code == 0
    assert timeless(tmp_path / 'a') == timeless(tmp_path / 'b')


def blank_definitions(path: Path) -> None:
    """Overwrite the text of every message definition in an uncompressed MCAP file by spaces."""
    data = path.read_bytes()
    texts = [get_typestore(Stores.ROS2_HUMBLE).generate_msgdef(kind, ros_version=2)[0].encode() for kind in IMAGE_TYPES]
    assert texts[0] in data
    for text in texts:
        data = data.replace(text, b' ' * len(text))
    path.write_bytes(data)


@pytest.mark.parametrize('form', ('mcap', 'mcap_zstd', 'ros1', 'ros1_lz4'))
def test_truncated_last_chunk_loses_only_what_was_in_it(form, replay, pairs, tmp_path):
    rng = np.random.default_rng(1)
    big = [(rng.integers(0, 256, (500, 800, 3), np.uint8), p[1]) for p in pairs[:5]]
    path = write_bag(tmp_path / 'cut', [e for e in drive(big) if e.topic == TOPIC], form)
    file = path if path.is_file() else next(p for p in path.iterdir() if p.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[:-600_000])
    result = replay(path)
    facts = report(tmp_path / 'out')
    assert result.exit_code == 1 and facts['frames'] == 4
    assert len(facts['faults']) >= 1 and str(file) in facts['faults'][0]


def test_time_range_without_frames_is_an_error_status(replay, bag, tmp_path):
    assert replay(bag, '--start', '1000').exit_code == 1
    assert report(tmp_path / 'out')['frames'] == 0


@pytest.mark.parametrize('form', ('mcap', 'sqlite3', 'ros1'))
def test_the_latest_end_that_can_be_asked_for_is_the_whole_bag(form, replay, pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs[:2]), form)
    for option, frames in (('--end', 2), ('--start', 0)):
        replay(path, option, LATEST_S, out=option)
        facts = report(tmp_path / option)
        assert facts['frames'] == frames and (facts['faults'], facts['dropped']) == ([], {})


def test_output_that_exists_is_left_alone(replay, bag, tmp_path):
    (tmp_path / 'out').mkdir()
    (tmp_path / 'out' / 'notes.txt').write_text('mine')
    result = replay(bag)
    assert result.exit_code == 2 and 'exists already and is not overwritten' in ' '.join(result.stderr.split())
    assert [p.name for p in (tmp_path / 'out').iterdir()] == ['notes.txt']
