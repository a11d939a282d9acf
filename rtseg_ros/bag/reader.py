# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Reading the images of a recording."""

from __future__ import annotations

import re
import sqlite3
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Dict, Iterator, List, Optional, Sequence, Tuple, Type

from rosbags.rosbag1 import Reader as Reader1
from rosbags.rosbag2 import Reader as Reader2

from rtseg_models.errors import BundleError, NotFound

from .files import IMAGE_TYPES, PACKED, ROS1, ROS2, part_number, storage_files, unpacked_copy, unpacked_name
from .record import ImageRecord
from .salvage import SEARCHABLE, Salvage
from .wal import has_log, merged_copy

LISTED_FILE = re.compile(r'^\s*- [\'"]?(?:[^\'"\n]*/)?([^/:\'"\n]+\.(?:mcap|db3))(?:\.zstd)?[\'"]?\s*$', re.M)
"""An entry of ``relative_file_paths`` in metadata.yaml."""


class Bag:
    """A recording open for reading; a context manager.

    ``path`` is a rosbag2 folder, one of its .mcap or .db3 files, packed (.zstd) or not, or a ROS 1 .bag file. What is
    damaged is read as far as it goes: ``faults`` then holds a sentence for each place where something was skipped
    (complete once all was read), and ``notes`` what is odd about the bag but cost no message. A packed file and a
    sqlite3 file that a write-ahead log belongs to are read from a copy that lasts until ``close``.

    NotFound where there is no such path, BundleError where it is not a bag.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._faults: List[str] = []
        self.notes: List[str] = []
        self.ros1 = path.suffix == '.bag' and path.is_file()  # a folder is rosbag2's, whatever its name
        self._stack = ExitStack()
        self._copies: Dict[Path, Path] = {}  # what a copy that is read stands for
        self._gap: Optional[int] = None  # of the files there, how many come before one that is missing
        try:
            self._parts: List[Any] = self._opened()
            if not self.topics and self._faults:
                raise BundleError(f'{path}: not a bag that can be read: {"; ".join(self.faults)}')
        except BaseException:  # nobody will call close: an interruption leaves no file open and no copy behind
            self._stack.close()
            raise

    def __enter__(self) -> Bag:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the files."""
        self._stack.close()

    @property
    def faults(self) -> List[str]:
        """A sentence for each place where something was skipped."""
        return [self._named(fault) for fault in self._faults]

    def _named(self, sentence: str) -> str:
        """A sentence that speaks of a copy, with the name of the file that was copied."""
        for copy, path in self._copies.items():
            sentence = sentence.replace(str(copy), str(path))
        return sentence

    def _opened(self) -> List[Any]:
        try:
            return self._open()
        except OSError as error:  # of one bag, while an OSError that is raised later may be of the output's disk
            raise BundleError(f'{self.path}: cannot be read: {error}') from error

    def _open(self) -> List[Any]:
        if not self.path.exists():
            raise NotFound(f'{self.path}: no such bag')
        files = storage_files(self.path)
        metadata = self.path / 'metadata.yaml'
        facts = metadata.read_text(errors='replace') if metadata.is_file() else ''
        by_message = re.search(r'compression_mode: [\'"]?message', facts, re.I)
        if files and not by_message:  # file by file: damage in one costs the others nothing
            return [self._open_file(p) for p in (self._listed(files, facts) if self.path.is_dir() else files)]
        self._faults += [f'{p}: the write-ahead log of a compressed bag is not read' for p in files if has_log(p)]
        try:
            return [self._enter(self.path)]
        except Exception as error:  # rosbags lets its own errors, sqlite's, yaml's, zstd's and struct's through
            raise BundleError(
                f'{self.path}: not a bag that can be read: {error}. A bag is a rosbag2 folder, one of its .mcap or '
                '.db3 files, or a ROS 1 .bag file'
            ) from error

    def _listed(self, files: List[Path], facts: str) -> List[Path]:
        """The files there that the text of metadata.yaml lists; all of them where it lists none."""
        if not facts:
            self.notes.append(f'{self.path}: metadata.yaml is missing; its {len(files)} file(s) are read in name order')
            numbers = [part_number(p) for p in files] if len(files) > 1 else []
            self._gap = next((i for i, n in enumerate(numbers) if n is not None and n != i), None)
            if self._gap and (numbers[self._gap] or 0) > self._gap:  # the first may be a date, a low one another bag's
                found = files[self._gap].name
                self._faults.append(f'{self.path}: a file before {found} is missing; the other files are read')
        names = list(dict.fromkeys(LISTED_FILE.findall(facts)))
        have = {unpacked_name(p).name: p for p in files}
        lost = [name for name in names if name not in have]
        if lost:
            self._gap = names.index(lost[0])
            self._faults.append(f'{self.path}: {", ".join(lost)} missing; the other files are read')
        return [have[name] for name in names if name in have] or files

    def _open_file(self, path: Path) -> Any:
        """Reader of one storage file, by linear search where its index or its end is damaged."""
        path = self._unpacked(path) if path.suffix == PACKED else self._with_log(path)
        try:
            reader = self._enter(path)
        except Exception as error:  # as above
            self._faults.append(f'{path}: damaged ({error}); what is whole of it is read')
            return Salvage(path, self._faults)
        if path.suffix != '.mcap':
            return reader
        # Of a file without chunks rosbags wants the times in order, of chunks without an index it sees nothing.
        chunks, count = reader.storage.chunks, reader.message_count
        indexed = sum(sum(chunk.channel_count.values()) for chunk in chunks)
        whole = indexed and indexed >= count if chunks else not count
        return reader if whole else Salvage(path, self._faults)

    def _unpacked(self, path: Path) -> Path:
        folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix='rtseg-bag-')))
        copy, why = unpacked_copy(path, folder)
        if why:
            self._faults.append(f'{path}: cannot be unpacked whole ({why}); what can be is read')
        self._copies[copy] = path
        return copy

    def _with_log(self, path: Path) -> Path:
        """The file itself, or a copy with what its write-ahead log holds."""
        if not has_log(path):
            return path
        try:
            folder = Path(self._stack.enter_context(tempfile.TemporaryDirectory(prefix='rtseg-bag-')))
            copy, lost = merged_copy(path, folder)
        except (OSError, sqlite3.Error) as error:
            self._faults.append(f'{path}: its write-ahead log cannot be read ({error}); what it holds is skipped')
            return path
        if lost:
            self._faults.append(
                f'{path}: {lost} pages of its write-ahead log are damaged or unfinished; they are skipped'
            )
        self._copies[copy] = path
        return copy

    def _enter(self, path: Path) -> Any:
        return self._stack.enter_context(Reader1(path) if self.ros1 else Reader2(path))

    @property
    def topics(self) -> Dict[str, str]:
        """Message type by topic."""
        return {c.topic: c.msgtype for part in self._parts for c in part.connections}

    def image_topics(self) -> List[str]:
        """Topics that carry images, in name order."""
        return sorted(topic for topic, kind in self.topics.items() if kind in IMAGE_TYPES)

    def require_images(self, topics: Sequence[str]) -> None:
        """NotFound or BundleError unless every topic carries images; the message lists those that do."""
        known = self.topics
        have = ', '.join(self.image_topics()) or 'none'
        for topic in topics:
            if topic not in known:
                raise NotFound(f'{self.path}: no topic {topic!r} in it; its image topics: {have}')
            if known[topic] not in IMAGE_TYPES:
                raise BundleError(
                    f'{self.path}: topic {topic!r} is {known[topic]}, not an image; its image topics: {have}'
                )

    def count(self, topics: Sequence[str]) -> Optional[int]:
        """Messages on these topics as the index has it; None where a damaged part has no index."""
        counts = [c.msgcount for part in self._parts for c in part.connections if c.topic in topics]
        return None if any(n is None for n in counts) else sum(counts)

    @property
    def start_ns(self) -> int:
        """Record time of the first message of any topic."""
        return min((part.start_time for part in self._parts), default=0)

    def images(
        self, topics: Sequence[str], start_s: float = 0.0, end_s: Optional[float] = None, stride: int = 1
    ) -> Iterator[ImageRecord]:
        """Every ``stride``-th image of each topic, in the order of recording, between seconds after the bag's start."""
        self.require_images(topics)
        first = self.start_ns + round(start_s * 1e9) if start_s > 0 else None
        last = None if end_s is None else self.start_ns + round(end_s * 1e9)
        index = dict.fromkeys(topics, -1)
        for (topic, kind, record_time_ns, raw), placed in self._messages(topics, first, last):
            index[topic] += 1
            if index[topic] % stride == 0:
                yield replace(self._record(topic, kind, record_time_ns, index[topic], raw), placed=placed)

    def at(self, topic: str, record_time_ns: int) -> Iterator[ImageRecord]:
        """Images of a topic recorded at one time; their ``index`` means nothing."""
        for (_, kind, time_ns, raw), _ in self._messages([topic], record_time_ns, record_time_ns + 1):
            yield self._record(topic, kind, time_ns, 0, raw)

    def _messages(
        self, topics: Sequence[str], first: Optional[int], last: Optional[int]
    ) -> Iterator[Tuple[Tuple[str, str, int, Any], bool]]:
        """Topic, type, record time and bytes of each message, and whether none was lost before it."""
        whole = True
        for place, part in enumerate(self._parts):
            whole = whole and place != self._gap
            wanted = [c for c in part.connections if c.topic in topics]
            if not wanted:
                whole = whole and _nothing_lost(part)
                continue
            read = latest = level = 0  # level: how many of the messages read bear the latest time
            try:
                for connection, record_time_ns, raw in part.messages(wanted, first, last):
                    read += 1
                    level = level + 1 if record_time_ns == latest else 1
                    latest = record_time_ns
                    yield (connection.topic, connection.msgtype, record_time_ns, raw), whole and _nothing_lost(part)
            except Exception as error:  # a damaged bag: see _open
                expected = sum(c.msgcount or 0 for c in wanted)
                lost = f' of {expected}' if expected and first is None and last is None else ''
                self._faults.append(f'{part.path}: damaged after {read}{lost} messages ({error})')
                whole = False
                if part.path.suffix in SEARCHABLE and not isinstance(part, Salvage):
                    behind = self._after(part.path, wanted, latest if read else first, last, level)
                    yield from ((message, whole) for message in behind)
            else:
                expected = sum(c.msgcount or 0 for c in wanted)
                if read < expected and first is None and last is None and not isinstance(part, Salvage):
                    self._faults.append(f'{part.path}: {read} of {expected} messages are found; its index is damaged')
                    whole = False
            whole = whole and _nothing_lost(part)

    def _after(
        self, path: Path, wanted: Sequence[Any], first: Optional[int], last: Optional[int], known: int
    ) -> Iterator[Tuple[str, str, int, Any]]:
        """What a search finds behind the damage: from the time ``first`` on, without the ``known`` messages of it."""
        found = 0
        for connection, record_time_ns, raw in Salvage(path, self._faults).messages(wanted, first, last):
            if record_time_ns == first and known:
                known -= 1
                continue
            found += 1
            yield connection.topic, connection.msgtype, record_time_ns, raw
        self._faults.append(f'{path}: {found or "no"} whole messages were found behind the damage')

    def _record(self, topic: str, kind: str, record_time_ns: int, index: int, raw: Any) -> ImageRecord:
        compressed = kind.endswith('CompressedImage')
        try:
            view = memoryview(raw)  # whose slices are no copies
            message: Any = ROS1.deserialize_ros1(view, kind) if self.ros1 else ROS2.deserialize_cdr(view, kind)
        except Exception as error:  # generated code reads what the bytes say, and they may say anything
            return ImageRecord(topic, 0, '', record_time_ns, index, None, compressed, f'not a {kind}: {error}')
        stamp = message.header.stamp
        if stamp.nanosec >= 10**9:  # whose header no output could carry unchanged
            fault = f'its stamp is no time: {stamp.nanosec} nanoseconds of a second'
            return ImageRecord(topic, 0, '', record_time_ns, index, None, compressed, fault)
        stamp_ns = stamp.sec * 10**9 + stamp.nanosec
        return ImageRecord(topic, stamp_ns, message.header.frame_id, record_time_ns, index, message, compressed)


def _nothing_lost(part: Any) -> bool:
    """Whether a reader has skipped nothing so far."""
    return not (isinstance(part, Salvage) and part.lost)


def read_images(
    paths: Sequence[Path],
    topics: Sequence[str],
    start_s: float = 0.0,
    end_s: Optional[float] = None,
    stride: int = 1,
) -> Iterator[ImageRecord]:
    """Images of several bags, one bag after the other; errors are those of ``Bag``."""
    for path in paths:
        with Bag(path) as bag:
            yield from bag.images(topics, start_s, end_s, stride)
