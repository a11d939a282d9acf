# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The launch files and ``config/``; in place of the launch stack, stand-ins record what would be started."""

import ast
import importlib.util
import json
import re
import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

from rtseg_models.labels import CAMVID
from rtseg_ros.parameters import PARAMETERS

ROOT = Path(__file__).resolve().parents[2]
LAUNCH_FILES = sorted((ROOT / 'launch').glob('*.launch.py'))
SEGMENT_ARGUMENTS = [
    'model', 'device', 'backend', 'precision', 'image', 'camera_info', 'image_transport', 'image_reliability',
    'namespace', 'node_name', 'params_file', 'confidence_threshold', 'output_size', 'use_sim_time', 'autostart',
    'log_level', 'respawn', 'rviz', 'rviz_config', 'bag', 'bag_rate', 'cameras',
    'cloud', 'depth', 'points',
]  # fmt: skip


class Recorded:
    """Stands in for an action: remembers how it was made."""

    def __init__(self, *args, **options):
        self.args, self.options = args, options


class Argument(Recorded):
    @property
    def name(self):
        return self.args[0]


class Configuration(Recorded):
    def perform(self, context):
        return context.launch_configurations[self.args[0]]


class Prefix(Recorded):
    """Finds every package but those in ``missing``, as ament's index would tell."""

    missing = frozenset()

    def perform(self, context):
        if self.args[0] in self.missing:
            raise LookupError(f"package '{self.args[0]}' not found")
        return '/opt'


@pytest.fixture
def stand_ins(monkeypatch):
    """Modules launch and launch_ros whose actions only remember."""
    kinds = {
        name: type(name, (Recorded,), {})
        for name in (
            'ExecuteProcess',
            'IncludeLaunchDescription',
            'LogInfo',
            'Node',
            'OpaqueFunction',
            'SetLaunchConfiguration',
            'Shutdown',
        )
    }
    modules = {
        'launch': {'LaunchDescription': list, 'LaunchContext': object},
        'launch.actions': {'DeclareLaunchArgument': Argument, **kinds},
        'launch.substitutions': {'LaunchConfiguration': Configuration},
        'launch.launch_description_sources': {'PythonLaunchDescriptionSource': Recorded},
        'launch_ros': {},
        'launch_ros.actions': {'Node': kinds['Node']},
        'launch_ros.substitutions': {'FindPackagePrefix': Prefix},
    }
    for name, contents in modules.items():
        module = ModuleType(name)
        vars(module).update(contents)
        monkeypatch.setitem(sys.modules, name, module)


def load(path):
    spec = importlib.util.spec_from_file_location(path.name.replace('.', '_'), path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def started(**given):
    """The actions that segment.launch.py starts with these arguments."""
    module = load(ROOT / 'launch' / 'segment.launch.py')
    declared = {a.name: a for a in module.generate_launch_description() if isinstance(a, Argument)}
    values = {name: given.pop(name, a.options['default_value']) for name, a in declared.items()}
    assert not given
    return module.start(SimpleNamespace(launch_configurations=values, environment={}))


def node_of(actions):
    return next(a.options for a in actions if type(a).__name__ == 'Node' and a.options['package'] == 'rtseg_ros')


@pytest.mark.parametrize('path', LAUNCH_FILES, ids=lambda p: p.name)
def test_launch_files_only_declare(path):
    tree = ast.parse(path.read_text())
    names = {n.id for n in ast.walk(tree) if isinstance(n, ast.Name)}
    imported = {a.name for n in ast.walk(tree) if isinstance(n, (ast.Import, ast.ImportFrom)) for a in n.names}
    modules = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom)}
    assert not (names | imported | modules) & {'eval', 'exec', 'subprocess', 'socket', 'urllib', 'requests', 'os'}


@pytest.mark.usefixtures('stand_ins')
def test_segment_shows_every_argument_with_a_description():
    actions = load(ROOT / 'launch' / 'segment.launch.py').generate_launch_description()
    arguments = [a for a in actions if isinstance(a, Argument)]
    assert [a.name for a in arguments] == SEGMENT_ARGUMENTS
    assert all(a.options['description'] for a in arguments)
    for a in arguments:
        choices = PARAMETERS[a.name].choices if a.name in PARAMETERS else ()
        if choices and a.name != 'device':  # cuda:N is no fixed choice
            assert a.options['choices'] == ['', *choices]


@pytest.mark.usefixtures('stand_ins')
def test_arguments_override_the_parameter_file_only_when_given():
    node = node_of(started())
    assert node['parameters'] == [str(ROOT / 'config' / 'segment.yaml'), {}]
    assert node['remappings'] == []
    node = node_of(started(confidence_threshold='0.5', autostart='false', image='/front/image_raw', respawn='true'))
    assert node['parameters'][1] == {'confidence_threshold': 0.5, 'autostart': False}
    assert ('image', '/front/image_raw') in node['remappings']
    assert ('image/compressed', '/front/image_raw/compressed') in node['remappings']
    assert node['respawn'] is True


@pytest.mark.usefixtures('stand_ins')
def test_every_argument_of_the_node_reaches_it(tmp_path):
    mine = tmp_path / 'mine.yaml'
    mine.write_text('/**: {ros__parameters: {}}')
    given = {
        'model': 'dabnet-camvid',
        'device': 'cuda',
        'backend': 'torch',
        'precision': 'fp16',
        'image_transport': 'compressed',
        'image_reliability': 'reliable',
        'output_size': 'network',
    }
    place = {'params_file': str(mine), 'namespace': 'car', 'node_name': 'seg', 'log_level': 'debug'}
    node = node_of(started(**given, **place, camera_info='/front/info'))
    assert node['parameters'] == [str(mine), given]
    assert (node['namespace'], node['name']) == ('car', 'seg')
    assert node['arguments'] == ['--ros-args', '--log-level', 'debug']
    assert node['remappings'] == [('camera_info', '/front/info')]


@pytest.mark.usefixtures('stand_ins')
def test_a_cloud_takes_depth_with_its_calibration_or_a_lidar():
    node = node_of(started(cloud='depth', depth='/front/depth/image_rect'))
    assert node['parameters'][1] == {'cloud': 'depth'}
    assert node['remappings'] == [
        ('depth/image', '/front/depth/image_rect'),
        ('depth/camera_info', '/front/depth/camera_info'),
    ]
    node = node_of(started(cloud='lidar', points='scan', cameras='left,right'))
    assert node['remappings'] == [('left/points', 'left/scan'), ('right/points', 'right/scan')]


@pytest.mark.usefixtures('stand_ins')
def test_a_bag_brings_its_clock_and_cameras_their_topics():
    actions = started(bag='drive', cameras='left, right', image='image_raw')
    node = node_of(actions)
    assert node['parameters'][1] == {'use_sim_time': True, 'cameras': ['left', 'right']}
    assert ('left/image', 'left/image_raw') in node['remappings']
    player = next(a for a in actions if type(a).__name__ == 'ExecuteProcess')
    assert player.options['cmd'] == ['ros2', 'bag', 'play', 'drive', '--clock', '40', '--rate', '1.0']


@pytest.mark.usefixtures('stand_ins')
@pytest.mark.parametrize('rate, clock', [('0.5', '40'), ('1', '40'), ('2.51', '101'), ('10.0', '400')])
def test_the_clock_of_a_fast_bag_steps_as_finely_as_at_its_own_pace(rate, clock):
    """Else frames between two of its steps would be of the future."""
    player = next(a for a in started(bag='drive', bag_rate=rate) if type(a).__name__ == 'ExecuteProcess')
    assert player.options['cmd'] == ['ros2', 'bag', 'play', 'drive', '--clock', clock, '--rate', rate]
    values = {'played': 'drive', 'bag_rate': rate, 'delay': '5.0'}
    module = load(ROOT / 'launch' / 'replay.launch.py')
    (player,) = module.play(SimpleNamespace(launch_configurations=values))
    assert player.options['cmd'][4:8] == ['--clock', clock, '--rate', rate]


@pytest.mark.usefixtures('stand_ins')
@pytest.mark.parametrize(
    'given, topics',
    [
        ({}, {}),
        ({'image': 'front/image_raw'}, {'/image': '/front/image_raw'}),
        (
            {'namespace': 'car', 'node_name': 'seg'},
            {
                '/image': '/car/image',
                '/segmentation/overlay': '/car/seg/overlay',
                '/segmentation/legend': '/car/seg/legend',
            },
        ),
        (
            {'namespace': '/car', 'cameras': 'left, right', 'image': 'image_raw'},
            {
                '/image': '/car/left/image_raw',
                '/segmentation/points': '/car/segmentation/left/points',
                '/segmentation/legend': '/car/segmentation/legend',
            },
        ),
        ({'namespace': 'car', 'image': '/front/image_raw'}, {'/image': '/front/image_raw'}),
    ],
)
def test_rviz_shows_the_topics_of_the_node_wherever_it_is(given, topics):
    viewer = next(a.options for a in started(rviz='true', **given) if a.options.get('package') == 'rviz2')
    found = dict(viewer['remappings'])
    assert found.items() >= topics.items()
    shown = re.findall(r'Value: (/\S+)', (ROOT / 'config' / 'segment.rviz').read_text())
    names = {*shown, '/image/compressed', '/segmentation/camera_info'}
    assert set(found) <= names
    if 'namespace' in given and 'node_name' in given:
        assert set(found) == names


@pytest.mark.usefixtures('stand_ins')
def test_nothing_starts_where_rviz_is_asked_for_and_missing(monkeypatch):
    monkeypatch.setattr(Prefix, 'missing', frozenset({'rviz2'}))
    assert node_of(started())
    with pytest.raises(LookupError, match='rviz2'):
        started(rviz='true')
    kinds = [type(a).__name__ for a in load(ROOT / 'launch' / 'replay.launch.py').generate_launch_description()]
    assert 'ExecuteProcess' not in kinds and kinds.index('IncludeLaunchDescription') < kinds.index('OpaqueFunction')


@pytest.mark.usefixtures('stand_ins')
@pytest.mark.parametrize(
    ('name', 'passed', 'own'),
    [
        ('multi_camera', {}, {'cameras': 'left,right', 'image': 'image_raw'}),
        ('replay', {'bag': ''}, {'bag_rate': '1.0', 'delay': '5.0', 'record': '', 'use_sim_time': 'true'}),
    ],
)
def test_the_other_launch_files_include_segment_and_pass_on_what_it_knows(name, passed, own):
    actions = load(ROOT / 'launch' / f'{name}.launch.py').generate_launch_description()
    include = next(a for a in actions if type(a).__name__ == 'IncludeLaunchDescription')
    assert Path(include.args[0].args[0]).name == 'segment.launch.py'
    assert dict(include.options.get('launch_arguments', ())) == passed and set(passed) <= set(SEGMENT_ARGUMENTS)
    declared = {a.name: a.options['default_value'] for a in actions if isinstance(a, Argument) if a.name != 'bag'}
    assert declared == own


@pytest.mark.usefixtures('stand_ins')
@pytest.mark.parametrize('name', ['image', 'camera_info', 'depth', 'points'])
def test_a_topic_below_each_camera_has_no_slash_before_it(name):
    assert node_of(started(**{name: '/front/topic'}))
    with pytest.raises(ValueError, match=rf"'{name}' is '/front/topic'; with cameras, expected a name below"):
        started(**{name: '/front/topic'}, cameras='left,right')


@pytest.mark.usefixtures('stand_ins')
@pytest.mark.parametrize('path', ['/nowhere/segmnet.yaml', ''])
def test_a_parameter_file_that_is_not_there_is_refused(path):
    """launch_ros would leave it out, and the node would start with its defaults."""
    with pytest.raises(ValueError, match=rf"argument 'params_file' is '{path}': no such file"):
        started(params_file=path)


@pytest.mark.usefixtures('stand_ins')
def test_a_number_that_is_none_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'confidence_threshold' is 'high'; expected a number"):
        started(confidence_threshold='high')
    for rate in ('fast', 'inf', 'nan'):
        with pytest.raises(ValueError, match=rf"'bag_rate' is '{rate}'; expected a number"):
            started(bag_rate=rate)


@pytest.mark.usefixtures('stand_ins')
@pytest.mark.parametrize(
    'given, topics',
    [
        ({}, ['/segmentation/mask', '/segmentation/class_map']),
        ({'namespace': '/car', 'cameras': 'left, right'}, ['left/mask', 'right/mask', 'class_map']),
    ],
)
def test_replay_records_the_masks_of_every_camera(given, topics):
    module = load(ROOT / 'launch' / 'replay.launch.py')
    values = {'record': 'masks', 'namespace': '', 'node_name': 'segmentation', 'cameras': '', **given}
    (recorder,) = module.record(SimpleNamespace(launch_configurations=values))
    prefix = '/car/segmentation/' if given else ''
    assert recorder.options['cmd'] == ['ros2', 'bag', 'record', '-o', 'masks', *(prefix + topic for topic in topics)]
    assert module.record(SimpleNamespace(launch_configurations={**values, 'record': ''})) == []


def test_the_real_launch_stack_reads_the_files():
    launch = pytest.importorskip('launch', reason='the ROS launch stack is not installed')
    pytest.importorskip('launch_ros', reason='the ROS launch stack is not installed')
    for path in LAUNCH_FILES:
        description = load(path).generate_launch_description()
        assert isinstance(description, launch.LaunchDescription)
        assert {a.name for a in description.get_launch_arguments()} >= set(SEGMENT_ARGUMENTS)


def test_policy_and_layout_are_well_formed_and_name_our_topics():
    policy = ElementTree.parse(ROOT / 'config' / 'sros2_policy.xml').getroot()
    published = {t.text for t in policy.findall('.//topics[@publish="ALLOW"]/topic')}
    assert {'~/mask', '~/class_map', '/diagnostics'} <= published
    layout = json.loads((ROOT / 'config' / 'foxglove_layout.json').read_text())
    text = json.dumps(layout)
    assert '/segmentation/overlay' in text
    assert '/segmentation/color_mask' in text


def test_nav2_layer_names_classes_of_the_bundle_and_the_tutorials_topics():
    text = (ROOT / 'config' / 'nav2_semantic_layer.yaml').read_text()
    for topic in ('mask', 'confidence', 'label_info', 'points'):
        assert f'/segmentation/{topic}' in text
    named = [
        name
        for line in text.splitlines()
        if 'classes:' in line
        for name in ast.literal_eval(line.split(':', 1)[1].strip())
    ]
    assert named
    assert set(named) <= set(CAMVID.names)
    assert len(named) == len(set(named))
