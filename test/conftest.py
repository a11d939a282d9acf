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
    from rtseg_models.networks.deployed import Deployed
    from rtseg_models.street import Street

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
    frame = torch.from_numpy(Street(3, height=64, width=96).frame(0).rgb)[None]
    with torch.no_grad():  # an untrained network leans to one class; without it the masks show the picture's parts
        network.classifier[3].bias -= Deployed(network, card.mean, card.std)(frame).mean((0, 2, 3))
    out: Path = tmp_path_factory.mktemp('bundles') / 'tiny'
    return write_bundle(network, card, out, sizes=[(96, 128)], half=True)
