# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import io
import os
import struct
from pathlib import Path
from typing import Iterator

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from recordings import PERIOD_NS, START_NS, drive, write_bag
from rosbags.rosbag2 import Reader

from rtseg_models.errors import BundleError
from rtseg_ros.bag import Bag
from rtseg_ros.bag.salvage import Salvage
from rtseg_ros.image_codec import decode_image

TOPIC = '/camera/image_raw'


@pytest.fixture(scope='module')
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(rng.integers(0, 256, (40, 64, 3), np.uint8), rng.integers(0, 11, (40, 64), np.uint8)) for _ in range(12)]


IN_CHUNKS = pytest.mark.parametrize(
    'form, magic', (('mcap_zstd', b'\x28\xb5\x2f\xfd'), ('ros1_lz4', b'\x04\x22\x4d\x18')), ids=('mcap', 'ros1')
)
"""Formats with the bytes that their packed chunks begin with."""


def noise(folder: Path, form: str) -> tuple[Path, Path, bytearray]:
    """A bag of eight images that fill chunks, its file and what that holds."""
    rng = np.random.default_rng(5)
    pairs = [(rng.integers(0, 256, (400, 600, 3), np.uint8), np.zeros((4, 4), np.uint8)) for _ in range(8)]
    path = write_bag(folder, drive(pairs), form)
    file = path if path.is_file() else path / 'drive.mcap'
    return path, file, bytearray(file.read_bytes())


@pytest.mark.parametrize('form', ('mcap', 'mcap_zstd', 'ros1', 'ros1_lz4', 'sqlite3'))
def test_bag_cut_short_gives_what_is_whole(form, tmp_path):
    rng = np.random.default_rng(5)
    pairs = [(rng.integers(0, 256, (400, 600, 3), np.uint8), np.zeros((4, 4), np.uint8)) for _ in range(8)]
    path = write_bag(tmp_path / 'drive', drive(pairs), form)
    file = path if path.is_file() else next(p for p in path.iterdir() if p.suffix != '.yaml')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with Bag(path) as bag:
        records = list(bag.images([TOPIC]))
        assert bag.faults and str(file) in ' '.join(bag.faults)
    assert 2 <= len(records) < 8
    for record, (rgb, _) in zip(records, pairs):
        assert np.array_equal(decode_image(record.message), rgb)


@IN_CHUNKS
def test_a_damaged_chunk_costs_only_what_it_holds(form, magic, tmp_path):
    path, file, content = noise(tmp_path / 'drive', form)
    chunk = content.find(magic, len(content) // 3)
    content[chunk : chunk + 64] = bytes(64)
    file.write_bytes(content)
    with Bag(path) as bag:
        stamps = [r.stamp_ns for r in bag.images([TOPIC])]
        assert 'damaged' in bag.faults[0] and 'found behind the damage' in bag.faults[-1]
        late = [r.stamp_ns for r in bag.images([TOPIC], start_s=PERIOD_NS * 7 / 1e9)]
    frames = [(stamp - START_NS) // PERIOD_NS for stamp in stamps]
    assert frames == sorted(set(frames)) and 5 <= len(frames) < 8
    assert frames[0] == 0 and frames[-1] == 7
    assert late == [START_NS + 7 * PERIOD_NS]


@IN_CHUNKS
@pytest.mark.parametrize('index', (True, False))
def test_a_damaged_first_chunk_costs_only_what_it_holds(index, form, magic, tmp_path):
    path, file, content = noise(tmp_path / 'drive', form)
    chunk = content.find(magic)
    content[chunk : chunk + 64] = bytes(64)
    file.write_bytes(content if index else content[:-1])  # the last byte: rosbags then refuses the file
    with Bag(path) as bag:
        frames = [(r.stamp_ns - START_NS) // PERIOD_NS for r in bag.images([TOPIC])]
        assert 'damaged' in ' '.join(bag.faults)
    assert 5 <= len(frames) < 8 and frames == list(range(8 - len(frames), 8))


@IN_CHUNKS
def test_damage_across_the_beginning_of_a_chunk_costs_only_that_chunk(form, magic, tmp_path):
    path, file, content = noise(tmp_path / 'drive', form)
    chunk = content.find(magic, len(content) // 3)
    content[chunk - 2048 : chunk + 2048] = bytes(4096)
    file.write_bytes(content)
    with Bag(path) as bag:
        records = list(bag.images([TOPIC]))
        assert bag.faults
    assert 'nothing can be made out from byte' in ' '.join(Salvage(file, []).lost)
    frames = [(r.stamp_ns - START_NS) // PERIOD_NS for r in records]
    assert frames == sorted(set(frames)) and frames[0] == 0 and frames[-1] == 7 and 4 <= len(frames) < 8
    assert [r.placed for r in records] == [frame == i for i, frame in enumerate(frames)]


def test_a_cut_costs_no_frame_its_number(tmp_path):
    rng = np.random.default_rng(5)
    pairs = [(rng.integers(0, 256, (400, 600, 3), np.uint8), np.zeros((4, 4), np.uint8)) for _ in range(8)]
    path = write_bag(tmp_path / 'drive', drive(pairs))
    file = path / 'drive.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    with Bag(path) as bag:
        records = list(bag.images([TOPIC]))
        assert bag.faults
    assert 2 <= len(records) < 8 and all(r.placed for r in records)


def records_of(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Opcode and content of the records of an MCAP file without its magic, or of a chunk."""
    position = 0
    while position < len(content):
        opcode, size = struct.unpack_from('<BQ', content, position)
        yield opcode, content[position + 9 : position + 9 + size]
        position += 9 + size


def without_index(file: Path, back_ns: int, since: int) -> bytes:
    """An MCAP file without chunks and index, whose clock was set back at its message ``since``."""
    out = [b'\x89MCAP0\r\n']
    messages = 0
    for opcode, record in records_of(file.read_bytes()[8:-8]):
        inner = records_of(record[40:]) if opcode == 6 else [(opcode, record)] if opcode == 1 else []  # no compression
        for kind, part in inner:
            if kind == 5:
                times = (t - back_ns * (messages >= since) for t in struct.unpack_from('<QQ', part, 6))
                part = part[:6] + struct.pack('<QQ', *times) + part[22:]
                messages += 1
            out.append(struct.pack('<BQ', kind, len(part)) + part)
    out += [struct.pack('<BQI', 15, 4, 0), struct.pack('<BQQQI', 2, 20, 0, 0, 0), out[0]]  # end of data, footer, magic
    return b''.join(out)


def without_message_index(file: Path, *without: int) -> bytes:
    """An MCAP file whose chunks have no index of their messages, as a recorder's option noMessageIndex leaves it, and
    no records of some kinds.
    """
    out, chunks, summary = bytearray(b'\x89MCAP0\r\n'), [], 0
    for opcode, record in records_of(file.read_bytes()[8:-8]):
        if opcode == 6:
            chunks.append(len(out))
        if opcode == 8:  # a chunk's place in the file, without the places of its messages
            start, end, _, length, offsets = struct.unpack_from('<QQQQI', record)
            record = struct.pack('<QQQQIQ', start, end, chunks.pop(0), length, 0, 0) + record[36 + offsets + 8 :]
        if opcode == 2:
            record = struct.pack('<QQI', summary, 0, 0)
        if opcode not in without:
            out += struct.pack('<BQ', opcode, len(record)) + record
        if opcode == 15:  # end of data
            summary = len(out)
    return bytes(out + out[:8])


@pytest.mark.parametrize('statistics', [True, False])
def test_chunks_without_a_message_index_are_read(statistics, tmp_path, pairs):
    source = write_bag(tmp_path / 'source', [e for e in drive(pairs) if e.topic == TOPIC])
    path = tmp_path / 'quick.mcap'
    indices = (7, 14)  # of messages and of the summary
    path.write_bytes(without_message_index(source / 'source.mcap', *indices, *([] if statistics else [11])))
    with Reader(path) as reader:
        assert not list(reader.messages())  # what rosbags makes of it
    with Bag(path) as bag:
        assert [(r.stamp_ns - START_NS) // PERIOD_NS for r in bag.images([TOPIC])] == list(range(len(pairs)))
        assert not bag.faults


class Worn(io.FileIO):
    """A file with a bad sector."""

    bad = range(0)

    def readinto(self, buffer):
        position = self.tell()
        if self.bad and position < self.bad.stop and position + len(buffer) > self.bad.start:
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return super().readinto(buffer)


def test_a_bad_sector_costs_only_its_chunk(tmp_path, monkeypatch):
    _, path, content = noise(tmp_path / 'drive', 'mcap')
    whole, middle = Path.open, len(content) // 2
    monkeypatch.setattr(Worn, 'bad', range(middle, middle + 1))

    def opened(self, *arguments, **options):
        if self == path and arguments[:1] == ('rb',):
            return io.BufferedReader(Worn(self))
        return whole(self, *arguments, **options)

    monkeypatch.setattr(Path, 'open', opened)
    with Bag(path) as bag:
        found = [(r.stamp_ns - START_NS) // PERIOD_NS for r in bag.images([TOPIC])]
        assert len(bag.faults) >= 2  # the first reader's, and the search's
    assert 4 <= len(found) < 8 and found == sorted(set(found)) and found[-1] == 7


def test_without_an_index_a_clock_that_was_set_back_is_no_damage(tmp_path, pairs):
    source = write_bag(tmp_path / 'source', [e for e in drive(pairs) if e.topic == TOPIC])
    path = tmp_path / 'unindexed.mcap'
    path.write_bytes(without_index(source / 'source.mcap', 3600 * 10**9, 5))
    with Bag(path) as bag:
        records = list(bag.images([TOPIC]))
        assert not bag.faults and bag.count([TOPIC]) == len(pairs)
    assert [(r.stamp_ns - START_NS) // PERIOD_NS for r in records] == list(range(len(pairs)))
    assert all(r.placed for r in records) and records[5].record_time_ns < records[0].record_time_ns


@settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    share=st.floats(0, 1), length=st.integers(1, 400), form=st.sampled_from(('mcap', 'mcap_zstd', 'ros1', 'ros1_bz2'))
)
def test_garbage_anywhere_is_survived(share, length, form, pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp('garbage')
    path = write_bag(folder / 'drive', drive(pairs[:3]), form)
    file = path if path.is_file() else path / 'drive.mcap'
    content = bytearray(file.read_bytes())
    begin = int((len(content) - 1) * share)
    length = min(length, len(content) - begin)
    content[begin : begin + length] = np.random.default_rng(begin).bytes(length)
    file.write_bytes(content)
    try:
        with Bag(path) as bag:
            records = list(bag.images([TOPIC])) if TOPIC in bag.topics else []
    except BundleError:
        return
    assert len({r.stamp_ns for r in records if r.message}) == sum(r.message is not None for r in records) <= 3
    assert bag.faults or len(records) == 3


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(share=st.floats(0, 1), form=st.sampled_from(('mcap', 'mcap_zstd', 'ros1', 'ros1_bz2')))
def test_bag_cut_anywhere_is_a_beginning_or_no_bag(share, form, pairs, tmp_path_factory):
    folder = tmp_path_factory.mktemp('cut')
    path = write_bag(folder / 'drive', drive(pairs[:3]), form)
    file = path if path.is_file() else path / 'drive.mcap'
    file.write_bytes(file.read_bytes()[: int(file.stat().st_size * share)])
    try:
        with Bag(path) as bag:
            records = list(bag.images([TOPIC])) if TOPIC in bag.topics else []
            assert bag.faults or len(records) == 3
    except BundleError:
        return
    for record, (rgb, _) in zip(records, pairs):
        assert np.array_equal(decode_image(record.message), rgb)
