# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every command of the README: run where that takes seconds, else checked for what it names."""

from __future__ import annotations

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from rtseg_models.bundle import shipped_bundles
from rtseg_models.street import Street
from rtseg_ros.bag import MaskBagWriter
from rtseg_ros.parameters import PARAMETERS
from rtseg_ros.transport import PROFILE, PROFILE_VARIABLES

ROOT = Path(__file__).parents[1]
README = (ROOT / 'README.md').read_text(encoding='utf-8')
PACKAGE = 'rtseg_ros'
OURS = ('rtseg', 'replay_bag')
NODE = '/segmentation'
TAKES_LONG = ('benchmark', 'figures', 'train')
NO_EFFECT_ON_US = ('cd', 'git', 'mkdir', 'rosdep', '.')


def block_commands() -> list[str]:
    """The commands of the fenced blocks, one each."""
    blocks = re.findall(r'```sh\n(.*?)```', README, re.DOTALL)
    lines = [line for block in blocks for line in block.replace('\\\n', ' ').splitlines() if line.strip()]
    return [command.strip() for line in lines for command in line.split('&&')]


def table_commands() -> list[str]:
    """The commands in the first column of tables that are ours."""
    cells = [line.split('|')[1] for line in README.splitlines() if line.startswith('|')]
    quoted = [text for cell in cells for text in re.findall('`([^`]+)`', cell)]
    return [text for text in quoted if text.split()[0] in OURS]


@pytest.fixture(scope='module')
def stage(tmp_path_factory):
    """What stands for the placeholders: images in CamVid's layout, a bag of them, a bundle."""
    folder = tmp_path_factory.mktemp('readme')
    street = Street(5, height=90, width=120)
    for name in ('val', 'valannot'):
        (folder / name).mkdir()
    with MaskBagWriter(folder / 'bag') as bag:
        for i in range(2):
            frame = street.frame(20 * i)
            bag.write('/camera', 10**9 * (i + 1), frame.rgb, encoding='rgb8', frame_id='camera')
            cv2.imwrite(str(folder / 'val' / f'{i}.png'), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
            cv2.imwrite(str(folder / 'valannot' / f'{i}.png'), frame.label)
    return folder


def run(*command: str) -> str:
    """Run an executable of this environment and give its standard output."""
    executable = shutil.which(command[0], path=str(Path(sys.executable).parent)) or pytest.skip(
        f'{command[0]} is not installed beside this Python'
    )
    done = subprocess.run([executable, *command[1:]], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    return done.stdout


def check_make(words: list[str]) -> None:
    makefile = (ROOT / 'Makefile').read_text(encoding='utf-8')
    subprocess.run(['make', '--dry-run', *words], cwd=ROOT, check=True, capture_output=True)
    for variable in [word.partition('=')[0] for word in words if '=' in word]:
        assert re.search(rf'^{variable}\b', makefile, re.MULTILINE), variable


def check_ros2(words: list[str]) -> None:
    if words[:2] == ['lifecycle', 'set']:
        assert words[2:] in [[NODE, verb] for verb in ('deactivate', 'cleanup', 'configure', 'activate')]
        return
    if words[:2] == ['param', 'set']:
        node, name, value = words[2:]
        assert node == NODE and name in PARAMETERS and value in shipped_bundles()
        return
    verb, package, name, *arguments = words
    assert (verb, package) == ('launch', PACKAGE), f'give this test a rule for: ros2 {verb}'
    text = (ROOT / 'launch' / name).read_text(encoding='utf-8')
    for argument in arguments:
        assert f"'{argument.partition(':=')[0]}'" in text, argument


def check_pip(words: list[str]) -> None:
    verb, option, path = words
    assert (verb, option) == ('install', '-r')
    assert (ROOT / Path(path).relative_to(f'src/{PACKAGE}')).is_file()


def check_colcon(words: list[str]) -> None:
    assert words == ['build', '--packages-select', PACKAGE]
    assert f'<name>{PACKAGE}</name>' in (ROOT / 'package.xml').read_text(encoding='utf-8')


def check_export(words: list[str]) -> None:
    variable, _, value = ' '.join(words).partition('=')
    assert variable in PROFILE_VARIABLES
    assert value == f'$(ros2 pkg prefix {PACKAGE})/share/{PACKAGE}/config/{PROFILE}'
    assert (ROOT / 'config' / PROFILE).is_file()
    assert all(name in README for name in PROFILE_VARIABLES), 'Fast DDS 2 and 3 read different variables'


CHECKS = {
    'make': check_make,
    'ros2': check_ros2,
    'pip': check_pip,
    'colcon': check_colcon,
    'export': check_export,
}


@pytest.mark.parametrize('command', block_commands())
def test_what_a_block_names_exists(command):
    first, *words = shlex.split(command)
    if first not in NO_EFFECT_ON_US:
        CHECKS[first](words)


@pytest.mark.parametrize('command', table_commands())
def test_our_commands_run_as_written(command, stage, tmp_path):
    words = command.split()
    name = words[:2] if words[0] == 'rtseg' else words[:1]
    with_arguments = words != name or words[-1] in ('models', 'bundles')
    if with_arguments and not set(words) & set(TAKES_LONG):
        root = tmp_path / 'new' if '--out' in words else stage
        meant = {'INPUT...': stage / 'val', 'DIR': root, 'B': 'fast_scnn-camvid', 'BAG': stage / 'bag', 'T': '/camera'}
        run(*(str(meant.get(word, word)) for word in words))
        assert '--out' not in words or any(root.iterdir())
        return
    offered = run(*name, '--help')
    for option in [word for word in words if word.startswith('--')]:
        assert option in offered, option


def test_paths_in_the_text_exist():
    for path in re.findall(r'`((?:docs|config|launch|rtseg_models|rtseg_ros)/[\w./-]*)`', README):
        assert (ROOT / path).exists(), path
