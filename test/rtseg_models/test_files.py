# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
from pathlib import Path

import pytest

from rtseg_models.errors import UsageError
from rtseg_models.files import refuse_existing, replace_text


def test_an_output_that_is_there_is_refused(tmp_path: Path) -> None:
    refuse_existing(tmp_path / 'new')
    with pytest.raises(UsageError, match='exists already'):
        refuse_existing(tmp_path)


def test_a_full_disk_leaves_the_old_text_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / 'card.json'
    replace_text(file, 'old')

    def full(self: Path, text: str, encoding: str) -> None:
        self.write_bytes(text[:1].encode())
        raise OSError(errno.ENOSPC, 'No space left on device')

    monkeypatch.setattr(Path, 'write_text', full)
    with pytest.raises(OSError, match='No space'):
        replace_text(file, 'new')
    assert file.read_text() == 'old' and list(tmp_path.iterdir()) == [file]
    monkeypatch.undo()
    replace_text(file, 'new')
    assert file.read_text() == 'new' and list(tmp_path.iterdir()) == [file]
