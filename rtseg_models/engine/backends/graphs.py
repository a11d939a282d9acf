# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The ONNX graph of a bundle at any input size: the shipped one, or one exported on demand where PyTorch is there."""

from __future__ import annotations

import importlib
import importlib.util
import logging
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import Iterator, Optional

from ... import __version__
from ...bundle import WEIGHTS, Bundle
from ...card import Size
from ...errors import ConfigurationError
from . import installed
from .cache import build_cached, engine_key
from .graph_weights import check_graph

_log = logging.getLogger('rtseg')


def quantised_graph(bundle: Bundle, size: Size) -> Path:
    """Where the bundle's INT8 graph of ``size`` for OpenVINO lies, whether or not it exists."""
    return bundle.path / f'{size[0]}x{size[1]}-int8.xml'


@contextmanager
def graph_file(bundle: Bundle, size: Size, cache_dir: Optional[Path]) -> Iterator[Path]:
    """Path of the graph of ``size``, there for the duration of the block.

    A size that the bundle has no graph for is exported by PyTorch into the cache, or into a temporary folder where
    there is none; ConfigurationError, naming the sizes present, where PyTorch or onnx is missing. BundleError where a
    shipped graph and the weights contradict each other.
    """
    try:
        shipped: Optional[Path] = bundle.graph(size)
    except ConfigurationError:
        if not (installed('torch') and importlib.util.find_spec('onnx')):
            raise
        shipped = None
    if shipped is not None:
        check_graph(shipped, bundle)
        yield shipped
        return
    with tempfile.TemporaryDirectory(prefix='rtseg-graph-') as temporary:

        def export(folder: Optional[Path]) -> Path:
            return _export(bundle, size, Path(temporary) if folder is None else folder)

        yield build_cached(cache_dir, engine_key(bundle, size, 'fp32', 'graph', __version__, 'any'), export)


def _export(bundle: Bundle, size: Size, folder: Path) -> Path:
    path, weights = folder / f'{size[0]}x{size[1]}.onnx', folder / WEIGHTS
    if path.is_file() and weights.is_file():
        return path
    _log.info('%s has no graph for input size %dx%d; exporting one', bundle.name, *size)
    torch_graph = importlib.import_module(f'{__package__}.torch_graph')
    shutil.copyfile(bundle.weights_path, weights)  # onnx and ONNX Runtime refuse links as external data
    path.write_bytes(torch_graph.export_graph(torch_graph.deployed_network(bundle), weights, size))
    return path
