# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The main job on any machine: camera, node and recorder as three processes over real DDS, then a report.

It leaves ``overlay.mp4``, ``report.html``, ``report.json``, the bag ``masks`` and ``logs`` in a folder, all or nothing.
"""

from __future__ import annotations

import math
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any, Dict, List, NoReturn, Optional

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from rtseg_models.bundle import Bundle, load_bundle
from rtseg_models.datasets.video import may_lack, silence_opencv
from rtseg_models.errors import RtsegError

from ..processes import Child, Children
from ..report import RunSummary, write_html, write_json
from ..sources.frames import Source, open_source
from ..sources.rendered_street import DEFAULT_SEED, StreetSpec, render_ahead
from .output import check_output, staged
from .recording import Recording, count_masks
from .results import Run, write_results
from .video import find_ffmpeg

CACHE = Path('~/.cache/rtseg')
START_S = 90.0
"""Time for the node to load its network, on a busy machine."""
STALL_S = 30.0
NOT_ALL = 1
"""Exit status where everything is written but the source could not be played to its end, as of ``replay_bag``."""
SETTLE_S = 1.5
"""After the last frame: the node's diagnostics come once a second."""


@click.command()
@click.option('--source', default='', help='Folder of images, video file or bag; nothing: a rendered street.')
@click.option('--model', default='fast_scnn-camvid', show_default=True, help='Shipped bundle, or path to one.')
@click.option('--out', type=click.Path(path_type=Path), default=Path('out/demo'), show_default=True)
@click.option('--frames', type=click.IntRange(1, 100_000), default=150, show_default=True, help='Most frames to play.')
@click.option('--rate', 'rate_hz', type=click.FloatRange(0.1, 100), default=10.0, show_default=True, help='In Hz.')
@click.option('--domain-id', type=click.IntRange(0, 101), help='ROS domain; by default one that nobody uses.')
@click.option('--seed', type=click.IntRange(0), default=DEFAULT_SEED, help='Which street.', hidden=True)
@click.option('--height', type=click.IntRange(64, 2160), default=720, help='Of the street.', hidden=True)
@click.option('--width', type=click.IntRange(64, 4096), default=1280, help='Of the street.', hidden=True)
def main(out: Path, **options: Any) -> None:
    """Segment a street through ROS 2 and leave a video, a report and a bag of masks in OUT."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _terminate)
    silence_opencv()
    console = Console()
    try:
        check_output(out)
        with staged(out) as staging:
            summary = run_demo(staging, console, **options)
        console.print(result_table(summary, out))
        if summary.faults:
            click.echo(f'demo: {"; ".join(summary.faults)}', err=True)
            sys.exit(NOT_ALL)
    except RtsegError as error:
        click.echo(f'demo: {error}', err=True)
        sys.exit(error.exit_code)
    except OSError as error:
        click.echo(f'demo: {out} could not be written: {error}', err=True)
        sys.exit(RtsegError.exit_code)


def run_demo(
    out: Path,
    console: Console,
    *,
    source: str,
    model: str,
    frames: int,
    rate_hz: float,
    domain_id: Optional[int],
    seed: int,
    height: int,
    width: int,
) -> RunSummary:
    """Play the source through the node and write all results into ``out``; RtsegError says what went wrong."""
    find_ffmpeg()
    bundle = load_bundle(model)
    pictures = open_source(Path(source).expanduser(), frames) if source else None
    street = StreetSpec(seed, height, width, rate_hz, frames, depth=False)
    columns = (TextColumn('{task.description:<12}'), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, console=console) as progress:
        if pictures is None:
            camera = _rendered(street, out, progress)
            total: Optional[int] = frames
        else:
            camera = {'source': str(Path(source).expanduser().resolve()), 'frames': frames, 'rate_hz': rate_hz}
            total = pictures.count
        (out / 'logs').mkdir()
        (out / 'recording').mkdir()
        with Children(out / 'logs', domain_id) as children:
            _play(children, camera, bundle, pictures, out / 'recording', progress, total)
        recording = Recording.load(out / 'recording')
        run = _described(pictures, source, street, rate_hz, children)
        task = progress.add_task('writing', total=count_masks(out / 'recording'))
        summary = write_results(recording, bundle, run, out, lambda n: progress.update(task, completed=n))
        if pictures is not None:
            summary.faults += [f'{source}: {fault}' for fault in pictures.faults]
            summary.faults += missing(source, pictures, len(recording.passages))
        write_html(summary, out / 'report.html')
        write_json(summary, out / 'report.json')
    for leftover in (out / 'recording', out / 'street', out / 'logs' / 'ros'):
        shutil.rmtree(leftover, ignore_errors=True)
    return summary


def _rendered(street: StreetSpec, out: Path, progress: Progress) -> Dict[str, Any]:
    """Render ahead, into ``out`` where the cache is not writable; gives the parameters of the camera."""
    task = progress.add_task('rendering', total=street.frames)
    cache = CACHE.expanduser()
    try:
        render_ahead(street, cache, progress=lambda n: progress.update(task, completed=n))
    except OSError as error:
        progress.console.print(f'{cache} is not usable ({error}); the frames are not kept')
        cache = out
        try:
            render_ahead(street, cache, progress=lambda n: progress.update(task, completed=n))
        except OSError as again:
            raise RtsegError(f'{out.parent}: no room for the rendered frames: {again}') from again
    camera = {'seed': street.seed, 'height': street.height, 'width': street.width, 'rate_hz': street.rate_hz}
    return {**camera, 'frames': street.frames, 'loop': False, 'publish_depth': False, 'cache_dir': str(cache.resolve())}


def _play(
    children: Children,
    camera_parameters: Dict[str, Any],
    bundle: Bundle,
    pictures: Optional[Source],
    folder: Path,
    progress: Progress,
    total: Optional[int],
) -> None:
    """Start the three processes, let the camera play to its end, and end the others in order."""
    compressed = pictures is not None and pictures.compressed
    node_parameters: Dict[str, Any] = {'model': str(bundle.path), 'publish_debug': True}
    if compressed:
        node_parameters['image_transport'] = 'compressed'
    if pictures is not None and pictures.kind == 'bag':
        # /clock arrives beside the image of its time, now and then after it.
        node_parameters.update(use_sim_time=True, max_future_s=0.0)
    recorder = children.start('demo.recorder', {'out': str(folder.resolve()), 'compressed': compressed})
    node = children.start('segmentation_node', node_parameters)
    # The node subscribes once the recorder listens to its masks, and the recorder to images once it has seen the node.
    camera = children.start(
        'synthetic_camera' if pictures is None else 'sources.image_source',
        {**camera_parameters, 'wait_for_subscribers': 2},
    )
    task = progress.add_task('loading', total=None)
    children.watch(lambda: count_masks(folder) > 0 or not camera.running(), START_S, 'no mask came')
    progress.update(task, description='playing', total=total)
    children.watch(_played(camera, folder, lambda n: progress.update(task, completed=n)), math.inf, 'no end')
    time.sleep(SETTLE_S)
    for child in (recorder, node):
        if not child.running():
            raise RtsegError(f'{child.name} ended before the camera: {child.last_words()}')
        child.stop()
        child.running()
    progress.update(task, completed=count_masks(folder), total=count_masks(folder))
    if not count_masks(folder):
        raise RtsegError(f'no mask came; the last words of {node.name}: {node.last_words()}')


def _played(camera: Child, folder: Path, progress: Any) -> Any:
    """A condition: the camera has played everything. RtsegError where masks stop coming before it has."""
    last = {'masks': 0, 'at_s': time.monotonic()}

    def done() -> bool:
        masks = count_masks(folder)
        if masks != last['masks']:
            last.update(masks=masks, at_s=time.monotonic())
            progress(masks)
        elif time.monotonic() - last['at_s'] > STALL_S:
            raise RtsegError(f'no mask came for {STALL_S:.0f} s; {masks} had come before')
        return not camera.running()

    return done


def missing(source: str, pictures: Source, played: int) -> List[str]:
    """What to say of a source of more frames than came, told apart by their stamps; one in a hundred may be lost."""
    stated = pictures.count
    if stated is None or played >= stated - (may_lack(stated) if pictures.kind == 'video' else stated // 100):
        return []
    return [f'{source}: {played} of {stated} frames came through; is it cut short, or are stamps repeated?']


def _described(pictures: Optional[Source], source: str, street: StreetSpec, rate_hz: float, children: Children) -> Run:
    """The run in words for its report."""
    facts: Dict[str, Any] = {'run': 'demo', 'played_at_hz': rate_hz, 'ros_domain_id': children.domain_id}
    facts['transport'] = children.transport.partition(': ')[2]
    if pictures is None:
        facts.update(kind='synthetic', seed=street.seed, size=[street.height, street.width])
        return Run('A rendered street, live through ROS 2', facts, rate_hz, 'camvid', [])
    facts.update(kind=pictures.kind, path=source)
    title = f'{Path(source).name or source}, live through ROS 2'
    return Run(title, facts, pictures.rate_hz, '', list(pictures.notes))


def result_table(summary: RunSummary, out: Path) -> Table:
    """The figures and where everything lies, for a person."""
    facts = summary.to_json()
    table = Table(title=f'{summary.title}: {summary.bundle["name"]}', show_header=False)
    table.add_column()
    table.add_column(overflow='fold')  # a path cut short is no use
    way = facts['stage_ms'].get('total', {})
    rows = {
        'frames': f'{facts["frames"]} segmented, {sum(facts["dropped"].values())} dropped',
        'rate': f'{facts["fps"]:.1f} masks a second' if facts['fps'] else '',
        'image to mask': f'{way["p50"]:.1f} ms median, {way["p95"]:.1f} ms p95' if way else '',
        'mean IoU': f'{facts["miou"]:.3f} over {facts["truth_frames"]} frames' if facts['miou'] is not None else '',
        'video': str(out / 'overlay.mp4'),
        'report': str(out / 'report.html'),
        'figures': str(out / 'report.json'),
        'bag': str(out / 'masks'),
    }
    for name, value in rows.items():
        if value:
            table.add_row(name, value)
    return table


def _terminate(number: int, frame: Any) -> NoReturn:
    """End with the shell's code for a signal; a second one does not disturb the cleaning up."""
    for other in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(other, signal.SIG_IGN)
    click.echo('demo: interrupted; nothing is left behind', err=True)
    sys.exit(128 + number)
