# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A street rendered ahead by every core, and kept on disk so that the next run starts at once."""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import shutil
import signal
import tempfile
import time
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Callable, Dict, List, Optional, Set, Tuple

import numpy as np

import rtseg_models.street
from rtseg_models.errors import RtsegError
from rtseg_models.machine import CORES
from rtseg_models.street import Street

DEFAULT_SEED = 9002
"""A street that shows all eleven classes. Training draws its own from 1,000,000 on."""

CACHE_BYTES = 2 << 30
"""Most that streets other than the one asked for may take in the cache."""

ABANDONED_S = 24 * 3600
"""Age from which a folder that was never finished belongs to no process any more."""

_COMPLETE = 'street.json'
_RENDERING = '.rendering-'


@dataclass(frozen=True)
class StreetSpec:
    """Which frames: the arguments of ``Street``, how many from frame 0, and whether their depth is wanted."""

    seed: int
    height: int
    width: int
    rate_hz: float
    frames: int
    depth: bool

    def street(self) -> Street:
        """The renderer of these frames."""
        return Street(self.seed, height=self.height, width=self.width, rate_hz=self.rate_hz)

    def key(self) -> str:
        """Name of its cache folder: changes with any field and with any line of the renderer."""
        digest = hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode())
        for path in sorted(Path(rtseg_models.street.__file__).parent.glob('*.py')):
            digest.update(path.read_bytes())
        return digest.hexdigest()[:16]

    def arrays(self) -> Dict[str, Tuple[Tuple[int, ...], type]]:
        """Shape and type of each array on disk."""
        size = (self.frames, self.height, self.width)
        shapes: Dict[str, Tuple[Tuple[int, ...], type]] = {'rgb': ((*size, 3), np.uint8), 'label': (size, np.uint8)}
        if self.depth:
            shapes['depth_m'] = (size, np.float32)
        return shapes


@dataclass(frozen=True)
class RenderedStreet:
    """Frames on disk, mapped: rgb (N,H,W,3) uint8, label (N,H,W) uint8, depth_m (N,H,W) float32 or None."""

    rgb: np.ndarray
    label: np.ndarray
    depth_m: Optional[np.ndarray]
    camera_matrix: np.ndarray

    def __len__(self) -> int:
        return len(self.rgb)


class Interrupted(Exception):
    """Rendering was given up because ``stopped`` said so."""


def render_ahead(
    spec: StreetSpec,
    cache_dir: Path,
    *,
    progress: Callable[[int], None] = lambda done: None,
    stopped: Callable[[], bool] = lambda: False,
) -> RenderedStreet:
    """The frames of ``spec``, from ``cache_dir`` or rendered into it; ``progress`` is told how many are there.

    OSError where the folder cannot be written or is full, RtsegError where a rendering process dies; Interrupted soon
    after ``stopped`` turns true. Nothing half-rendered is left in any case.
    """
    home = cache_dir.expanduser() / 'street'
    folder = home / spec.key()
    if not (folder / _COMPLETE).is_file():
        for part in (home.parent, home):  # the mode is that of the last folder made
            part.mkdir(parents=True, exist_ok=True, mode=0o700)
        _make_room(home)
        staging = Path(tempfile.mkdtemp(prefix=_RENDERING, dir=home))
        try:
            _render(spec, staging, progress, stopped)
            facts = {**asdict(spec), 'camera_matrix': spec.street().camera_matrix.tolist()}
            (staging / _COMPLETE).write_text(json.dumps(facts) + '\n', encoding='utf-8')
            shutil.rmtree(folder, ignore_errors=True)
            staging.rename(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)
    os.utime(folder)  # _make_room removes what was not used for longest
    progress(spec.frames)
    arrays = {name: np.load(folder / f'{name}.npy', mmap_mode='r') for name in spec.arrays()}
    facts = json.loads((folder / _COMPLETE).read_text(encoding='utf-8'))
    return RenderedStreet(arrays['rgb'], arrays['label'], arrays.get('depth_m'), np.array(facts['camera_matrix']))


def _render(spec: StreetSpec, folder: Path, progress: Callable[[int], None], stopped: Callable[[], bool]) -> None:
    for name, (shape, dtype) in spec.arrays().items():
        np.lib.format.open_memmap(folder / f'{name}.npy', 'w+', dtype, shape)
        with (folder / f'{name}.npy').open('r+b') as file:
            # Claim the blocks now: running out of disk while writing to a mapping would kill the process.
            os.posix_fallocate(file.fileno(), 0, file.seek(0, os.SEEK_END))
    workers = min(CORES, spec.frames)
    context = multiprocessing.get_context('spawn')
    pool = ProcessPoolExecutor(workers, context, initializer=_start_worker, initargs=(spec, folder))
    # Workers inherit the mask: Ctrl-C reaches the whole group, and only this process answers it, by ending the pool.
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    pending: Set[Future[None]] = set()
    try:
        pending = {pool.submit(_render_frame, i) for i in range(spec.frames)}
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        while pending:
            done, pending = wait(pending, timeout=0.2, return_when=FIRST_COMPLETED)
            for future in done:
                future.result()
            progress(spec.frames - len(pending))
            if stopped():
                raise Interrupted
    except BrokenProcessPool as error:
        raise RtsegError('a rendering process died; was it killed for want of memory?') from error
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)
        if pending:  # given up: a worker may be at its imports, or in a frame that takes seconds
            for worker in multiprocessing.active_children():
                worker.terminate()
        pool.shutdown(cancel_futures=True)


def _make_room(home: Path) -> None:
    """Remove streets, those not used for longest first, until the rest stays below CACHE_BYTES.

    And what processes that were killed have left half rendered.
    """
    for half in home.glob(f'{_RENDERING}*'):
        if time.time() - half.stat().st_mtime > ABANDONED_S:
            shutil.rmtree(half, ignore_errors=True)
    kept = 0
    newest_first: List[Path] = sorted(home.glob('[!.]*'), key=lambda p: p.stat().st_mtime, reverse=True)
    for folder in newest_first:
        kept += sum(p.stat().st_size for p in folder.iterdir())
        if kept > CACHE_BYTES:
            shutil.rmtree(folder, ignore_errors=True)


class _Worker:
    """What a worker process holds between frames."""

    street: Street
    arrays: Dict[str, np.ndarray]


def _start_worker(spec: StreetSpec, folder: Path) -> None:
    import cv2

    cv2.setNumThreads(1)
    _Worker.street = spec.street()
    _Worker.arrays = {name: np.load(folder / f'{name}.npy', mmap_mode='r+') for name in spec.arrays()}


def _render_frame(index: int) -> None:
    frame = _Worker.street.frame(index)
    for name, array in _Worker.arrays.items():
        array[index] = getattr(frame, name)
