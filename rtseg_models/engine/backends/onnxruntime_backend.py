# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""ONNX Runtime on the CPU."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime

from ...bundle import Bundle
from ...card import Size
from ...errors import Unavailable
from . import Options


class OnnxRuntimeBackend:
    """An ONNX Runtime session."""

    name = 'onnxruntime'

    def __init__(self, session: Any, device: str, precision: str) -> None:
        self.device = device
        self.precision = precision
        self._session = session

    def infer(self, rgb: np.ndarray) -> np.ndarray:
        logits: np.ndarray = self._session.run(None, {'image': rgb})[0]
        return logits

    def close(self) -> None:
        self._session = None


def create(bundle: Bundle, size: Size, options: Options) -> OnnxRuntimeBackend:
    """A session over the graph of ``size``; Unavailable for what the CPU provider has not."""
    if options.device not in ('auto', 'cpu'):
        raise Unavailable(f'device {options.device!r}: this onnxruntime offers {onnxruntime.get_available_providers()}')
    if options.precision not in ('auto', 'fp32'):
        raise Unavailable(f'precision {options.precision!r}: the onnxruntime backend offers fp32 on the CPU')
    settings = onnxruntime.SessionOptions()
    if options.threads:
        settings.intra_op_num_threads = options.threads
    session = onnxruntime.InferenceSession(str(bundle.graph(size)), settings, providers=['CPUExecutionProvider'])
    return OnnxRuntimeBackend(session, 'cpu', 'fp32')
