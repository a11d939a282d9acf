# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""OpenVINO on the CPU."""

from __future__ import annotations

from typing import Any, Dict

import numpy as np
import openvino

from ...bundle import Bundle
from ...card import Size
from ...errors import Unavailable
from . import Options

_PRECISION = {'fp32': 'f32', 'bf16': 'bf16'}


class OpenVINOBackend:
    """A compiled OpenVINO model with its own request; precision is always set: its default varies with the CPU."""

    name = 'openvino'
    device = 'cpu'

    def __init__(self, compiled: Any, precision: str) -> None:
        self.precision = precision
        self._request = compiled.create_infer_request()

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        self._request.infer({0: openvino.Tensor(rgb, shared_memory=True)})
        logits: np.ndarray = self._request.get_output_tensor(0).data
        return logits

    def close(self) -> None:
        self._request = None


def create(bundle: Bundle, size: Size, options: Options) -> OpenVINOBackend:
    """Compile the graph of ``size``; Unavailable for a device or precision that OpenVINO's CPU plugin has not."""
    if options.device not in ('auto', 'cpu'):
        raise Unavailable(f'device {options.device!r}: the openvino backend runs on the CPU')
    precision = 'fp32' if options.precision == 'auto' else options.precision
    if precision not in _PRECISION:
        raise Unavailable(f'precision {precision!r}: the openvino backend offers {", ".join(_PRECISION)}')
    settings: Dict[str, Any] = {
        'INFERENCE_PRECISION_HINT': _PRECISION[precision],
        'PERFORMANCE_HINT': 'LATENCY',
        'NUM_STREAMS': '1',
    }
    if options.threads:
        settings['INFERENCE_NUM_THREADS'] = options.threads
    if options.cache_dir is not None:
        settings['CACHE_DIR'] = str(options.cache_dir)
    core = openvino.Core()
    return OpenVINOBackend(core.compile_model(str(bundle.graph(size)), 'CPU', settings), precision)
