# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What a robot runs also runs on Python 3.8, the one of JetPack 5: floors 0 to 2, 5 and the node (docs/design.md).

The short test reads the sources. The long ones build an environment as on a robot, where a Python 3.8 is found.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from test_floors import ROOT, ROS, floor_of, imports, modules

SOURCES = dict(modules())
WORKSTATION = ('rtseg_models.datasets', 'rtseg_models.evaluation', 'rtseg_ros.bag')
"""Needed for training and replay only; rosbags, which reads the bags, wants Python 3.10."""
PROGRAMS = ('rtseg_ros.node.process', 'rtseg_models.cli.build_command')
"""The node, and what it runs in a child process."""
NOT_INSTALLED = ROS - {'rtseg_ros'} | {'torch', 'openvino', 'tensorrt', 'triton'}
APT = ('numpy<1.22', 'opencv-python-headless==4.5.4.60')
"""As old as the apt packages of Ubuntu 22.04; onnxruntime wants NumPy 1.21.6 where apt has 1.21.5."""
NEEDS_MORE = re.compile(r'^(import|from) torch|tiny_bundle|node_process', re.MULTILINE)
"""What a test says that needs PyTorch or ROS."""

STAND_INS = """
import importlib, sys
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from unittest.mock import MagicMock

absent, wanted = (argument.split(',') for argument in sys.argv[1:])

class StandIns(MetaPathFinder, Loader):
    def find_spec(self, name, path, target=None):
        return ModuleSpec(name, self, is_package=True) if name.split('.')[0] in absent else None
    def create_module(self, spec):
        return MagicMock(name=spec.name, __path__=[])
    def exec_module(self, module):
        pass

sys.meta_path.append(StandIns())
for name in wanted:
    importlib.import_module(name)
print(len(wanted), 'imported')
"""


def reachable(program: str) -> set[str]:
    """Our modules that a program imports, at once or later."""
    found, waiting = set(), [program]
    while waiting:
        module = waiting.pop()
        if module in SOURCES and module not in found:
            found.add(module)
            waiting += imports(module, SOURCES[module])
    return found


def robots_modules() -> list[str]:
    on_floors = {name for name in SOURCES if floor_of(name)[0] in (0, 1, 2, 5)}
    found = on_floors.union(*map(reachable, PROGRAMS))
    return sorted(name for name in found if not name.startswith(WORKSTATION))


def robots_tests() -> list[str]:
    """Files of tests of those floors that need neither ROS nor PyTorch."""
    found = []
    for path in sorted((ROOT / 'test').rglob('test_*.py')):
        tested = {name for name in imports('test', path) if name.startswith('rtseg_')}
        on_floors = all(floor_of(name)[0] in (0, 2, 5) and not name.startswith(WORKSTATION) for name in tested)
        if tested and on_floors and not NEEDS_MORE.search(path.read_text(encoding='utf-8')):
            found.append(str(path.relative_to(ROOT)))
    return found


def vermin(*paths: Path) -> subprocess.CompletedProcess[str]:
    program, options = 'import vermin; vermin.main()', ['--quiet', '--violations', '--no-tips', '--target=3.8-']
    command = [sys.executable, '-c', program, *options, *map(str, paths)]
    return subprocess.run(command, capture_output=True, text=True)


def test_sources_ask_for_nothing_newer() -> None:
    pytest.importorskip('vermin')
    assert {'rtseg_ros.segmentation_node', 'rtseg_ros.image_codec', 'rtseg_models.engine.pipeline'} <= {
        *robots_modules()
    }
    done = vermin(*(SOURCES[name] for name in robots_modules()))
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize('code', ["'a'.removeprefix('b')", 'zip([], [], strict=True)', 'match 1:\n  case _: pass'])
def test_something_newer_is_noticed(code: str, tmp_path: Path) -> None:
    pytest.importorskip('vermin')
    (tmp_path / 'newer.py').write_text(code, encoding='utf-8')
    done = vermin(tmp_path / 'newer.py')
    assert (done.returncode, 'requires !2, 3.' in done.stdout) == (1, True), done.stderr


def run(*command: object, cwd: Path) -> subprocess.CompletedProcess[str]:
    clean = {name: value for name, value in os.environ.items() if not name.startswith(('PYTHON', 'VIRTUAL_ENV'))}
    return subprocess.run([str(part) for part in command], capture_output=True, text=True, env=clean, cwd=cwd)


def python38() -> str:
    """An interpreter on PATH or among pyenv's, where a shim on PATH may lead nowhere."""
    pyenv = Path(os.environ.get('PYENV_ROOT', Path.home() / '.pyenv'), 'versions')
    for found in (shutil.which('python3.8'), *sorted(map(str, pyenv.glob('3.8.*/bin/python3.8')))):
        if found and run(found, '-c', 'import sys; assert sys.version_info[:2] == (3, 8)', cwd=ROOT).returncode == 0:
            return found
    pytest.skip('no Python 3.8 found on PATH or among those of pyenv')


@pytest.fixture(scope='module')
def robot(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A copy of the sources, and the programs of an environment in which they are installed as on a robot."""
    interpreter, folder = python38(), tmp_path_factory.mktemp('python38')
    source, programs = folder / 'source', folder / 'venv' / 'bin'
    left_out = shutil.ignore_patterns(
        '.*', 'out', 'build', 'install', 'log', 'docs', '*.so', '*.egg-info', '__pycache__'
    )
    shutil.copytree(ROOT, source, ignore=left_out)
    # in the sources' folder, setup.cfg would have pip put every script where ROS wants ours
    assert run(interpreter, '-m', 'venv', folder / 'venv', cwd=folder).returncode == 0
    pip = [programs / 'pip', 'install', '--quiet', '--disable-pip-version-check']
    tools = ['pytest', 'pytest-timeout', 'hypothesis', 'PyYAML']
    needed = run(*pip, *APT, *tools, '-r', source / 'requirements-robot.txt', cwd=folder)
    if needed.returncode:
        pytest.skip(f'pip could not install for Python 3.8: {needed.stderr[-500:]}')
    ours = run(*pip, '--no-deps', source, cwd=folder)
    assert ours.returncode == 0, ours.stderr
    return source, programs


@pytest.mark.long
def test_its_tests_pass_on_a_robots_python(robot: tuple[Path, Path]) -> None:
    source, programs = robot
    # the sources' own folder stays off the path, so that the installed package is tested
    done = run(programs / 'pytest', '-m', 'not long', '-p', 'no:cacheprovider', *robots_tests(), cwd=source)
    assert done.returncode == 0, done.stdout[-5000:]
    passed = re.search(r'(\d+) passed', done.stdout)
    assert passed is not None and int(passed.group(1)) > 300, done.stdout[-500:]


@pytest.mark.long
def test_the_street_is_rendered_by_a_robots_opencv(robot: tuple[Path, Path]) -> None:
    """Some of its textures are so far away that a single pixel would do."""
    source, programs = robot
    code = (
        'from rtseg_models.street import Street; '
        'print([set(Street(s, height=360, width=640).frame(0).label.flat) >= {0, 1, 2} for s in range(3)])'
    )
    done = run(programs / 'python', '-c', code, cwd=source.parent)
    assert done.stdout == '[True, True, True]\n', done.stderr


@pytest.mark.long
def test_its_modules_load_on_a_robots_python(robot: tuple[Path, Path]) -> None:
    """With stand-ins for ROS and the larger runtimes: what Python evaluates on import exists in 3.8."""
    source, programs = robot
    wanted = robots_modules()
    done = run(programs / 'python', '-c', STAND_INS, ','.join(NOT_INSTALLED), ','.join(wanted), cwd=source.parent)
    assert done.stdout == f'{len(wanted)} imported\n', done.stderr
