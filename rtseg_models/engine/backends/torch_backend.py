# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""PyTorch: the network as its Python code defines it, at any size."""

from __future__ import annotations

import numpy as np
import torch

from ...bundle import Bundle
from ...card import Size
from ...errors import Unavailable
from ...networks.deployed import Deployed
from . import Options
from .torch_graph import deployed_network


class TorchBackend:
    """Eager PyTorch on the CPU in float32."""

    name = 'torch'
    device = 'cpu'
    precision = 'fp32'

    def __init__(self, deployed: Deployed) -> None:
        self._deployed = deployed

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            logits: np.ndarray = self._deployed(torch.from_numpy(rgb)).numpy()
        return logits

    def close(self) -> None:
        del self._deployed


def create(bundle: Bundle, size: Size, options: Options) -> TorchBackend:
    """The bundle's network in eager mode; ``size`` needs no graph."""
    if options.device not in ('auto', 'cpu'):
        raise Unavailable(f'device {options.device!r}: CUDA is not available to PyTorch {torch.__version__} here')
    if options.precision not in ('auto', 'fp32'):
        raise Unavailable(f'precision {options.precision!r}: the torch backend offers fp32 on the CPU')
    if options.threads:
        torch.set_num_threads(options.threads)
    return TorchBackend(deployed_network(bundle))
