# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rtseg_models.cli.output import write_json


def test_a_full_disk_leaves_no_half_of_a_result(tmp_path, monkeypatch):
    def half(self, text, **_):
        self.write_bytes(text[:5].encode())
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Path, 'write_text', half)
    with pytest.raises(OSError, match='No space left'):
        write_json(tmp_path / 'result.json', {'miou': 0.5})
    assert not list(tmp_path.iterdir())
    monkeypatch.undo()
    write_json(tmp_path / 'result.json', {'miou': 0.5})
    assert [path.name for path in tmp_path.iterdir()] == ['result.json']
