# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Compiled engines and exported graphs on disk. A cache that fails costs time, never the start.

Each engine has a folder of its own, named by all that it depends on, with mode 0700: engines are code. A folder is used
only while its files have the hashes that were noted when it was written; else it is emptied and built anew. Processes
take turns at a folder by a lock beside it, which the kernel takes from them with their end, however they end.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import re
import shutil
import stat
import time
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Callable, Dict, Iterator, Optional, Tuple, TypeVar

from ... import __version__
from ...bundle import Bundle, sha256_of
from ...card import Size
from ...errors import NotKept, RtsegError
from ...files import replace_text

_log = logging.getLogger('rtseg')
CACHE = Path('~/.cache/rtseg')
_SEAL = 'sha256.json'
_TELL_PERIOD_S = 10.0
Engine = TypeVar('Engine')


def engine_key(bundle: Bundle, size: Size, precision: str, runtime: str, version: str, device: str) -> str:
    """Folder name of an engine: all that makes it valid or stale."""
    card, graph = bundle.card, bundle.path / f'{size[0]}x{size[1]}.onnx'
    made_of = sha256_of(graph) if graph.is_file() else __version__  # without, the package exports one
    facts_of_card = (card.network, sorted(card.network_args.items()), card.classes, card.mean, card.std)
    baked = (card.weights_sha256, made_of, *facts_of_card)
    network = hashlib.sha256(repr(baked).encode()).hexdigest()[:16]
    facts = (runtime, version, device, precision, f'{size[0]}x{size[1]}', network)
    return re.sub(r'[^A-Za-z0-9._-]+', '-', '_'.join(facts))


def is_cached(root: Optional[Path], key: str) -> bool:
    """Whether the cache holds an undamaged engine of ``key`` that only its owner could have put there."""
    if root is None:
        return False
    folder = root.expanduser() / key
    try:
        return _private(folder) and _sealed(folder)
    except OSError:
        return False


def build_cached(
    root: Optional[Path], key: str, build: Callable[[Optional[Path]], Engine], keep: bool = False
) -> Engine:
    """``build(folder)`` with the cache folder of ``key``, or ``build(None)`` where there is no usable cache.

    While another process builds there, this one waits and then has its engine. A failure with a cache is logged, the
    folder is removed and the engine is built without; only a failure of that is the caller's, and an RtsegError, which
    is none of the cache's. With ``keep`` NotKept is raised where the engine would not outlast the process.
    """
    with ExitStack() as lock:
        folder = None if root is None else _open_folder(root.expanduser(), key, lock)
        built = None if folder is None else _build_into(folder, build)
    if folder is None and keep:
        raise NotKept(f'{root}: engines cannot be kept there')
    engine, kept = built or (build(None), False)
    if keep and not kept:
        raise NotKept(f'{folder}: the engine was built and cannot be kept there')
    return engine


def _build_into(folder: Path, build: Callable[[Optional[Path]], Engine]) -> Optional[Tuple[Engine, bool]]:
    """The engine, and whether the folder keeps it; None where it could not be built there."""
    try:
        return build(folder), _write_seal(folder)
    except RtsegError:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    except Exception as error:  # runtimes raise what they like over a damaged engine or a full disk
        _log.warning('engine cache %s is of no use (%s); building without it', folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return None


@contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Hold the folder's lock, once no other process does; the log tells of the wait every ten seconds."""
    descriptor = os.open(folder.with_name(f'.{folder.name}.lock'), os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    try:
        began_s = told_s = time.monotonic()
        while not _taken(descriptor):
            time.sleep(0.05)
            now_s = time.monotonic()
            if now_s - told_s >= _TELL_PERIOD_S:
                told_s = now_s
                _log.warning('engine cache %s: waiting for another process, for %.0f s', folder, now_s - began_s)
        yield
    finally:
        os.close(descriptor)


def _taken(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _open_folder(root: Path, key: str, lock: ExitStack) -> Optional[Path]:
    """The folder of ``key``, empty or with an undamaged engine, for as long as ``lock`` is open; None without one."""
    folder = root / key
    try:
        root.mkdir(mode=0o700, parents=True, exist_ok=True)
        try:
            lock.enter_context(_locked(folder))
        except OSError:  # a disk that cannot be written, or has no locks: whole engines can be read there
            if not is_cached(root, key):
                raise
        folder.mkdir(mode=0o700, exist_ok=True)
        if not _private(folder):
            _log.warning('engine cache %s belongs to another user or is open to others; running without cache', folder)
            return None
        if not _sealed(folder):
            if any(folder.iterdir()):
                _log.warning('engine cache %s is damaged; building anew', folder)
            shutil.rmtree(folder)
            folder.mkdir(mode=0o700)
    except OSError as error:
        _log.warning('engine cache %s cannot be used (%s); running without cache', folder, error)
        return None
    return folder


def _private(folder: Path) -> bool:
    status = folder.stat()
    return status.st_uid == os.getuid() and not stat.S_IMODE(status.st_mode) & 0o077


def _hashes(folder: Path) -> Dict[str, str]:
    return {p.name: sha256_of(p) for p in sorted(folder.iterdir()) if p.is_file() and p.name != _SEAL}


def _sealed(folder: Path) -> bool:
    try:
        noted = json.loads((folder / _SEAL).read_text(encoding='utf-8'))
    except (OSError, ValueError):
        return False
    return bool(noted == _hashes(folder))


def _write_seal(folder: Path) -> bool:
    """Note the hashes of what was built; a folder without them is taken for damaged at the next start."""
    if _sealed(folder):
        return True
    try:
        if not any(folder.iterdir()):  # OpenVINO says nothing of a full disk
            raise OSError('the runtime has left nothing there; is the disk full?')
        replace_text(folder / _SEAL, json.dumps(_hashes(folder)))
    except OSError as error:
        _log.warning('engine cache %s cannot be written (%s)', folder, error)
        shutil.rmtree(folder, ignore_errors=True)
        return False
    return True
