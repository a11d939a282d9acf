# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""File systems of a test's own."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest


def mounted(folder: Path, size: str) -> tuple:
    """A wrapper that mounts an empty file system of ``size`` on the folder, for what it runs alone."""
    if subprocess.run(['unshare', '--map-root-user', '--mount', 'true'], capture_output=True).returncode:
        pytest.skip('no user namespaces here')
    script = 'mount -t tmpfs -o size="$1" tmpfs "$2" && shift 2 && exec "$@"'
    return 'unshare', '--map-root-user', '--mount', 'sh', '-c', script, 'sh', size, str(folder)
