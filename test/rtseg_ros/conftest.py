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
