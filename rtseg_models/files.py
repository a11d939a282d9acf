# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Results on disk: nothing is overwritten unasked, and no file is seen half written."""

from __future__ import annotations

import os
from pathlib import Path

from .errors import UsageError


def refuse_existing(path: Path) -> None:
    """UsageError where an output is there already."""
    if path.exists():
        raise UsageError(f'{path} exists already, not overwriting')


def replace_text(path: Path, text: str) -> None:
    """Write a file in one step: a reader sees the old text or the new; a full disk (OSError) leaves the old one."""
    part = path.with_name(f'.{path.name}.{os.getpid()}')
    try:
        part.write_text(text, encoding='utf-8')
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
