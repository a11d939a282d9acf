# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""An INT8 graph for OpenVINO beside a bundle's others, by post-training quantisation with NNCF."""

from __future__ import annotations

import importlib.util
import os
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any, Callable, Optional, Sequence

import numpy as np

from ..bundle import Bundle
from ..card import Size
from ..datasets.sample import Dataset
from ..engine import Pipeline
from ..engine.backends import Options
from ..engine.backends.graphs import quantised_graph
from ..engine.preprocess import stretch
from ..errors import RtsegError, Unavailable
from ..evaluation import evaluate
from ..files import refuse_existing
from .figures import rewrite_card


def check_quantiser() -> None:
    """Unavailable where NNCF or OpenVINO is missing."""
    for package in ('nncf', 'openvino'):
        if importlib.util.find_spec(package) is None:
            raise Unavailable(f'quantisation needs the package {package!r}, which is not installed')


def check_not_quantised(bundle: Bundle, size: Size) -> Path:
    """Where the INT8 graph of ``size`` is to be; UsageError where there is one."""
    path = quantised_graph(bundle, size)
    refuse_existing(path)
    return path


def quantise(bundle: Bundle, size: Size, images: Sequence[np.ndarray]) -> Path:
    """Write the INT8 graph of ``size``, calibrated on ``images`` (rgb, any size, from the training split).

    OpenVINO runs it at precision ``int8``. Some hundred images are customary. UsageError where the graph exists,
    RtsegError where there is no image; Unavailable where NNCF or OpenVINO is missing.
    """
    path = check_not_quantised(bundle, size)
    if not images:
        raise RtsegError('quantisation needs images to calibrate on')
    check_quantiser()
    import nncf
    import openvino

    inputs = nncf.Dataset(images, lambda rgb: stretch(rgb, size))
    model: Any = openvino.Core().read_model(str(bundle.graph(size)))
    model = nncf.quantize(model, inputs, preset=nncf.QuantizationPreset.MIXED, subset_size=len(images))
    with tempfile.TemporaryDirectory(dir=bundle.path) as folder:
        part = Path(folder) / path.name
        openvino.save_model(model, str(part))
        os.replace(part.with_suffix('.bin'), path.with_suffix('.bin'))
        os.replace(part, path)
    return path


def measure_int8(
    bundle: Bundle, data: Dataset, split: str, progress: Optional[Callable[[int, int], None]] = None
) -> Bundle:
    """Measure the INT8 graph on ``data``; the card gets its agreement with fp32 and its mIoU (``<split>-int8``).

    A split that the weights learnt from gives no mIoU, which would flatter.
    """
    card, miou = bundle.card, dict(bundle.card.miou)
    with ExitStack() as opened:
        pipeline, exact = (
            opened.enter_context(Pipeline(bundle, backend='openvino', options=Options(precision=precision)))
            for precision in ('int8', 'fp32')
        )
        if split not in card.origin.get('trained_on', []):
            miou[f'{split}-int8'] = round(evaluate(pipeline, data, progress).confusion.miou(), 4)
        images = (data[i].rgb for i in range(len(data)))
        agreement = float(np.mean([(pipeline(rgb).labels == exact(rgb).labels).mean() for rgb in images]))
    card = replace(card, miou=miou, agreement={**card.agreement, 'int8': round(agreement, 5)})
    return rewrite_card(bundle, card)
