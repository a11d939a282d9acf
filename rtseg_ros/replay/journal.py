# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The journal of a replay job: what is done, so that it is never done twice.

One JSON value a line: first the job's identity, then the frames of each finished file of masks, each batch closed by a
line ``{"file": n, "wall_s": s}``, at last ``{"done": ...}``. Lines after the last closing line count as never written.
"""

from __future__ import annotations

import fcntl
import json
import os
from pathlib import Path
from typing import Any, Dict, List, Sequence

from rtseg_models.errors import BundleError, UsageError

from ..reporting.measures import FrameRecord

NAME = 'journal.jsonl'
MASKS = 'masks'  # the folder of masks beside it


class Journal:
    """The journal in a job's folder, opened for going on where it ends, and locked until ``close``.

    ``records`` are the frames that are done, ``files`` the number of finished files of masks, ``wall_s`` the time
    spent, ``done`` what the last line says, None before the job is finished.
    """

    def __init__(self, folder: Path, identity: Dict[str, Any]) -> None:
        """Open or begin; UsageError where the journal there is of another job and says which settings differ, or where
        there are masks but no journal: they are not a replay's. UsageError too while another process has it open.
        """
        self.path = folder / NAME
        if not self.path.exists() and (folder / MASKS).exists():
            raise UsageError(f'{folder / MASKS}: no replay wrote it, for {NAME} is missing; choose another --out')
        self.records: List[FrameRecord] = []
        self.files = 0
        self.wall_s = 0.0
        self.done: Any = None
        identity = json.loads(json.dumps(identity))
        folder.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open('ab')
        try:
            self._lock()
            length = self._read(identity)
            self._file.truncate(length)
            if not length:
                self._append([identity])
        except BaseException:  # nobody will call close, which frees the lock
            self._file.close()
            raise

    def _lock(self) -> None:
        """Keep other replays from this folder until the file is closed, which the end of the process does too."""
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            where = self.path.parent
            raise UsageError(f'{where}: another replay is writing here; wait for it or choose another --out') from error
        except OSError:
            pass  # a file system without locks

    def _read(self, identity: Dict[str, Any]) -> int:
        """Take in what is whole; the number of bytes it has."""
        batch: List[FrameRecord] = []
        position = length = 0
        with self.path.open('rb') as file:
            for number, line in enumerate(file, 1):
                position += len(line)
                if not line.endswith(b'\n'):
                    break  # the line under way when the power failed
                try:
                    entry = json.loads(line)
                except ValueError as error:
                    if number == 1:
                        raise BundleError(f'{self.path}: not the journal of a replay') from error
                    break  # as above
                if number == 1:
                    self._compare(entry, identity)
                    length = position
                elif self._take(entry, batch, number):
                    length = position
        return length

    def _take(self, entry: Any, batch: List[FrameRecord], number: int) -> bool:
        """Take in the entry of a line; whether it closes the batch."""
        try:
            if 'done' in entry:
                self.done = {key: list(entry['done'][key]) for key in ('faults', 'notes')}
            elif 'file' in entry:
                self.files, self.wall_s = int(entry['file']), self.wall_s + float(entry['wall_s'])
                self.records += batch
                batch.clear()
            else:
                batch.append(FrameRecord.from_json(entry))
                return False
        except (KeyError, TypeError, ValueError) as error:
            raise BundleError(
                f'{self.path}: line {number} is nothing that this version writes ({error!r}); choose another --out'
            ) from error
        return True

    def _compare(self, found: Any, identity: Dict[str, Any]) -> None:
        if not isinstance(found, dict):
            raise BundleError(f'{self.path}: not the journal of a replay')
        differing = [k for k in {**identity, **found} if identity.get(k) != found.get(k)]
        if differing:
            said = '; '.join(f'{k} was {found.get(k)!r} and is {identity.get(k)!r}' for k in differing)
            raise UsageError(f'{self.path.parent}: holds another replay ({said}); choose another --out')

    def commit(self, records: Sequence[FrameRecord], files: int, wall_s: float) -> None:
        """Add frames whose masks are on the disk in the first ``files`` files."""
        self._append([*(r.to_json() for r in records), {'file': files, 'wall_s': wall_s}])
        self.records += records
        self.files = files
        self.wall_s += wall_s

    def finish(self, facts: Dict[str, Any]) -> None:
        """Close the job."""
        self._append([{'done': facts}])
        self.done = facts

    def _append(self, entries: Sequence[Dict[str, Any]]) -> None:
        self._file.write(b''.join(json.dumps(e, separators=(',', ':')).encode() + b'\n' for e in entries))
        self._file.flush()
        os.fsync(self._file.fileno())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
