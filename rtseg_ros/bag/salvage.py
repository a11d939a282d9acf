# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading what is whole of a damaged recording: no index, no footer, a last chunk cut short by a power loss.

A search through the file by the formats' own framing, of MCAP and ROS 1 bags, and through rosbag2's sqlite3 tables.
"""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Callable, Dict, Iterator, List, NamedTuple, Optional, Sequence, Tuple

from .framing import GARBLED, Message
from .salvage_mcap import scan_mcap
from .salvage_ros1 import scan_ros1


class Channel(NamedTuple):
    """A topic as ``Bag`` wants it from a reader."""

    topic: str
    msgtype: str
    msgcount: int


class Salvage:
    """A storage file that rosbags does not read, for damage or lack of an index, behind the methods of its readers that
    ``Bag`` uses.
    """

    def __init__(self, path: Path, faults: List[str]) -> None:
        """Search the file once for its topics and counts; a sentence on what is lost goes to ``faults``."""
        self.path = path
        self._scan = _SCANS[path.suffix]
        counts: Dict[Tuple[str, str], int] = {}
        times = []
        before = len(faults)
        for topic, kind, record_time_ns, _ in self._search(faults):
            counts[topic, kind] = counts.get((topic, kind), 0) + 1
            times.append(record_time_ns)
        self.connections = [Channel(topic, kind, n) for (topic, kind), n in counts.items()]
        self.start_time = min(times, default=2**63 - 1)
        self.lost = faults[before:]  # during ``messages``: what was skipped before the present one

    def __enter__(self) -> Salvage:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to close: each search opens the file for itself."""

    def messages(
        self, connections: Sequence[Channel], start: Optional[int] = None, stop: Optional[int] = None
    ) -> Iterator[Tuple[Channel, int, bytes]]:
        """Messages of some topics in file order, between record times in nanoseconds."""
        wanted = {(c.topic, c.msgtype): c for c in connections}
        self.lost = []
        for topic, kind, record_time_ns, raw in self._search(self.lost):
            channel = wanted.get((topic, kind))
            late = stop is not None and record_time_ns >= stop
            if channel is not None and not late and (start is None or record_time_ns >= start):
                yield channel, record_time_ns, raw

    def _search(self, faults: List[str]) -> Iterator[Message]:
        try:
            yield from self._scan(self.path, faults)
        except GARBLED as error:
            faults.append(f'{self.path}: holds a record that cannot be made out ({error}); the rest is skipped')
        except OSError as error:  # a bad sector, or a file of somebody else
            faults.append(f'{self.path}: cannot be read on ({error}); the rest is skipped')


def _scan_sqlite(path: Path, faults: List[str]) -> Iterator[Message]:
    read = 0
    try:
        with closing(sqlite3.connect(f'{path.resolve().as_uri()}?immutable=1', uri=True)) as connection:
            connection.execute('PRAGMA writable_schema=ON')  # lets SQLite open a file shorter than its header says
            topics = {key: (name, kind) for key, name, kind in connection.execute('SELECT id, name, type FROM topics')}
            for key, record_time_ns, raw in connection.execute(
                'SELECT topic_id, timestamp, data FROM messages ORDER BY id'
            ):
                read += 1
                yield (*topics[key], record_time_ns, raw)
    except sqlite3.Error as error:
        faults.append(f'{path}: damaged after {read} messages ({error}); the rest is skipped')


_SCANS: Dict[str, Callable[[Path, List[str]], Iterator[Message]]] = {
    '.mcap': scan_mcap,
    '.bag': scan_ros1,
    '.db3': _scan_sqlite,
}
SEARCHABLE = frozenset(_SCANS)
