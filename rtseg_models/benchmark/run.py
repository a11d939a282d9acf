# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Rows of network x input size x backend x precision, timed in turn with each other and with the baselines."""

from __future__ import annotations

import itertools
from collections import Counter
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Mapping, Optional, Sequence, Tuple, Union

import numpy as np

from ..bundle import Bundle, load_bundle
from ..card import Size
from ..engine import Pipeline, open_for_command
from ..engine.backends import Options, installed
from ..engine.postprocess import dense_labels
from ..engine.preprocess import stretch
from ..engine.timing import percentiles
from ..errors import Unavailable
from ..street import Street
from .baselines import Labeller, dense_graph, eager_pytorch
from .machine import measured_on, peak_rss_mb
from .turns import Contender, take_turns

Key = Tuple[str, Size]
Place = Tuple[str, Size, str]
"""A model, an input size and a device."""
DENSE_GRAPH = 'onnxruntime+dense graph'
_RENDERED_FRAMES = 6
_STAGES = ('preprocess', 'network', 'postprocess')


@dataclass
class Row:
    """One pipeline under test and what was measured of it."""

    model: str
    pipeline: Pipeline
    whole: Contender
    bare: Contender

    @classmethod
    def of(cls, model: str, pipeline: Pipeline) -> Row:
        """The contenders of a pipeline: the whole of it, and its network alone on an input made ready beforehand.

        To the network belongs that the logits come to the host, also where the pipeline labels on the device.
        """
        whole = Contender(lambda rgb: pipeline(rgb).stage_ms)
        buffer = np.empty((1, *pipeline.input_size, 3), np.uint8)

        def bare(image: np.ndarray) -> Dict[str, float]:
            pipeline.backend.infer(image)
            return {}

        return cls(model, pipeline, whole, Contender(bare, lambda rgb: stretch(rgb, pipeline.input_size, buffer)))

    def label(self, rgb: np.ndarray) -> np.ndarray:
        """The pipeline's labels."""
        return self.pipeline(rgb).labels

    @property
    def key(self) -> Key:
        """Rows of one key share their reference."""
        return self.model, self.pipeline.input_size

    @property
    def place(self) -> Place:
        """Rows of one place share their baseline."""
        return (*self.key, self.pipeline.backend.device)


def run_benchmark(
    models: Sequence[str],
    *,
    sizes: Union[Sequence[Size], Mapping[str, Sequence[Size]]] = (),
    camera: Size = (720, 1280),
    backends: Sequence[str] = ('auto',),
    precisions: Sequence[str] = ('auto',),
    device: str = 'auto',
    threads: int = 0,
    baseline: bool = False,
    graph_baseline: bool = False,
    frames: Sequence[np.ndarray] = (),
    count: int = 60,
    memory: bool = True,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> Dict[str, Any]:
    """Time every combination on ``count`` camera frames; the result has the keys of the command's JSON.

    ``sizes`` are for all models or, as a mapping, for each; without any they are the cards'. ``frames``, rgb (H,W,3)
    uint8, are stretched to ``camera``; without them a street is rendered. ``baseline`` times eager PyTorch on the same
    device, ``graph_baseline`` adds a row for ONNX Runtime with upsampling and argmax in the graph. ``memory`` weighs
    each row in a process of its own. ``agreement`` is the share of pixels equal to dense fp32 evaluation. Combinations
    that this machine cannot run are ``skipped`` with the reason; Unavailable where none is left, ConfigurationError for
    a size without a graph.
    """
    facts = measured_on()
    pixels = [stretch(f, camera)[0] for f in frames] or _rendered(camera)
    bundles = {model: load_bundle(model) for model in models}
    combinations = [
        (model, backend, size, Options(device=device, precision=precision, threads=threads))
        for model, backend, precision in itertools.product(models, backends, precisions)
        for size in (sizes[model] if isinstance(sizes, Mapping) else sizes) or (bundles[model].card.input_size,)
    ]
    with ExitStack() as opened:
        rows, skipped = _rows(bundles, combinations, opened)
        keys = list(dict.fromkeys(row.key for row in rows))
        eager: Dict[Place, Contender] = {}
        for model, size, on in dict.fromkeys(row.place for row in rows) if baseline else ():
            eager[model, size, on] = _plain(eager_pytorch(bundles[model], size, camera, on, threads))
        graphs: Dict[Key, Tuple[Labeller, Contender]] = {}
        for model, size in keys if graph_baseline else ():
            label = dense_graph(bundles[model], size, camera, threads)
            graphs[model, size] = label, _plain(label)
        contenders = [c for row in rows for c in (row.whole, row.bare)] + list(eager.values())
        take_turns([*contenders, *(c for _, c in graphs.values())], pixels, count, advance)
        references = {key: _reference(bundles[key[0]], key[1], pixels) for key in keys}
        results = []
        for row in rows:
            shared = _agreement(row.label, pixels, references[row.key])
            results.append(_row_result(row, camera, eager.get(row.place), shared))
        if memory:
            for row, result in zip(rows, results):
                result['peak_rss_mb'] = _weigh(row, camera, threads)
        for key, (label, contender) in graphs.items():
            shared = _agreement(label, pixels, references[key])
            results.append(_graph_result(key, camera, contender, eager.get((*key, 'cpu')), shared))
    names = _names(bundles)
    return {'machine': facts, 'rows': [{**r, 'model': names[r['model']]} for r in results], 'skipped': skipped}


def _rows(
    bundles: Mapping[str, Bundle], combinations: Sequence[Tuple[str, str, Size, Options]], opened: ExitStack
) -> Tuple[List[Row], List[Dict[str, Any]]]:
    """A row for each combination that this machine can run, ``opened``, and why it cannot run the others."""
    rows: List[Row] = []
    skipped: List[Dict[str, Any]] = []
    for model, backend, size, options in combinations:
        try:
            pipeline = open_for_command(bundles[model], backend=backend, input_size=size, options=options)
            rows.append(Row.of(model, opened.enter_context(pipeline)))
        except Unavailable as error:
            what = {'model': model, 'backend': backend, 'precision': options.precision, 'size': list(size)}
            skipped.append({**what, 'reason': str(error)})
    if not rows:
        raise Unavailable('; '.join(dict.fromkeys(s['reason'] for s in skipped)))
    return rows, skipped


def _names(bundles: Mapping[str, Bundle]) -> Dict[str, str]:
    """What to call each bundle, by what was given for it: its own name, or that where several have one name."""
    count = Counter(bundle.name for bundle in bundles.values())
    return {given: bundle.name if count[bundle.name] == 1 else given for given, bundle in bundles.items()}


def _rendered(camera: Size) -> List[np.ndarray]:
    street = Street(11, height=camera[0], width=camera[1])
    return [street.frame(i * 10).rgb for i in range(_RENDERED_FRAMES)]


def _plain(label: Labeller) -> Contender:
    def run(rgb: np.ndarray) -> Dict[str, float]:
        label(rgb)
        return {}

    return Contender(run)


def _reference(bundle: Bundle, size: Size, frames: Sequence[np.ndarray]) -> List[np.ndarray]:
    """Labels by dense evaluation of fp32 logits on the CPU: PyTorch's where it is installed."""
    name = next((n for n in ('torch', 'onnxruntime', 'openvino') if installed(n)), '')
    if not name:
        raise Unavailable('the benchmark needs one of torch, onnxruntime, openvino for its fp32 reference')
    card, labels = bundle.card, []
    options = Options(device='cpu', precision='fp32')
    with Pipeline(bundle, backend=name, input_size=size, options=options) as pipeline:
        for rgb in frames:
            logits = pipeline.backend.infer(stretch(rgb, size))[0]
            labels.append(dense_labels(logits, rgb.shape[:2], size, card.output_stride, card.align_corners))
    return labels


def _agreement(label: Labeller, frames: Sequence[np.ndarray], reference: Sequence[np.ndarray]) -> float:
    return float(np.mean([(label(rgb) == wanted).mean() for rgb, wanted in zip(frames, reference)]))


def _weigh(row: Row, camera: Size, threads: int) -> Optional[float]:
    backend = row.pipeline.backend
    options = {'device': backend.device, 'precision': backend.precision, 'threads': threads}
    return peak_rss_mb(str(row.pipeline.bundle.path), row.pipeline.input_size, camera, backend.name, **options)


def _row_result(row: Row, camera: Size, eager: Optional[Contender], agreement: float) -> Dict[str, Any]:
    backend, pipeline_ms = row.pipeline.backend, row.whole.summary()
    return {
        'model': row.model,
        'backend': backend.name,
        'precision': backend.precision,
        'device': backend.device,
        'size': list(row.pipeline.input_size),
        'camera': list(camera),
        'network_ms': row.bare.summary(),
        'pipeline_ms': pipeline_ms,
        'stage_ms': {s: round(percentiles(row.whole.stages_ms[s])['p50'], 3) for s in _STAGES},
        'baseline_ms': eager.summary() if eager else None,
        'fps': round(1e3 / pipeline_ms['p50'], 2),
        'peak_rss_mb': None,
        'agreement': agreement,
    }


def _graph_result(
    key: Key, camera: Size, contender: Contender, eager: Optional[Contender], agreement: float
) -> Dict[str, Any]:
    """A row of the same keys; the graph has no network of its own to time and no stages."""
    pipeline_ms = contender.summary()
    return {
        'model': key[0],
        'backend': DENSE_GRAPH,
        'precision': 'fp32',
        'device': 'cpu',
        'size': list(key[1]),
        'camera': list(camera),
        'network_ms': None,
        'pipeline_ms': pipeline_ms,
        'stage_ms': {},
        'baseline_ms': eager.summary() if eager else None,
        'fps': round(1e3 / pipeline_ms['p50'], 2),
        'peak_rss_mb': None,
        'agreement': agreement,
    }
