# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result
from recordings import START_NS, Entry, drive, frames, write_bag
from replays import COUNT, TOPIC

from rtseg_models.bundle import Bundle
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_ros.replay.command import main


@pytest.fixture(scope='module')
def pairs():
    return frames(COUNT)


@pytest.fixture(scope='module')
def bundle(tiny_bundle) -> Bundle:
    return tiny_bundle


@pytest.fixture(scope='module')
def bag(pairs, tmp_path_factory) -> Path:
    return write_bag(tmp_path_factory.mktemp('bags') / 'drive', [*drive(pairs), Entry('/chatter', 0, 'hi', START_NS)])


@pytest.fixture
def replay(bundle, tmp_path):
    """Runs the command; the output is tmp_path/<out>."""

    def run(*arguments, out: str = 'out', topic=TOPIC) -> Result:
        fixed = ['--out', str(tmp_path / out), '--model', str(bundle.path)]
        fixed += ['--topic', topic] if topic else []
        fixed += ['--threads', '1']
        result = CliRunner().invoke(main, [*map(str, arguments), *fixed])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def expected(bundle, pairs) -> list[np.ndarray]:
    """The labels that the pipeline gives for each frame by itself."""
    pipeline = Pipeline(bundle, options=Options(threads=1))
    labels = [pipeline(rgb).labels for rgb, _ in pairs]
    assert all(len(np.unique(mask)) > 2 for mask in labels)
    return labels
