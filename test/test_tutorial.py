# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The shell blocks of the replay tutorial: known commands, one a line, with options that exist."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from rtseg_ros.replay.command import main

ROOT = Path(__file__).parents[1]
COMMANDS = ('ros2', 'replay_bag', 'pip')


def commands() -> list[str]:
    """The lines of the blocks, continued ones joined."""
    text = (ROOT / 'docs' / 'replay_tutorial.md').read_text(encoding='utf-8')
    blocks = re.findall(r'```bash\n(.*?)```', text, re.DOTALL)
    lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines()]
    return [line for line in lines if line.strip() and not line.startswith('#')]


@pytest.mark.parametrize('command', commands())
def test_a_line_is_one_command_with_options_that_exist(command: str) -> None:
    first, *words = shlex.split(command, comments=True)
    assert first in COMMANDS
    assert not set(COMMANDS) & set(words), 'two commands were joined'
    if first == 'replay_bag':
        main.make_context(first, words, resilient_parsing=False)
    elif words[0] == 'launch':
        text = ''.join(path.read_text(encoding='utf-8') for path in (ROOT / 'launch').glob('*.launch.py'))
        assert words[1] == 'rtseg_ros' and (ROOT / 'launch' / words[2]).is_file()
        assert all(f"'{word.partition(':=')[0]}'" in text for word in words[3:])
