# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log beside a sqlite3 file: what a recording under WAL mode had not yet moved into the file.

SQLite applies the log only where it may write, which a recording's folder is not for: that is done to a copy.
"""

from __future__ import annotations

import io
import shutil
import sqlite3
import struct
from contextlib import closing
from pathlib import Path
from typing import Tuple


def log_of(path: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a file."""
    return path.with_name(path.name + '-wal')


def has_log(path: Path) -> bool:
    """Whether a sqlite3 file has a write-ahead log with something in it."""
    log = log_of(path)
    return path.suffix == '.db3' and log.is_file() and log.stat().st_size > 0


def merged_copy(path: Path, folder: Path) -> Tuple[Path, int]:
    """A copy of the file in ``folder`` with its log applied, and how many of the log's pages SQLite would not take.

    OSError or sqlite3.Error where there can be no such copy.
    """
    copy = folder / path.name
    shutil.copyfile(path, copy)
    shutil.copyfile(log_of(path), log_of(copy))
    pages = _pages(log_of(copy))
    with closing(sqlite3.connect(str(copy))) as connection:
        _, taken, _ = connection.execute('PRAGMA wal_checkpoint').fetchone()
        if connection.execute('PRAGMA journal_mode=DELETE').fetchone() != ('delete',):
            raise sqlite3.OperationalError('SQLite did not apply it')
    return copy, max(0, pages - taken)


def _pages(log: Path) -> int:
    """How many pages a log holds; those behind them, with another salt, were moved into the file long ago.

    The log's header is 32 bytes, each page's 24 (https://www.sqlite.org/fileformat2.html#the_write_ahead_log).
    """
    with log.open('rb') as file:
        header = file.read(32)
        if len(header) < 32 or header[:3] != b'\x37\x7f\x06':
            raise sqlite3.DatabaseError('it does not begin like one')
        size, salt = struct.unpack('>I', header[8:12])[0], header[16:24]
        count = 0
        while file.read(24)[8:16] == salt:
            count += 1
            file.seek(size, io.SEEK_CUR)
    return count
