# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing

import numpy as np
import pytest
from recordings import drive, write_bag

from rtseg_ros.bag import Bag

TOPIC = '/camera/image_raw'


@pytest.fixture(scope='module')
def pairs() -> list[tuple[np.ndarray, np.ndarray]]:
    rng = np.random.default_rng(3)
    return [(rng.integers(0, 256, (40, 64, 3), np.uint8), rng.integers(0, 11, (40, 64), np.uint8)) for _ in range(12)]


@pytest.fixture
def logged(pairs, tmp_path):
    """A sqlite3 bag whose last 8 messages stand in its write-ahead log only, as a power loss leaves it."""
    path = write_bag(tmp_path / 'drive', drive(pairs), 'sqlite3')
    file, kept = path / 'drive.db3', tmp_path / 'kept'
    with closing(sqlite3.connect(file, isolation_level=None)) as database:
        rows = database.execute('SELECT * FROM messages WHERE id > 16').fetchall()
        database.execute('DELETE FROM messages WHERE id > 16')
        database.execute('PRAGMA journal_mode=WAL')
        database.executemany('INSERT INTO messages VALUES (?, ?, ?, ?)', rows)
        kept.mkdir()
        for name in ('drive.db3', 'drive.db3-wal'):
            shutil.copy(path / name, kept)
    return kept


@pytest.mark.parametrize('name', ('', 'drive.db3'))
def test_what_stands_in_the_write_ahead_log_is_read(name, logged, pairs):
    before = {p: p.read_bytes() for p in logged.iterdir()}
    with Bag(logged / name) as bag:
        assert bag.count([TOPIC]) == len(list(bag.images([TOPIC]))) == len(pairs)
        copies = list(bag._copies)
        assert not bag.faults and len(copies) == 1
    assert {p: p.read_bytes() for p in logged.iterdir()} == before and not copies[0].parent.exists()


def test_damage_in_the_write_ahead_log_is_a_fault(logged):
    log = logged / 'drive.db3-wal'
    content = bytearray(log.read_bytes())
    content[len(content) // 2] ^= 255
    log.write_bytes(content)
    with Bag(logged) as bag:
        assert 8 <= len(list(bag.images([TOPIC]))) < 12
        assert len(bag.faults) == 1 and 'pages of its write-ahead log' in bag.faults[0]
    log.write_bytes(b'not' + content[3:])
    with Bag(logged) as bag:
        assert len(list(bag.images([TOPIC]))) == 8 and 'cannot be read (it does not begin' in bag.faults[0]


def test_pages_of_an_earlier_write_ahead_log_are_no_fault(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs), 'sqlite3')
    with closing(sqlite3.connect(path / 'drive.db3', isolation_level=None)) as database:
        database.execute('PRAGMA journal_mode=WAL')
        database.execute('CREATE TABLE other AS SELECT * FROM messages')
        database.execute('PRAGMA wal_checkpoint(RESTART)')
        database.execute('DELETE FROM messages WHERE id = 24')
        kept = shutil.copytree(path, tmp_path / 'kept')
    with Bag(kept) as bag:
        assert len(list(bag.images(['/camera/label']))) == 11 and not bag.faults and len(bag._copies) == 1


def test_a_write_ahead_log_that_cannot_be_applied_is_a_fault(logged, pairs, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'full'))
    with Bag(logged) as bag:
        assert len(list(bag.images([TOPIC]))) == 8
        assert len(bag.faults) == 1 and f'{logged / "drive.db3"}: its write-ahead log' in bag.faults[0]


def test_damage_in_a_copy_is_told_of_the_recording(logged):
    file = logged / 'drive.db3'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    with Bag(logged) as bag:
        list(bag.images([TOPIC]))
        assert str(file) in bag.faults[0] and str(next(iter(bag._copies))) not in ' '.join(bag.faults)


def test_the_write_ahead_log_of_a_compressed_bag_is_a_fault(pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs), 'sqlite3_message')
    (path / 'drive.db3-wal').write_bytes(b'log')
    with Bag(path) as bag:
        assert len(list(bag.images([TOPIC]))) == len(pairs) and 'write-ahead log' in bag.faults[0]
