# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The transport profile: what is in it, and when it is chosen."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree
from pathlib import Path
from types import SimpleNamespace

import pytest

from rtseg_ros.transport import PROFILE, PROFILE_VARIABLES, make_room_for_images

ROOT = Path(__file__).resolve().parents[2]


def test_transport_profile_is_chosen_unless_the_user_chose(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    environment = {}
    assert PROFILE in make_room_for_images(environment)
    assert Path(environment[PROFILE_VARIABLES[0]]).is_file()
    environment = {'ROS_DISTRO': 'humble'}
    make_room_for_images(environment)
    assert PROFILE_VARIABLES[1] in environment
    for chosen in ({'FASTDDS_BUILTIN_TRANSPORTS': 'LARGE_DATA'}, {'RMW_IMPLEMENTATION': 'rmw_cyclonedds_cpp'}):
        environment = dict(chosen)
        assert next(iter(chosen.values())) in make_room_for_images(environment)
        assert environment == chosen


@pytest.mark.parametrize(('distribution', 'chosen'), [('humble', False), ('jazzy', True)])
def test_a_graph_of_one_machine_stays_such(monkeypatch, tmp_path, distribution, chosen):
    monkeypatch.chdir(tmp_path)
    environment = {'ROS_DISTRO': distribution, 'ROS_LOCALHOST_ONLY': '1'}
    told = make_room_for_images(environment)
    assert ('ROS_LOCALHOST_ONLY' in told, PROFILE_VARIABLES[1] in environment) == (not chosen, chosen)


@pytest.mark.parametrize(('free_mb', 'chosen'), [(64, False), (512, True)])
def test_transport_profile_is_left_out_where_shared_memory_is_too_small(monkeypatch, tmp_path, free_mb, chosen):
    """64 MB is what Docker gives; there, Fast DDS would go on with UDP alone."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr('os.statvfs', lambda path: SimpleNamespace(f_bavail=free_mb << 8, f_frsize=4096))
    environment = {}
    told = make_room_for_images(environment)
    assert (PROFILE_VARIABLES[0] in environment) == chosen
    assert all((remedy in told) != chosen for remedy in ('--shm-size=512m', 'fastdds shm clean'))


def test_transport_profile_has_room_for_large_images():
    root = ElementTree.parse(ROOT / 'config' / PROFILE).getroot()
    space = {'f': root.tag[1 : root.tag.index('}')]}
    shared = root.find('.//f:transport_descriptor[f:type="SHM"]', space)
    assert shared.find('f:segment_size', space).text == str(64 << 20)
    assert shared.find('f:maxMessageSize', space).text == str(16 << 20)
    assert root.find('.//f:useBuiltinTransports', space).text == 'false'
