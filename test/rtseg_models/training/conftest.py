# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Iterator

import pytest
import torch
from rendered import write_street

from rtseg_models.datasets import open_checked
from rtseg_models.training.fit import Data


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """Images this small are done sooner without a second thread to wait for."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope='module')
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_street(tmp_path_factory.mktemp('street'), train=4)


@pytest.fixture(scope='module')
def data(root: Path) -> Data:
    opened, counts = open_checked('camvid', root, ['train', 'val'])
    return Data(opened['train'], counts['train'], val=opened['val'])
