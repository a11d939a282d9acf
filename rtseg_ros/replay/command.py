# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command replay_bag: recordings through a network, every frame in order, with a report of what it is worth.

It leaves in its output folder ``report.html`` and ``report.json``, and for each bag ``masks/`` (a rosbag2 folder) and
``journal.jsonl``: beside the reports where one bag was replayed, in a folder of the bag's name where there were
several. Several models get a folder each, and a comparison.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path
from types import FrameType
from typing import Any, Dict, List, Optional, Tuple

import click
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from rtseg_models.bundle import load_bundle
from rtseg_models.cli.model_options import BACKEND, DEVICE, PRECISION, SIZE
from rtseg_models.errors import DeviceLost, RtsegError, UsageError

from ..report import RunSummary, write_html, write_json
from ..reporting.measures import figures
from ..startup import INTERRUPTED, StopRequest
from .compare import compare_runs
from .job import OUTPUTS, Interrupted, Job, JobResult, rate_without_replay, run_job
from .journal import NAME as JOURNAL
from .plan import plan, refuse_existing, refuse_others, shared_folder
from .report import summarise

NOT_ALL = 1
"""Exit status where a report was written and not everything could be done."""


@click.command(context_settings={'help_option_names': ['-h', '--help']})
@click.argument('bags', nargs=-1, type=click.Path(path_type=Path))
@click.option('--topic', 'topics', multiple=True, help='Image topic, raw or compressed; may be repeated.')
@click.option('--model', 'models', multiple=True, help='Bundle by name or path; several are compared.')
@click.option('--out', required=True, type=click.Path(path_type=Path, file_okay=False), help='Folder to write to.')
@click.option('--start', 'start_s', type=click.FloatRange(0), default=0.0, help='Seconds after the start of each bag.')
@click.option('--end', 'end_s', type=click.FloatRange(0), help='Seconds after the start of each bag.')
@click.option('--stride', type=click.IntRange(1), default=1, show_default=True, help='Take every n-th frame.')
@click.option('--ground-truth-topic', help='Topic of label images, matched by stamp.')
@click.option(
    '--ground-truth',
    type=click.Path(path_type=Path, file_okay=False),
    help='Folder of label images named by stamp or frame.',
)
@click.option('--ground-truth-classes', default='', help='Whose ids the labels are: camvid, cityscapes or a JSON file.')
@click.option('--outputs', default='mask', show_default=True, help=f'Comma-separated: {", ".join(OUTPUTS)}.')
@click.option('--resume', is_flag=True, help='Go on with the replay that --out holds.')
@click.option('--ray', 'ray_address', help='Spread the bags over a Ray cluster; "local" for this machine.')
@click.option('--compare', nargs=2, type=click.Path(path_type=Path), help='Compare two finished replays instead.')
@click.option('--backend', type=BACKEND, default='auto', show_default=True)
@click.option('--device', type=DEVICE, default='auto', show_default=True)
@click.option('--precision', type=PRECISION, default='auto', show_default=True)
@click.option(
    '--networks', type=click.IntRange(0), default=0, help='Networks that run side by side on a CPU; 0 chooses.'
)
@click.option('--threads', type=click.IntRange(0), default=0, help='Threads of each network; 0 chooses.')
@click.option('--input-size', type=SIZE, help="The network's input; the bundle's own without.")
def main(
    bags: Tuple[Path, ...],
    topics: Tuple[str, ...],
    models: Tuple[str, ...],
    out: Path,
    resume: bool,
    ray_address: Optional[str],
    compare: Optional[Tuple[Path, Path]],
    **options: Any,
) -> None:
    """Replay BAGS through a network: every frame, in order, the labels that the live node would give."""
    try:
        if compare:
            if bags or topics or models or resume or ray_address:
                raise UsageError('--compare takes two finished replays and --out; it replays nothing')
            refuse_existing(out)
            click.echo(compare_runs(compare[0], compare[1], out))
            return
        jobs = plan(bags, topics, models, out, **options)
        if resume:
            refuse_others(jobs)
        else:
            refuse_existing(out)
        out.mkdir(parents=True, exist_ok=True)
        sys.exit(replay(jobs, out, ray_address))
    except Interrupted as error:
        click.echo(f'replay_bag: {error}', err=True)
        sys.exit(INTERRUPTED)
    except UsageError as error:
        raise click.UsageError(str(error)) from error
    except RtsegError as error:
        click.echo(f'replay_bag: {error}', err=True)
        sys.exit(error.exit_code)
    except (OSError, MemoryError) as error:
        what = str(error) or 'memory ran out'
        click.echo(f'replay_bag: {what}. Finished frames are kept in {out}; go on with --resume', err=True)
        sys.exit(RtsegError.exit_code)


def replay(jobs: Dict[str, List[Job]], out: Path, ray_address: Optional[str]) -> int:
    """Run all jobs and write the reports; the exit status."""
    console = Console(stderr=True)
    bundles = {model: load_bundle(model) for model in jobs}  # all, before the first works for an hour
    status, folders = 0, []
    for model, todo in jobs.items():
        results, failed, wall_s, pipeline_fps = _run(todo, ray_address, console)
        folder = shared_folder(todo)
        if not results:
            raise RtsegError('; '.join(failed.values()))
        summary = summarise(bundles[model], results, failed, folder, wall_s)
        summary.pipeline_fps = pipeline_fps
        write_json(summary, folder / 'report.json')
        write_html(summary, folder / 'report.html')
        folders.append(folder)
        tell(summary, folder, console)
        if summary.faults or summary.all_dropped() or not summary.masks:
            status = NOT_ALL
    for other in folders[1:]:
        place = out / ('compare' if len(folders) == 2 else f'compare-{other.name}')
        click.echo(compare_runs(folders[0], other, place))
    return status


def _run(
    jobs: List[Job], ray_address: Optional[str], console: Console
) -> Tuple[List[JobResult], Dict[str, str], Optional[float], Optional[float]]:
    """Results, why others failed, the seconds that all took, and the rate of the pipelines alone.

    The seconds are None where workers went on with what others had begun, the rate where not all was done by this
    process at once.
    """
    begun = any((Path(job.out) / JOURNAL).exists() for job in jobs)
    if ray_address:
        from .fleet import run_on_ray

        start = time.perf_counter()
        results, failed = run_on_ray(jobs, ray_address, lambda line: console.print(line))
        return results, failed, None if begun else time.perf_counter() - start, None
    pipelines = jobs[0].open_pipelines()
    results, failed = [], {}
    rate: Optional[float] = None
    try:
        for job in jobs:
            with Follower(job, console) as follower:
                try:
                    rate = rate or (None if begun else rate_without_replay(job, pipelines))
                    results.append(run_job(job, pipelines, follower))
                    if follower.wants_stop() and job is not jobs[-1]:  # the signal came after its last frame
                        raise Interrupted(f'interrupted behind {job.name}; go on with --resume')
                except RtsegError as error:
                    if len(jobs) == 1 or isinstance(error, (UsageError, DeviceLost)):  # of all, not of the bag
                        raise
                    failed[job.name] = str(error)
                    console.print(f'{job.name}: {error}', style='red', markup=False, soft_wrap=True)
    finally:
        for pipeline in pipelines:
            pipeline.close()
    return results, failed, sum(result.wall_s for result in results), rate


class Follower:
    """Shows a job's progress and passes on the wish to stop: the first Ctrl-C or SIGTERM ends it after the frame."""

    def __init__(self, job: Job, console: Console) -> None:
        self._stop = StopRequest()
        self._progress = Progress(
            TextColumn('{task.description}'),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn('{task.fields[rate]}'),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
        )
        self._task = self._progress.add_task(job.name, total=None, rate='')
        self._before: Dict[int, Any] = {}

    def __enter__(self) -> Follower:
        for number in (signal.SIGINT, signal.SIGTERM):
            self._before[number] = signal.signal(number, self._on_signal)
        self._progress.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._progress.stop()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, frame: Optional[FrameType]) -> None:
        self._stop.set()
        signal.signal(number, self._before[number])

    def frames(self, done: int, total: Optional[int]) -> None:
        """Show where the job is."""
        task = self._progress.tasks[0]
        rate = f'{task.finished_speed or task.speed:.1f} fps' if task.speed else ''
        self._progress.update(self._task, completed=done, total=total, rate=rate)

    def wants_stop(self) -> bool:
        """Whether a signal came."""
        return self._stop.is_set()


def tell(summary: RunSummary, folder: Path, console: Console) -> None:
    """The outcome in a few lines on standard error, the report's path on standard output."""
    miou, _, right = figures(summary.confusion(), summary.evaluable)
    pieces = [f'{len(summary.masks)} frames', f'{summary.fps:.1f} fps' if summary.fps else '']
    if summary.speed_share is not None:
        pieces.append(f'{100 * summary.speed_share:.0f} % of what the networks alone reach here')
    if summary.has_truth:
        pieces.append(f'mean IoU {100 * miou:.1f} %, pixel accuracy {100 * right:.1f} %')
    console.print(f'{summary.title}: {", ".join(p for p in pieces if p)}', style='bold', markup=False)
    for reason, count in summary.all_dropped().items():
        console.print(f'[yellow]{count} dropped: {reason}')
    for fault in summary.faults:
        console.print(fault, style='red', markup=False, highlight=False, soft_wrap=True)
    for note in summary.notes:
        console.print(note, markup=False, highlight=False, soft_wrap=True)
    click.echo(folder / 'report.html')
