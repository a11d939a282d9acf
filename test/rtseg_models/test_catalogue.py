# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json

from rtseg_models.catalogue import PAPERS, PUBLISHED, describe_networks, paper_of
from rtseg_models.networks import NETWORKS


def test_every_network_is_described_by_what_was_built():
    rows = {row['name']: row for row in json.loads(json.dumps(describe_networks()))}
    assert list(rows) == list(NETWORKS)
    keys = {'name', 'paper', 'year', 'params', 'macs', 'size', 'published'}
    assert all(row.keys() == keys for row in rows.values())
    assert rows['dabnet']['params'] == 756_643
    assert rows['dabnet']['size'] == [512, 1024]
    assert rows['contextnet_cn12']['macs'] > 2 * rows['contextnet']['macs']
    figure = rows['dabnet']['published'][1]
    assert (figure['miou'], figure['split'], figure['fps'], figure['size']) == (69.1, 'val', 104.2, [512, 1024])
    assert figure['protocol']
    assert figure['source'] == 'DABNet, Table 2'


def test_figures_belong_to_known_networks_and_say_what_they_are():
    assert PUBLISHED.keys() <= NETWORKS.keys()
    assert PAPERS.keys() <= PUBLISHED.keys()
    for name, figures in PUBLISHED.items():
        for figure in figures:
            assert (figure.miou is None) == (figure.split is None), name
            assert (figure.fps is None) == (figure.device is None), name
            assert figure.miou is not None or figure.fps is not None, name
            assert figure.protocol, name
            assert figure.source, name


def test_variants_belong_to_their_networks_paper():
    assert paper_of('fast_scnn').year == 2019
    assert paper_of('farsee_net_method1') is PAPERS['farsee_net']
    assert paper_of('contextnet_cn14_160') is PAPERS['contextnet']
