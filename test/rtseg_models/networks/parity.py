# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A network with random weights, and its exported graph run by other runtimes on a rendered frame."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Dict, Tuple

import numpy as np
import onnxruntime
import openvino
import torch
from safetensors.torch import save_file
from torch import nn

from rtseg_models.engine.backends.torch_graph import export_graph, stored_tensors
from rtseg_models.networks.deployed import Deployed
from rtseg_models.street import Street

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


@lru_cache
def rendered(height: int, width: int, seed: int = 3) -> np.ndarray:
    """A rendered frame (1,H,W,3) uint8."""
    return Street(seed, height=height, width=width).frame(0).rgb[None]


def randomise(network: nn.Module, seed: int = 0) -> nn.Module:
    """Random affine parameters and running statistics in every batch norm, near those that a frame causes."""
    generator = torch.Generator().manual_seed(seed)
    norms = [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    with torch.no_grad():
        for norm in norms:
            norm.weight.uniform_(0.6, 1.4, generator=generator)
            norm.bias.normal_(0.0, 0.2, generator=generator)
            norm.momentum = 1.0
        frames = np.concatenate([rendered(128, 256, s) for s in (1, 2)])
        deployed = Deployed(network.train(), MEAN, STD)
        deployed(torch.from_numpy(frames))
        for norm in norms:
            norm.running_mean += 0.2 * norm.running_var.sqrt() * torch.randn(norm.num_features, generator=generator)
            norm.running_var *= torch.empty(norm.num_features).uniform_(0.7, 1.4, generator=generator)
    return network.eval()


def runtimes(deployed: Deployed, folder: Path, rgb: np.ndarray) -> Dict[str, np.ndarray]:
    """Logits of the exported graph by runtime, each in float32 on one or two threads."""
    height, width = rgb.shape[1:3]
    weights = folder / 'model.safetensors'
    save_file(stored_tensors(deployed.network, half=False), str(weights))
    path = folder / f'{height}x{width}.onnx'
    path.write_bytes(export_graph(deployed, weights, (height, width)))
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    compiled = openvino.Core().compile_model(str(path), 'CPU', {'INFERENCE_PRECISION_HINT': 'f32'})
    return {
        'onnxruntime': session.run(None, {'image': rgb})[0],
        'openvino': next(iter(compiled(rgb).values())).copy(),
    }


def disagreement(found: np.ndarray, eager: np.ndarray) -> Tuple[float, float]:
    """Largest logit difference in units of eager's standard deviation, and the share of equal labels."""
    difference = float(np.abs(found - eager).max() / eager.std())
    return difference, float((found.argmax(1) == eager.argmax(1)).mean())
