# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import os
import shutil
import sqlite3
from pathlib import Path

import numpy as np
import pytest
from recordings import FRAME_ID, PERIOD_NS, START_NS, Entry, drive, png, write_bag
from rosbags.highlevel import AnyReader

from rtseg_models.errors import BundleError, NotFound, RtsegError, UsageError
from rtseg_ros.bag import Bag, MaskBagWriter, read_images
from rtseg_ros.bag.files import unpacked_copy
from rtseg_ros.bag.framing import zstd
from rtseg_ros.image_codec import decode_image

FORMS = ('mcap', 'mcap_zstd', 'sqlite3', 'sqlite3_file', 'sqlite3_message', 'ros1', 'ros1_bz2', 'ros1_lz4')
TOPIC = '/camera/image_raw'


@pytest.fixture(scope='module')
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(rng.integers(0, 256, (40, 64, 3), np.uint8), rng.integers(0, 11, (40, 64), np.uint8)) for _ in range(12)]


@pytest.mark.parametrize('form', FORMS)
def test_every_format_gives_back_every_image(form, pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', [*drive(pairs), Entry('/chatter', 0, 'hello', START_NS)], form)
    with Bag(path) as bag:
        assert bag.image_topics() == [TOPIC, '/camera/label']
        assert bag.count([TOPIC]) == len(pairs)
        records = list(bag.images([TOPIC]))
        assert not bag.faults and not bag.notes
    assert [r.stamp_ns for r in records] == [START_NS + i * PERIOD_NS for i in range(len(pairs))]
    assert [r.record_time_ns - r.stamp_ns for r in records] == [3_000_000] * len(pairs)
    assert [r.index for r in records] == list(range(len(pairs)))
    assert {r.frame_id for r in records} == {FRAME_ID}
    for record, (rgb, _) in zip(records, pairs):
        assert np.array_equal(decode_image(record.message), rgb)


def test_topics_interleave_in_recording_order(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs))
    with Bag(path) as bag:
        records = list(bag.images([TOPIC, '/camera/label']))
    assert [r.topic for r in records] == [TOPIC, '/camera/label'] * len(pairs)


def test_range_counts_from_the_bags_start_and_stride_after_the_range(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', [*drive(pairs), Entry('/chatter', 0, 'first', START_NS - PERIOD_NS)])
    with Bag(path) as bag:
        records = list(bag.images([TOPIC], start_s=0.35, end_s=0.95, stride=2))
    assert [r.stamp_ns for r in records] == [START_NS + i * PERIOD_NS for i in (3, 5, 7)]
    assert [r.index for r in records] == [0, 2, 4]


def test_several_bags_follow_one_another(pairs, tmp_path):
    paths = [write_bag(tmp_path / name, drive(pairs[:3])) for name in ('b', 'a')]
    assert [r.index for r in read_images(paths, [TOPIC])] == [0, 1, 2, 0, 1, 2]


def test_bag_without_message_definitions_reads(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs), 'sqlite3')
    with sqlite3.connect(path / 'drive.db3') as database:
        database.execute('DELETE FROM message_definitions')
    with Bag(path) as bag:
        assert len(list(bag.images([TOPIC]))) == len(pairs)


def test_message_that_is_no_image_is_a_record_with_a_fault(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs[:3]), 'sqlite3')
    with sqlite3.connect(path / 'drive.db3') as database:
        database.execute('UPDATE messages SET data = substr(data, 1, 30) WHERE id = 3')
    with Bag(path) as bag:
        records = list(bag.images([TOPIC]))
    assert [r.message is None for r in records] == [False, True, False]
    assert 'sensor_msgs/msg/Image' in records[1].fault


def test_folder_without_metadata_reads_split_files_in_order(pairs, tmp_path):
    folder = tmp_path / 'split'
    folder.mkdir()
    for part in (0, 1, 10):
        source = write_bag(tmp_path / f'part{part}', drive(pairs[:2]))
        shutil.move(source / f'part{part}.mcap', folder / f'split_{part}.mcap')
    with Bag(folder) as bag:
        assert 'metadata.yaml is missing' in bag.notes[0]
        assert len(list(bag.images([TOPIC]))) == 6
        assert [part.path.name for part in bag._parts] == ['split_0.mcap', 'split_1.mcap', 'split_10.mcap']


@pytest.fixture
def split(tmp_path):
    """A bag of masks in three files of two, with metadata."""
    writer = MaskBagWriter(tmp_path / 'masks')
    for i in range(6):
        labels = np.random.default_rng(i).integers(0, 11, (80, 120), np.uint8)
        writer.write('/mask', START_NS + i * PERIOD_NS, labels, frame_id=FRAME_ID, record_time_ns=START_NS + i)
        if i % 2:
            writer.close_file()
    writer.close()
    assert (tmp_path / 'masks' / 'metadata.yaml').is_file()
    return tmp_path / 'masks'


def test_a_split_bag_that_lacks_a_file_tells_it(split):
    first, *_ = sorted(split.glob('*.mcap'))
    with Bag(split) as bag:
        assert len(list(bag.images(['/mask']))) == 6 and not bag.faults and not bag.notes
    (split / 'another.mcap').write_text('not of this bag')
    first.unlink()
    with Bag(split) as bag:
        assert [r.stamp_ns for r in bag.images(['/mask'])] == [START_NS + i * PERIOD_NS for i in range(2, 6)]
        assert len(bag.faults) == 1 and first.name in bag.faults[0]


def test_frame_numbers_are_known_up_to_what_is_missing(split):
    files = sorted(split.glob('*.mcap'))
    for missing, known in ((0, 0), (1, 2), (2, 4)):
        files[missing].rename(split / 'away')
        with Bag(split) as bag:
            placed = [r.placed for r in bag.images(['/mask'])]
        (split / 'away').rename(files[missing])
        assert placed == [True] * known + [False] * (4 - known)
    (split / 'metadata.yaml').unlink()
    with Bag(split) as bag:
        assert all(r.placed for r in bag.images(['/mask']))
    files[1].unlink()
    with Bag(split) as bag:  # the numbers in the files' names tell
        assert [r.placed for r in bag.images(['/mask'])] == [True, True, False, False]
        (fault,) = bag.faults
    assert f'a file before {files[2].name} is missing' in fault


def test_whole_recordings_side_by_side_in_a_folder_are_no_fault(pairs, tmp_path):
    """The first file of every recording ends in 0."""
    (tmp_path / 'both').mkdir()
    for name in ('run1_0', 'run2_0'):
        source = write_bag(tmp_path / name, drive(pairs[:2]))
        shutil.move(source / f'{name}.mcap', tmp_path / 'both')
    with Bag(tmp_path / 'both') as bag:
        assert len(list(bag.images([TOPIC]))) == 4 and not bag.faults


def test_of_a_packed_file_that_is_cut_short_all_that_precedes_the_cut_is_unpacked(tmp_path):
    content = np.random.default_rng(0).bytes(600_000)
    packed = zstd.compress(content)
    (tmp_path / 'drive.mcap.zstd').write_bytes(packed[: len(packed) * 2 // 3])
    copy, why = unpacked_copy(tmp_path / 'drive.mcap.zstd', tmp_path)
    assert copy.name == 'drive.mcap' and why
    assert 200_000 < copy.stat().st_size < 600_000 and content.startswith(copy.read_bytes())


def test_a_full_disk_for_what_is_unpacked_is_named(split, monkeypatch, tmp_path):
    (tmp_path / 'full.mcap.zstd').write_bytes(zstd.compress(next(split.glob('*.mcap')).read_bytes()))

    def full(path, out):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr('rtseg_ros.bag.files._unpack', full)
    with pytest.raises(RtsegError, match=r'full\.mcap\.zstd: cannot be unpacked into .*: No space left.*TMPDIR'):
        Bag(tmp_path / 'full.mcap.zstd')


@pytest.mark.parametrize('metadata', (True, False))
def test_files_packed_as_a_whole_are_read_as_far_as_each_goes(metadata, split):
    files = sorted(split.glob('*.mcap'))
    for file in files:
        packed = zstd.compress(file.read_bytes())
        Path(f'{file}.zstd').write_bytes(packed if file is not files[1] else packed[: len(packed) // 2])
        if file is not files[2]:  # whose packing was interrupted: both are there
            file.unlink()
    facts = (split / 'metadata.yaml').read_text().replace('.mcap', '.mcap.zstd')
    (split / 'metadata.yaml').write_text(facts.replace("compression_mode: ''", 'compression_mode: FILE'))
    if not metadata:
        (split / 'metadata.yaml').unlink()
    with Bag(split) as bag:
        stamps = [(r.stamp_ns - START_NS) // PERIOD_NS for r in bag.images(['/mask'])]
        assert f'{files[1]}.zstd: cannot be unpacked whole' in bag.faults[0]
        assert 'rtseg-bag-' not in ' '.join(bag.faults)
        copies = list(bag._copies)
    assert stamps[:2] == [0, 1] and stamps[-2:] == [4, 5] and len(copies) == 2
    assert not any(copy.exists() for copy in copies)


def test_damage_in_one_file_of_a_split_bag_costs_the_others_nothing(split):
    first, *_ = sorted(split.glob('*.mcap'))
    content = bytearray(first.read_bytes())
    content[len(content) // 4 : len(content) // 2] = bytes(len(content) // 2 - len(content) // 4)
    first.write_bytes(content)
    with Bag(split) as bag:
        stamps = [r.stamp_ns for r in bag.images(['/mask'])]
        assert bag.faults and str(first) in ' '.join(bag.faults)
    assert stamps[-4:] == [START_NS + i * PERIOD_NS for i in range(2, 6)]


def test_a_folder_named_like_a_ros1_bag_is_read_as_what_it_is(pairs, tmp_path):
    path = write_bag(tmp_path / 'run', drive(pairs))
    with Bag(path.rename(tmp_path / 'run.bag')) as bag:
        records = list(bag.images([TOPIC]))
        assert not bag.faults and not bag.notes
    assert np.array_equal(decode_image(records[0].message), pairs[0][0])


def test_what_is_no_bag_is_refused(tmp_path):
    (tmp_path / 'folder').mkdir()
    for name in ('text.mcap', 'text.db3', 'text.bag', 'text.txt'):
        (tmp_path / name).write_text('not a recording\n' * 20)
    with pytest.raises(NotFound, match='no such bag'):
        Bag(tmp_path / 'absent')
    for name in ('folder', 'text.mcap', 'text.db3', 'text.bag', 'text.txt'):
        with pytest.raises(BundleError, match='not a bag') as caught:
            Bag(tmp_path / name)
        assert str(tmp_path / name) in str(caught.value)


def test_wrong_topics_are_refused_with_the_image_topics(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', [*drive(pairs[:1]), Entry('/chatter', 0, 'hello', START_NS)])
    with Bag(path) as bag:
        with pytest.raises(NotFound, match=r"no topic '/absent'.*/camera/image_raw, /camera/label"):
            next(bag.images(['/absent']))
        with pytest.raises(BundleError, match=r'std_msgs/msg/String, not an image.*/camera/image_raw'):
            next(bag.images(['/chatter']))


def _masks(count: int) -> list[np.ndarray]:
    rng = np.random.default_rng(11)
    return [rng.integers(0, 11, (30, 50), np.uint8) for _ in range(count)]


def _write_masks(writer: MaskBagWriter, masks: list[np.ndarray], first: int = 0) -> None:
    for i, mask in enumerate(masks, first):
        stamp_ns = START_NS + i * PERIOD_NS
        writer.write('/segmentation/mask', stamp_ns, mask, frame_id=FRAME_ID, record_time_ns=stamp_ns + 7)
        writer.write('/segmentation/overlay', stamp_ns, np.dstack([mask] * 3), encoding='rgb8', frame_id=FRAME_ID)


def test_mask_bag_opens_in_rosbags_with_stamps_and_frame_ids(tmp_path):
    masks = _masks(7)
    with MaskBagWriter(tmp_path / 'masks') as writer:
        _write_masks(writer, masks[:4])
        writer.close_file()
        _write_masks(writer, masks[4:], 4)
    assert sorted(p.name for p in (tmp_path / 'masks').iterdir()) == ['masks_0.mcap', 'masks_1.mcap', 'metadata.yaml']
    with AnyReader([tmp_path / 'masks']) as reader:
        assert reader.message_count == 14
        wanted = [c for c in reader.connections if c.topic == '/segmentation/mask']
        found = [(t, reader.deserialize(raw, c.msgtype)) for c, t, raw in reader.messages(wanted)]
    for i, ((record_time_ns, message), mask) in enumerate(zip(found, masks)):
        stamp = message.header.stamp
        assert stamp.sec * 10**9 + stamp.nanosec == START_NS + i * PERIOD_NS == record_time_ns - 7
        assert (message.header.frame_id, message.encoding, message.step) == (FRAME_ID, 'mono8', 50)
        assert np.array_equal(message.data.reshape(30, 50), mask)


def test_mask_bag_opens_in_the_mcap_reader(tmp_path):
    reader = pytest.importorskip('mcap.reader', reason='the mcap package is not installed')
    with MaskBagWriter(tmp_path / 'masks') as writer:
        _write_masks(writer, _masks(3))
    with (tmp_path / 'masks' / 'masks_0.mcap').open('rb') as file:
        topics = [channel.topic for _, channel, _ in reader.make_reader(file).iter_messages()]
    assert topics.count('/segmentation/mask') == 3


def test_mask_bag_never_overwrites(tmp_path):
    (tmp_path / 'masks').mkdir()
    with pytest.raises(UsageError, match='not overwritten'):
        MaskBagWriter(tmp_path / 'masks')


def test_interrupted_mask_bag_keeps_finished_files_and_goes_on(tmp_path):
    masks = _masks(6)
    with pytest.raises(RuntimeError), MaskBagWriter(tmp_path / 'masks') as writer:
        _write_masks(writer, masks[:2])
        writer.close_file()
        _write_masks(writer, masks[:1], 2)
        raise RuntimeError
    assert [p.name for p in (tmp_path / 'masks').iterdir()] == ['masks_0.mcap']
    with MaskBagWriter(tmp_path / 'masks', keep_files=1) as writer:
        _write_masks(writer, masks[2:], 2)
    with Bag(tmp_path / 'masks') as bag:
        read = [decode_image(r.message)[:, :, 0] for r in bag.images(['/segmentation/mask'])]
    assert all(np.array_equal(a, b) for a, b in zip(read, masks)) and len(read) == 6


def test_message_objects_are_written_as_they_are(pairs, tmp_path):
    padded = np.zeros((4, 12), np.uint8)
    padded[:, :10] = 5
    path = write_bag(tmp_path / 'drive', [Entry('/m', START_NS, padded, START_NS, {'width': 10})])
    with Bag(path) as bag, MaskBagWriter(tmp_path / 'masks') as writer:
        writer.write_message('/out', next(bag.images(['/m'])).message)
    with Bag(tmp_path / 'masks') as bag:
        record = next(bag.images(['/out']))
    assert (record.message.width, record.message.step, record.stamp_ns) == (10, 12, START_NS)
    assert decode_image(record.message).shape == (4, 10, 3)


def test_compressed_images_are_marked(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', [Entry('/c', START_NS, png(pairs[0][0]), START_NS, {'format': 'png'})])
    with Bag(path) as bag:
        assert [r.compressed for r in bag.images(['/c'])] == [True]


def test_reading_leaves_a_bag_as_it_was(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs), 'sqlite3')
    before = {p: p.read_bytes() for p in Path(path).iterdir()}
    with Bag(path) as bag:
        list(bag.images([TOPIC]))
    assert {p: p.read_bytes() for p in Path(path).iterdir()} == before
