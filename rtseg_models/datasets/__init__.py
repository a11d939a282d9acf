# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Labelled datasets by name. A dataset lists its samples, checks itself before use and loads one sample at a time."""

from __future__ import annotations

from pathlib import Path
from typing import Callable, Dict

from .camvid import CamVid
from .sample import Dataset, Sample
from .synthetic import Synthetic

DATASETS: Dict[str, Callable[[Path, str], Dataset]] = {'camvid': CamVid, 'synthetic': Synthetic}


def open_dataset(name: str, root: Path, split: str) -> Dataset:
    """Dataset by name; ValueError lists the known ones."""
    if name not in DATASETS:
        raise ValueError(f'unknown dataset {name!r}; known: {", ".join(sorted(DATASETS))}')
    return DATASETS[name](root, split)


__all__ = ['DATASETS', 'Dataset', 'Sample', 'open_dataset']
