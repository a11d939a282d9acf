# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest

from rtseg_models.bundle import Bundle


@pytest.fixture(scope='session')
def tiny_bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """A whole bundle of an untrained Fast-SCNN at 64x96, quick to load; copy it before changing anything in it."""
    import torch

    from rtseg_models.card import Card
    from rtseg_models.export.bundle_writer import write_bundle
    from rtseg_models.labels import CAMVID
    from rtseg_models.networks import build_network

    torch.manual_seed(0)
    card = Card(
        network='fast_scnn',
        class_names=CAMVID.names,
        colours=CAMVID.colours,
        ignore_id=CAMVID.ignore_id,
        input_size=(64, 96),
        output_stride=8,
        mean=(0.485, 0.456, 0.406),
        std=(0.229, 0.224, 0.225),
        weights_sha256='',
        dataset='camvid',
        licence='Apache-2.0',
    )
    network = build_network('fast_scnn', len(CAMVID)).eval()
    for tensor in network.state_dict().values():
        if tensor.ndim == 1:  # equal tensors would be stored once in a graph
            tensor.add_(torch.rand_like(tensor) * 0.1)
    out: Path = tmp_path_factory.mktemp('bundles') / 'tiny'
    return write_bundle(network, card, out, sizes=[(96, 128)])
