# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rendered frames for training, rendered on all cores before the first epoch."""

from __future__ import annotations

import multiprocessing
from concurrent.futures import ProcessPoolExecutor
from typing import Callable, List, Optional

import cv2

from ..datasets.sample import Sample
from ..machine import CORES
from ..street import Street
from .launch import world

FRAMES_PER_STREET = 5
FIRST_SEED = 1_000_000  # beyond the seeds of demo, tests, golden samples and the synthetic dataset's splits


def rendered_samples(
    count: int, seed: int, progress: Optional[Callable[[int, int], None]] = None, height: int = 360, width: int = 640
) -> List[Sample]:
    """``count`` rendered frames with their labels, a few of each of many streets, deterministic in ``seed``."""
    streets = -(-count // FRAMES_PER_STREET)
    samples: List[Sample] = []
    if not count:
        return samples
    jobs = [(FIRST_SEED + seed * 10_000 + i, height, width) for i in range(streets)]
    apart = multiprocessing.get_context('spawn')  # a fork would take over locks that PyTorch's threads hold
    with ProcessPoolExecutor(max(1, CORES // world()['local_size']), apart) as pool:
        for rendered in pool.map(_render, jobs):
            samples += rendered
            if progress is not None:
                progress(len(samples), streets * FRAMES_PER_STREET)
    return samples[:count]


def _render(job: tuple[int, int, int]) -> List[Sample]:
    cv2.setNumThreads(1)
    seed, height, width = job
    street = Street(seed, height=height, width=width)
    frames = [street.frame(i * 40) for i in range(FRAMES_PER_STREET)]
    return [Sample(f'street-{seed}-{i}', f.rgb, f.label) for i, f in enumerate(frames)]
