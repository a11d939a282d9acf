# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The write-ahead log beside a sqlite3 file: what a recording under WAL mode had not yet moved into the file.

SQLite applies the log only where it may write, which a recording's folder is not for: that is done to a copy.
"""

from __future__ import annotations

import shutil
import sqlite3
from contextlib import closing
from pathlib import Path


def log_of(path: Path) -> Path:
    """Where SQLite keeps the write-ahead log of a file."""
    return path.with_name(path.name + '-wal')


def has_log(path: Path) -> bool:
    """Whether a sqlite3 file has a write-ahead log with something in it."""
    log = log_of(path)
    return path.suffix == '.db3' and log.is_file() and log.stat().st_size > 0


def merged_copy(path: Path, folder: Path) -> Path:
    """A copy of the file in ``folder`` with its log applied; OSError or sqlite3.Error where there can be none."""
    copy = folder / path.name
    shutil.copyfile(path, copy)
    shutil.copyfile(log_of(path), log_of(copy))
    with closing(sqlite3.connect(str(copy))) as connection:
        if connection.execute('PRAGMA journal_mode=DELETE').fetchone() != ('delete',):
            raise sqlite3.OperationalError('SQLite did not apply it')
    return copy
