# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Imports point downward only (docs/design.md); this test walks them to prove it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
ROS = {'rclpy', 'rcl_interfaces', 'sensor_msgs', 'std_msgs', 'std_srvs', 'diagnostic_msgs', 'lifecycle_msgs', 'tf2_ros'}
ROS |= {'vision_msgs', 'cv_bridge', 'sensor_msgs_py', 'builtin_interfaces', 'launch', 'launch_ros', 'rtseg_ros'}

# First match wins: (module prefix, floor, packages that it may never import).
FLOORS = [
    ('rtseg_models.errors', 0, {'cv2', 'torch'} | ROS),
    ('rtseg_models.labels', 0, {'cv2', 'torch'} | ROS),
    ('rtseg_models.card', 0, {'cv2', 'torch'} | ROS),
    ('rtseg_models.files', 0, {'cv2', 'torch'} | ROS),
    ('rtseg_models.metrics', 0, {'cv2', 'torch'} | ROS),
    ('rtseg_models.machine', 0, {'cv2', 'torch'} | ROS),
    ('rtseg_models.catalogue', 1, {'cv2', 'lightning'} | ROS),
    ('rtseg_models.networks', 1, {'cv2', 'lightning'} | ROS),
    ('rtseg_models.engine.backends.torch', 2, {'lightning'} | ROS),
    ('rtseg_models.engine', 2, {'torch', 'lightning'} | ROS),
    ('rtseg_models.bundle', 2, {'torch', 'lightning'} | ROS),
    ('rtseg_models.street', 2, {'torch', 'lightning'} | ROS),
    ('rtseg_models.datasets', 2, {'torch', 'lightning'} | ROS),
    ('rtseg_models.evaluation', 2, {'torch', 'lightning'} | ROS),
    ('rtseg_models.training', 3, ROS),
    ('rtseg_models.export', 3, ROS),
    ('rtseg_models.benchmark', 3, ROS),
    ('rtseg_models.cli', 4, ROS),
    ('rtseg_models', 0, {'cv2', 'torch', 'lightning'} | ROS),
    ('rtseg_ros.image_codec', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.compressed_codec', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.latest', 5, {'rclpy', 'torch', 'cv2'}),
    ('rtseg_ros.pairing', 5, {'rclpy', 'torch', 'cv2'}),
    ('rtseg_ros.gate', 5, {'rclpy', 'torch', 'cv2'}),
    ('rtseg_ros.statistics', 5, {'rclpy', 'torch', 'cv2'}),
    ('rtseg_ros.bag', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.report', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.cloud', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.paints', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.reporting', 5, {'rclpy', 'torch'}),
    ('rtseg_ros.startup', 5, {'rclpy', 'torch', 'cv2', 'numpy'}),
    ('rtseg_ros.replay', 6, {'rclpy', 'torch'}),
    ('rtseg_ros', 7, {'torch'}),
]


def floor_of(module: str) -> tuple[int, set[str]]:
    if module == 'rtseg_ros':  # the package's own docstring and version
        return 0, {'cv2', 'torch', 'rclpy'}
    for prefix, floor, forbidden in FLOORS:
        if module == prefix or module.startswith((prefix + '.', prefix + '_')):
            return floor, forbidden
    raise LookupError(module)


def modules() -> list[tuple[str, Path]]:
    found = []
    for package in ('rtseg_models', 'rtseg_ros'):
        for path in sorted((ROOT / package).rglob('*.py')):
            parts = path.relative_to(ROOT).with_suffix('').parts
            found.append(('.'.join(parts[:-1] if parts[-1] == '__init__' else parts), path))
    return found


def imports(module: str, path: Path) -> set[str]:
    """Absolute names of everything the file imports, at any depth of it."""
    package = module if path.name == '__init__.py' else module.rpartition('.')[0]
    names = set()
    for node in ast.walk(ast.parse(path.read_text(encoding='utf-8'))):
        if isinstance(node, ast.Import):
            names |= {a.name for a in node.names}
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ''
            if node.level:
                parents = package.split('.')
                anchor = '.'.join(parents[: len(parents) - node.level + 1])
                base = f'{anchor}.{base}' if base else anchor
            names |= {base} | {f'{base}.{a.name}' for a in node.names}
    return names


def test_the_tree_is_there() -> None:
    assert {'rtseg_models.labels', 'rtseg_models.engine.pipeline', 'rtseg_ros.segmentation_node'} <= {
        name for name, _ in modules()
    }


@pytest.mark.parametrize('module,path', modules(), ids=lambda v: v if isinstance(v, str) else '')
def test_imports_point_downward(module: str, path: Path) -> None:
    floor, forbidden = floor_of(module)
    for name in imports(module, path):
        top = name.split('.')[0]
        assert top not in forbidden, f'{module} imports {name}'
        if top in ('rtseg_models', 'rtseg_ros') and name != module:
            target, _ = floor_of(name)
            assert target <= floor, f'{module} (floor {floor}) imports {name} (floor {target})'


def test_the_walk_sees_a_wrong_import(tmp_path: Path) -> None:
    wrong = tmp_path / 'labels.py'
    wrong.write_text('def f():\n    from .engine.pipeline import Pipeline\n', encoding='utf-8')
    assert 'rtseg_models.engine.pipeline' in imports('rtseg_models.labels', wrong)
    assert floor_of('rtseg_models.engine.pipeline')[0] > floor_of('rtseg_models.labels')[0]


def test_the_engine_leaves_torch_and_ros_alone() -> None:
    code = "import sys, rtseg_models.engine; print([m for m in ('torch', 'rclpy', 'lightning') if m in sys.modules])"
    done = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == '[]'


def test_files_stay_readable() -> None:
    node = ROOT / 'rtseg_ros' / 'segmentation_node.py'
    assert len(node.read_text(encoding='utf-8').splitlines()) < 250
    assert not {n for n in imports('rtseg_ros.segmentation_node', node) if n.split('.')[0] in ('cv2', 'torch')}


def test_every_source_file_carries_the_licence() -> None:
    for path in [*ROOT.glob('rtseg_*/**/*.py'), *ROOT.glob('test/**/*.py'), *ROOT.glob('launch/*.py')]:
        head = path.read_text(encoding='utf-8').splitlines()[:2]
        assert head[1:] == ['# SPDX-License-Identifier: Apache-2.0'], path
