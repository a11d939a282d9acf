# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Write a bundle, whole or not at all."""

from __future__ import annotations

import os
import shutil
import tempfile
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import AbstractSet, Iterator, Optional, Sequence, Tuple

import numpy as np
from safetensors.torch import save_file
from torch import nn

from ..bundle import WEIGHTS, Bundle, load_bundle, sha256_of
from ..card import Card, Size
from ..engine.backends import Options, installed
from ..engine.backends.torch_graph import deployed_network, export_graph, stored_tensors
from ..engine.pipeline import Pipeline
from ..errors import BundleError
from ..files import refuse_existing
from ..networks import logit_stride
from ..street import Street

LEAST_SHARE = 0.999
"""Of the labels that must stay where weights are stored in fp16."""
LARGEST_DIFFERENCE = 1e-3
"""Of a runtime's logits from eager PyTorch's, in their standard deviations."""

GOLDEN_SEED, PARITY_SEED = 2026, 7

ON_CPU = Options(device='cpu', precision='fp32')  # where runtimes are compared, whatever the machine has


def write_bundle(
    network: nn.Module,
    card: Card,
    out: Path,
    *,
    sizes: Sequence[Size] = (),
    half: Optional[bool] = None,
) -> Bundle:
    """Write ``network`` (evaluation weights) as a bundle at ``out``: graphs for the card's input size and ``sizes``.

    The card's hash and stride are filled in. ``half`` stores convolutions in fp16, by default where 99.9 % of the
    golden frame's labels are those of fp32; the card tells the share (``origin['fp16_weights']``). The golden sample
    is a rendered frame of the input size with the labels of eager PyTorch. Before the folder appears, every graph is
    compared with eager at its own size: BundleError where logits differ by more than 1e-3 of their standard deviation.
    UsageError where ``out`` exists already.
    """
    with staged(out) as part:
        part.mkdir()
        frame = _rendered(GOLDEN_SEED, card.input_size).copy()
        if half is None:
            exact = _store(network, card, part, frame, half=False)[1]
            share = float(np.mean(_store(network, card, part, frame, half=True)[1] == exact))
            half = share >= LEAST_SHARE
            card = replace(card, origin={**card.origin, 'fp16_weights': round(share, 5)})
        bundle, labels = _store(network, card, part, frame, half)
        _add_graphs(bundle, {card.input_size, *sizes})
        np.savez_compressed(part / 'golden.npz', rgb=frame, labels=labels)
    return load_bundle(str(out))


def _store(network: nn.Module, card: Card, part: Path, frame: np.ndarray, half: bool) -> Tuple[Bundle, np.ndarray]:
    """Write weights and card to the folder ``part``; the bundle and its labels (H,W) of ``frame`` in eager PyTorch."""
    save_file(stored_tensors(network, half), str(part / WEIGHTS))
    (part / WEIGHTS).chmod(0o644)
    card = replace(card, weights_sha256=sha256_of(part / WEIGHTS), output_stride=logit_stride(network))
    (part / 'card.json').write_text(card.to_json(), encoding='utf-8')
    bundle = load_bundle(str(part))
    with Pipeline(bundle, backend='torch', options=ON_CPU) as pipeline:
        return bundle, pipeline(frame).labels


def with_sizes(bundle: Bundle, out: Path, sizes: Sequence[Size]) -> Bundle:
    """A copy of ``bundle`` at ``out`` with graphs for more input sizes, checked like those of ``write_bundle``."""
    with staged(out) as part:
        shutil.copytree(bundle.path, part)
        _add_graphs(load_bundle(str(part)), set(sizes) - set(bundle.sizes()))
    return load_bundle(str(out))


@contextmanager
def staged(out: Path) -> Iterator[Path]:
    """Where to make a folder that moves to ``out`` when the block ends well, and is removed when it does not."""
    refuse_existing(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f'.{out.name}-', dir=out.parent) as folder:
        part = Path(folder) / out.name
        yield part
        os.replace(part, out)


@lru_cache(maxsize=8)  # a street takes a second to lay out
def _rendered(seed: int, size: Size) -> np.ndarray:
    return Street(seed, height=size[0], width=size[1]).frame(0).rgb


def _add_graphs(bundle: Bundle, sizes: AbstractSet[Size]) -> None:
    deployed = deployed_network(bundle)
    for size in sorted(sizes):
        graph = bundle.path / f'{size[0]}x{size[1]}.onnx'
        graph.write_bytes(export_graph(deployed, bundle.weights_path, size))
        check_parity(bundle, size)


def check_parity(bundle: Bundle, size: Size) -> None:
    """Compare each installed runtime with eager PyTorch on a rendered frame; BundleError where one differs."""
    frame = _rendered(PARITY_SEED, size)[None].copy()
    with Pipeline(bundle, backend='torch', input_size=size, options=ON_CPU) as pipeline:
        eager = pipeline.backend.infer(frame).copy()
    for name in ('openvino', 'onnxruntime'):
        if not installed(name):
            continue
        with Pipeline(bundle, backend=name, input_size=size, options=ON_CPU) as pipeline:
            difference = float(np.abs(pipeline.backend.infer(frame) - eager).max() / eager.std())
        if not difference <= LARGEST_DIFFERENCE:
            raise BundleError(
                f'{bundle.path}: {name} differs from eager at {size[0]}x{size[1]} by {difference:.2e} of the '
                f"logits' standard deviation; at most {LARGEST_DIFFERENCE:.0e} is accepted"
            )
