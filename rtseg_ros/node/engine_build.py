# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Engines that take minutes to build are built by ``rtseg build`` in a process of its own.

The runtime keeps Python's interpreter lock while it builds: in the node's own process no signal would be answered and
no frame served meanwhile.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Callable, Iterator, List, Set, Tuple

import rtseg_models
from rtseg_models.bundle import Bundle
from rtseg_models.card import Size
from rtseg_models.engine.backends import Options, must_build
from rtseg_models.errors import BundleError, ConfigurationError, NotFound, NotKept, RtsegError, Unavailable

_PROGRAM = 'from rtseg_models.cli import main; main()'
_SPEAKER = 'rtseg: '
_OF_THE_BUNDLE = {error.exit_code: error for error in (BundleError, NotFound, ConfigurationError)}
"""What is wrong whatever the backend."""


@contextmanager
def built_aside(
    bundle: Bundle,
    size: Size,
    backend: str,
    options: Options,
    tell: Callable[[str], None],
    warn: Callable[[str], None],
    stopping: Callable[[], bool],
) -> Iterator[Options]:
    """Options with which the backend opens in seconds for the duration of the block, its engine being built first.

    RtsegError where ``stopping`` says so meanwhile; BundleError, NotFound and ConfigurationError as ``open_backend``
    would raise them. Unavailable where the build fails; but ``auto`` goes on to other backends.
    """
    if not must_build(bundle, size, backend, options):
        yield options
        return
    engine = (bundle.card.weights_sha256, size, options.precision, options.device)
    if backend == 'auto' and engine in _failed:
        yield replace(options, without=('tensorrt',))
        return
    with tempfile.TemporaryDirectory(prefix='rtseg-engine-') as temporary:  # for where there is no cache to be had
        cache_dir = options.cache_dir or Path(temporary)
        tell(f'building the TensorRT engine of {bundle.name} {size[0]}x{size[1]}; once, and it takes minutes')
        code, reason = _run(_command(bundle, size, options, cache_dir), stopping)
        if code == NotKept.exit_code and options.cache_dir is not None:
            warn(f'running without an engine cache, and building once more without it: {reason}')
            cache_dir = Path(temporary)
            code, reason = _run(_command(bundle, size, options, cache_dir), stopping)
        if code in _OF_THE_BUNDLE:
            raise _OF_THE_BUNDLE[code](reason)
        if code != 0 and backend != 'auto':
            raise Unavailable(f'the TensorRT engine could not be built: {reason}')
        if code != 0:  # in this process it would fail likewise, deaf for minutes
            warn(f'going on without TensorRT, whose engine could not be built: {reason}')
            _failed.add(engine)
            options = replace(options, without=('tensorrt',))
        yield replace(options, cache_dir=cache_dir)


_failed: Set[Tuple[str, Size, str, str]] = set()
"""Weights, size, precision and device of engines that could not be built in this process's time."""


def _command(bundle: Bundle, size: Size, options: Options, cache_dir: Path) -> List[str]:
    device = options.device if options.device != 'auto' else 'cuda'
    arguments = {
        'size': f'{size[0]}x{size[1]}',
        'backend': 'tensorrt',
        'device': device,
        'precision': options.precision,
        'threads': options.threads,
        'cache-dir': cache_dir.absolute(),
        'parent': os.getpid(),
    }
    given = [f'--{name}={value}' for name, value in arguments.items()]
    return [sys.executable, '-c', _PROGRAM, 'build', str(bundle.path.absolute()), *given]


def _run(command: List[str], stopping: Callable[[], bool]) -> Tuple[int, str]:
    """Run the build; its exit code and why it failed."""
    with subprocess.Popen(
        command,
        cwd=Path(rtseg_models.__file__).parents[1],  # for Python to find this very package
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,  # an interrupt from the terminal is the node's to answer
    ) as child:
        while True:
            try:
                _, errors = child.communicate(timeout=0.05)
                break
            except subprocess.TimeoutExpired:
                if stopping():
                    child.kill()
                    raise RtsegError('asked to stop while an engine was being built') from None
    if child.returncode < 0:
        return child.returncode, f'ended by signal {-child.returncode}, as where memory is short'
    last = (errors.strip().splitlines() or ['no reason was given'])[-1]
    return child.returncode, last[len(_SPEAKER) :] if last.startswith(_SPEAKER) else last
