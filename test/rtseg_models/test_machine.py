# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import platform
from pathlib import Path

import numpy as np
import pytest

from rtseg_models import machine


@pytest.fixture
def files(monkeypatch):
    """The lines of the files that the module reads, by path; others are not there."""
    found = {}
    monkeypatch.setattr(machine, '_lines', lambda path: found.get(str(path), ()))
    monkeypatch.setattr(Path, 'glob', lambda self, pattern: sorted(Path(name) for name in found if 'thermal' in name))
    return found


def test_the_processor_is_named_or_its_architecture(files):
    assert machine.processor_name() == platform.machine()
    files['/proc/cpuinfo'] = ['processor\t: 0', 'model name\t: EPYC 9B45', 'model name\t: another']
    assert machine.processor_name() == 'EPYC 9B45'


def test_memory_is_in_megabytes(files):
    assert machine.resident_mb() is None
    files['/proc/self/status'] = ['Name:\tpython', 'VmRSS:\t  204800 kB']
    files['/proc/77/status'] = ['VmHWM:\t  307200 kB', 'VmRSS:\t  204800 kB']
    assert machine.resident_mb() == 200 and machine.peak_resident_mb(77) == 300 and machine.peak_resident_mb(78) is None


def test_the_hottest_zone_is_told_in_degrees(files):
    assert machine.temperature_c() is None
    for number, text in enumerate(('45500', '-4000', 'broken', '61000')):
        files[f'/sys/class/thermal/thermal_zone{number}/temp'] = [text]
    assert machine.temperature_c() == 61


def test_versions_are_of_what_is_installed():
    assert machine.versions(['numpy', 'no-such-distribution']) == {'numpy': np.__version__}
