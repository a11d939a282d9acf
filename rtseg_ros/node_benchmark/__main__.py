# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Image stamped to mask received in another process, beside the bare round trip and the pipeline alone.

The three are timed in turn, a block of frames each, so that what disturbs the machine disturbs all of them.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, Dict, List, Optional, Tuple

import click
import numpy as np
import rclpy
from rclpy.node import Node
from rclpy.qos import ReliabilityPolicy
from rich.console import Console
from rich.table import Column, Table
from sensor_msgs.msg import Image

from rtseg_models.bundle import load_bundle
from rtseg_models.cli.model_options import SIZE
from rtseg_models.cli.output import json_option, write_json
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.engine.timing import percentiles
from rtseg_models.errors import RtsegError, UsageError
from rtseg_models.machine import CORES, peak_resident_mb, processor_name
from rtseg_models.street import Street

from ..image_codec import encode_image
from ..node.subscription import keep_last
from ..processes import Children
from ..sources.rendered_street import DEFAULT_SEED

START_S = 90.0
"""Time for the node to load its network, on a busy machine."""
LOST_S = 2.0
SETTLING_FRAMES = 5

Durations = Dict[str, List[float]]


class Peer(Node):
    """The camera and the consumer of the masks, in one process so that one clock times both."""

    def __init__(self, rgb: np.ndarray) -> None:
        super().__init__('peer')
        self._image = encode_image(rgb, 'rgb8', Image().header, Image)
        self._answered_ns = 0
        self._topics: Dict[str, Any] = {}
        qos = keep_last(1, ReliabilityPolicy.RELIABLE)
        for name, image, mask in (('node', 'image', 'segmentation/mask'), ('echo', 'echo/image', 'echo/mask')):
            self._topics[name] = self.create_publisher(Image, image, qos)
            self.create_subscription(Image, mask, self._got, qos)

    def ask(self, name: str) -> Optional[float]:
        """Milliseconds from stamp to mask of one image sent to 'node' or 'echo'; None where no mask came."""
        sent_ns = time.time_ns()
        stamp = self._image.header.stamp
        stamp.sec, stamp.nanosec = sent_ns // 1_000_000_000, sent_ns % 1_000_000_000
        self._topics[name].publish(self._image)
        while time.time_ns() - sent_ns < LOST_S * 1e9:
            rclpy.spin_once(self, timeout_sec=LOST_S)
            if self._answered_ns == sent_ns:
                return (time.time_ns() - sent_ns) / 1e6
        return None

    def _got(self, mask: Any) -> None:
        self._answered_ns = mask.header.stamp.sec * 1_000_000_000 + mask.header.stamp.nanosec


@click.command()
@click.option('--model', default='fast_scnn-camvid', show_default=True, help='Shipped bundle, or path to one.')
@click.option('--size', type=SIZE, help="Network input HxW; the card's unless given.")
@click.option('--camera', type=SIZE, default=(720, 1280), help='Camera image HxW.  [default: 720x1280]')
@click.option('--backend', default='auto', show_default=True)
@click.option('--precision', default='auto', show_default=True)
@click.option('--rate', 'rate_hz', type=click.FloatRange(0.1, 100), default=10.0, show_default=True, help='In Hz.')
@click.option('--frames', type=click.IntRange(1), default=30, show_default=True, help='Frames in a block.')
@click.option('--blocks', type=click.IntRange(1), default=4, show_default=True, help='Blocks of each of the three.')
@json_option
def main(json_path: Optional[Path], **options: Any) -> None:
    """Time the running node beside its own pipeline and beside a node that does nothing."""
    with tempfile.TemporaryDirectory(prefix='rtseg_benchmark_') as logs:
        result = measure(Path(logs), **options)
    if json_path is not None:
        write_json(json_path, result)
    if str(json_path) != '-':
        Console().print(table(result))


def measure(
    logs: Path,
    *,
    model: str,
    size: Optional[Tuple[int, int]],
    camera: Tuple[int, int],
    backend: str,
    precision: str,
    rate_hz: float,
    frames: int,
    blocks: int,
) -> Dict[str, Any]:
    """Start node and echo and time ``blocks`` blocks of ``frames`` frames of each; RtsegError where one is silent."""
    rgb = Street(DEFAULT_SEED, height=camera[0], width=camera[1]).frame(5).rgb
    pipeline = Pipeline(load_bundle(model), backend=backend, input_size=size, options=Options(precision=precision))
    height, width = pipeline.input_size
    with Children(logs, None) as children:
        os.environ.update(children.environment)
        parameters = {'model': model, 'backend': backend, 'precision': precision}
        node = children.start('segmentation_node', {**parameters, 'input_height': height, 'input_width': width})
        children.start('node_benchmark.echo', {})
        rclpy.init()
        peer = Peer(rgb)
        try:
            for name in ('echo', 'node'):
                children.watch(lambda name=name: peer.ask(name) is not None, START_S, f'no mask came from {name}')  # type: ignore[misc]
            durations = _time(peer, pipeline, rgb, rate_hz, frames, blocks)
            memory_mb = peak_resident_mb(node.process.pid)
        finally:
            peer.destroy_node()
            rclpy.try_shutdown()
    medians = {name: float(np.median(values)) for name, values in durations.items()}
    return {
        'machine': {'processor': processor_name(), 'cores': CORES},
        'model': pipeline.bundle.name,
        'backend': pipeline.backend.name,
        'precision': pipeline.backend.precision,
        'size': list(pipeline.input_size),
        'camera': list(camera),
        'rate_hz': rate_hz,
        'ms': {name: percentiles(values) for name, values in durations.items()},
        'node_minus_pipeline_ms': medians['node'] - medians['pipeline'],
        'node_peak_rss_mb': memory_mb,
    }


def _time(peer: Peer, pipeline: Pipeline, rgb: np.ndarray, rate_hz: float, frames: int, blocks: int) -> Durations:
    durations: Durations = {'echo': [], 'pipeline': [], 'node': []}
    for _ in range(blocks):
        for name, found in durations.items():
            for i in range(SETTLING_FRAMES + frames):
                began = time.perf_counter()
                if name == 'pipeline':
                    pipeline(rgb)
                    taken_ms: Optional[float] = (time.perf_counter() - began) * 1e3
                else:
                    taken_ms = peer.ask(name)
                if taken_ms is None:
                    raise RtsegError(f'{name} lost a frame: no mask within {LOST_S:g} s')
                if i >= SETTLING_FRAMES:
                    found.append(taken_ms)
                time.sleep(max(0.0, began + 1 / rate_hz - time.perf_counter()))
    return durations


def table(result: Dict[str, Any]) -> Table:
    """The result for people."""
    rows = {
        'echo': 'bare round trip',
        'pipeline': 'pipeline alone, called at the same rate',
        'node': 'node, stamp to mask',
    }
    height, width = result['size']
    title = f'{result["model"]} {height}x{width} on {result["backend"]} {result["precision"]}'
    overhead, memory = result['node_minus_pipeline_ms'], result['node_peak_rss_mb']
    caption = f'node - pipeline {overhead:.1f} ms at the median' + (
        '' if memory is None else f', peak memory of the node {memory:.0f} MB'
    )
    shown = Table(Column('ms', min_width=44), 'p50', 'p95', 'p99', title=title, caption=caption)
    for name, text in rows.items():
        shown.add_row(text, *(f'{result["ms"][name][p]:.1f}' for p in ('p50', 'p95', 'p99')))
    return shown


if __name__ == '__main__':
    try:
        main()
    except (RtsegError, OSError) as error:
        click.echo(f'node_benchmark: {error}', err=True)
        usage = isinstance(error, UsageError)
        sys.exit(click.UsageError.exit_code if usage else getattr(error, 'exit_code', RtsegError.exit_code))
