# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Several cameras whose frames go through the network at once, as on a GPU; here PyTorch takes batches on the CPU."""

import numpy as np
import pytest
from node_process import NODE, NodeProcess, Probe, picture, until
from sensor_msgs.msg import Image

from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options

CAMERAS = ('front', 'left', 'rear')

BATCHES_ON_THE_CPU = """
import os, time
import numpy as np
from pathlib import Path
from rtseg_models.engine.backends import torch_backend
from rtseg_models.engine.postprocess import lazy_labels

log = Path(os.environ['BATCHES'])

def label(self, rgb, grid):
    with log.open('a') as file:
        file.write(f'{len(rgb)} ')
    time.sleep(0.2)  # for the next frame of every camera to arrive
    return np.stack([lazy_labels(logits, grid) for logits in self.infer(rgb)])

torch_backend.TorchBackend.label = label
"""


@pytest.fixture
def batches(tmp_path):
    """A node of three cameras that takes batches, a probe that watches their masks, and the sizes of its batches."""
    (tmp_path / 'sitecustomize.py').write_text(BATCHES_ON_THE_CPU)
    log = tmp_path / 'batches'

    def start(bundle):
        parameters = {'model': bundle.path, 'backend': 'torch', 'max_image_age_s': 0.0, 'device': 'cpu'}
        parameters['cameras'] = f'[{",".join(CAMERAS)}]'
        node = NodeProcess(parameters=parameters, PYTHONPATH=str(tmp_path), BATCHES=str(log))
        opened.append(node)
        node.wait_for_log('serving ')
        probe = Probe()
        opened.append(probe)
        for camera in CAMERAS:
            probe.subscribe(f'{NODE}/{camera}/mask', Image)
            until(probe.publisher(f'/{camera}/image').get_subscription_count, 'subscription of the node')
        return node, probe, lambda: [int(word) for word in log.read_text().split()]

    opened = []
    yield start
    for each in reversed(opened):
        each.close()


def test_frames_that_wait_go_together_and_get_the_labels_that_each_gets_alone(batches, tiny_bundle):
    """But for a near tie: PyTorch rounds the logits of a batch otherwise, by 4e-6 at most where it was measured."""
    node, probe, sizes = batches(tiny_bundle)
    assert sizes() == [1] * 3 + [2] * 3 + [3] * 3 + [1]  # warming up, then the golden sample
    sent = {}
    for round_ in range(3):
        for number, camera in enumerate(CAMERAS):
            rgb = picture((120, 160), seed=3 * round_ + number)
            message = probe.frame(rgb)
            sent[camera, message.header.stamp.sec, message.header.stamp.nanosec] = rgb
            probe.publisher(f'/{camera}/image').publish(message)
        until(lambda: len(masks(probe)) == len(sent), 'mask of every frame')
    alone = Pipeline(tiny_bundle, backend='torch', options=Options(device='cpu', precision='fp32'))
    for key, rgb in sent.items():
        labels = np.frombuffer(masks(probe)[key].data, np.uint8).reshape(rgb.shape[:2])
        assert (labels == alone(rgb).labels).mean() >= 0.9999
    served = sizes()[10:]
    assert sum(served) == len(sent) and max(served) > 1, served
    assert 'Traceback' not in node.log


def masks(probe):
    received = {camera: list(probe.received[f'{NODE}/{camera}/mask']) for camera in CAMERAS}
    return {(c, m.header.stamp.sec, m.header.stamp.nanosec): m for c, found in received.items() for m in found}
