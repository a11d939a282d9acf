# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The pixel loops in the fastest form this installation has, and the threads that share them.

``COMPILED`` says which: the C extension, or NumPy where the package was installed without a compiler. Results are the
same.
"""

from __future__ import annotations

import logging
from concurrent.futures import ThreadPoolExecutor
from functools import lru_cache
from typing import Callable, List, TypeVar

from ..machine import CORES
from . import kernels_numpy

try:
    from . import _kernels as kernels
    from . import _tally as tally
except ImportError as error:
    kernels = tally = kernels_numpy  # type: ignore[misc]
    _REASON = str(error)
else:
    _REASON = ''

COMPILED = kernels is not kernels_numpy
upsample_argmax = kernels.upsample_argmax
upsample_confidence = kernels.upsample_confidence
colourise = kernels.colourise
blend = kernels.blend
tally_labels = tally.tally_labels
relabel_and_count = tally.relabel_and_count

_log = logging.getLogger('rtseg')
Result = TypeVar('Result')


@lru_cache(maxsize=None)
def announce() -> None:
    """Log once which implementation runs; without the C extension this takes dozens of times as long."""
    if COMPILED:
        _log.info('postprocessing runs in compiled code')
    else:
        _log.warning('postprocessing runs in NumPy, dozens of times slower: the C extension is not there (%s)', _REASON)


@lru_cache(maxsize=None)
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(max_workers=CORES, thread_name_prefix='rtseg-band')


def in_bands(work: Callable[[int, int], Result], rows: int, bands: int) -> List[Result]:
    """``work(first, last)`` over ``bands`` near-equal ranges of rows at once; the caller's thread takes the first."""
    edges = [rows * i // bands for i in range(bands + 1)]
    others = [_pool().submit(work, a, b) for a, b in zip(edges[1:-1], edges[2:])]
    return [work(edges[0], edges[1]), *(o.result() for o in others)]
