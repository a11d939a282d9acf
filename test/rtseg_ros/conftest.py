# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest


@pytest.fixture
def started():
    """Starts nodes and sees to their end."""
    from node_process import NodeProcess

    nodes = []

    def start(*arguments, **options):
        nodes.append(NodeProcess(*arguments, **options))
        return nodes[-1]

    yield start
    for node in nodes:
        node.close()


@pytest.fixture
def setting():
    """Starts a node and a probe, and ends both."""
    from diagnostic_msgs.msg import DiagnosticArray
    from node_process import QUICK, NodeProcess, Probe, bundle

    opened = []

    def start(*arguments, **parameters):
        node = NodeProcess(*arguments, parameters={**QUICK, **parameters})
        opened.append(node)
        node.wait_for_log('serving ')
        probe = Probe()
        opened.append(probe)
        probe.subscribe('/diagnostics', DiagnosticArray)
        return node, probe

    bundle()
    yield start
    for part in reversed(opened):
        part.close()
