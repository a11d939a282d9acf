# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Replay jobs spread over a Ray cluster, or over the cores of one machine: one task for each bag and bundle.

A worker keeps its pipeline from task to task. A task whose worker dies is done again on another one, which goes on from
the job's journal. Bags, bundles and the output folder must lie where every worker finds them.
"""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import Any, Callable, Dict, List, Optional, Tuple

from rtseg_models.bundle import shipped_bundles
from rtseg_models.engine import Pipeline
from rtseg_models.errors import DeviceLost, RtsegError, Unavailable, UsageError

from .job import Job, JobResult, run_job

RETRIES = 2
"""How often a task is done again after its worker died or it failed by other than bad input."""

_pipelines: Dict[Tuple[Any, ...], Pipeline] = {}
"""The pipeline of this worker process; one, because a worker serves one run."""


class _Unwatched:
    """A job's follower on a machine that nobody looks at."""

    def frames(self, done: int, total: Optional[int]) -> None:
        """Say nothing."""

    def wants_stop(self) -> bool:
        """Never."""
        return False


def do_job(job: Job) -> JobResult:
    """Run a job in this process with its kept pipeline."""
    key = (job.model, job.backend, job.device, job.precision, job.threads, job.input_size)
    if key not in _pipelines:
        for pipeline in _pipelines.values():
            pipeline.close()
        _pipelines.clear()
        _pipelines[key] = job.open_pipeline()
    try:
        return run_job(job, [_pipelines[key]], _Unwatched())
    except DeviceLost as error:  # only a new process helps: Ray starts one, which goes on from the journal
        print(f'{job.name}: {error}', file=sys.stderr, flush=True)
        os._exit(error.exit_code)


def run_on_ray(jobs: List[Job], address: str, say: Callable[[str], None]) -> Tuple[List[JobResult], Dict[str, str]]:
    """Results in the order of the jobs, and by bag why others failed. ``address`` ``local`` starts Ray on this machine.

    Unavailable where Ray is not installed or the cluster cannot be reached. What is wrong with the command or with an
    only bag is raised as without Ray.
    """
    try:
        import ray
    except ImportError as error:
        raise Unavailable('--ray needs Ray; install it with: pip install ray') from error
    begun = not ray.is_initialized()
    if begun:
        try:
            ray.init(address=address, include_dashboard=False, log_to_driver=False)
        except (ConnectionError, ValueError, RuntimeError) as error:
            raise Unavailable(f'no Ray cluster at {address!r}: {error}') from error
    try:
        return _gather(ray, [_for_workers(job) for job in jobs], say)
    finally:
        if begun:
            ray.shutdown()


def _for_workers(job: Job) -> Job:
    """The job with one network, and with paths that mean the same wherever a worker was started."""
    model = job.model if job.model in shipped_bundles() else os.path.abspath(job.model)
    return replace(job, networks=1, bag=os.path.abspath(job.bag), out=os.path.abspath(job.out), model=model)


def _gather(ray: Any, jobs: List[Job], say: Callable[[str], None]) -> Tuple[List[JobResult], Dict[str, str]]:
    uses_gpu = jobs[0].device.startswith('cuda')
    remote = ray.remote(num_cpus=max(1, jobs[0].threads), num_gpus=1 if uses_gpu else 0, max_retries=RETRIES)(do_job)
    waiting = {remote.remote(job): (place, 0) for place, job in enumerate(jobs)}
    results: Dict[int, JobResult] = {}
    failed: Dict[str, str] = {}
    while waiting:
        (ready,), _ = ray.wait(list(waiting), num_returns=1)
        place, tries = waiting.pop(ready)
        job = jobs[place]
        try:
            results[place] = ray.get(ready)
            say(f'{job.name}: {len(results[place].records)} frames ({len(results)} of {len(jobs)} bags)')
        except ray.exceptions.RayTaskError as error:
            cause = error.cause
            if isinstance(cause, UsageError) or (isinstance(cause, RtsegError) and len(jobs) == 1):
                for other in waiting:
                    ray.cancel(other)
                raise cause from error  # it is of the command, not of one bag among others
            if isinstance(cause, RtsegError) or tries >= RETRIES:
                failed[job.name] = str(cause)
                say(f'{job.name}: {cause}')
            else:
                waiting[remote.remote(job)] = (place, tries + 1)
        except ray.exceptions.RayError as error:
            failed[job.name] = f'lost with its worker {RETRIES + 1} times: {error}'
            say(f'{job.name}: {failed[job.name]}')
    return [results[place] for place in sorted(results)], failed
