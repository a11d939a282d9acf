# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""docs/faults.md names tests that exist, at least one for each fault."""

from __future__ import annotations

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TABLE = (ROOT / 'docs' / 'faults.md').read_text(encoding='utf-8')
ROWS = [line.strip('|').split('|') for line in TABLE.splitlines() if line.startswith('| ')][1:]


@pytest.mark.parametrize('fault,named', [(row[0].strip(), row[-1]) for row in ROWS], ids=lambda v: v[:40])
def test_every_fault_is_provoked(fault: str, named: str) -> None:
    tests = re.findall(r'`([\w/]+\.py)::(\w+)`', named)
    assert tests, fault
    for file, name in tests:
        path = ROOT / file if '/' in file else ROOT / 'test' / 'rtseg_ros' / file
        tree = ast.parse(path.read_text(encoding='utf-8'))
        assert name in {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}, f'{file}::{name}'
