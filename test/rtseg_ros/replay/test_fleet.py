# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
from click.testing import CliRunner
from recordings import drive, frames, write_bag
from replays import LABELS, TOPIC, timeless

from rtseg_models.errors import BundleError, DeviceLost, Unavailable, UsageError
from rtseg_ros.replay import fleet
from rtseg_ros.replay import job as replay_job
from rtseg_ros.replay.command import main


def _replay(bundle, bags, out: Path, *more) -> dict:
    arguments = [*bags, '--topic', TOPIC, '--ground-truth-topic', LABELS, '--model', bundle.path, '--out', out]
    result = CliRunner().invoke(main, list(map(str, [*arguments, '--threads', '1', *more])))
    assert result.exit_code == 0, (result.output, result.exception)
    return timeless(out)


def test_without_ray_the_message_says_what_to_install(monkeypatch, tmp_path):
    monkeypatch.setitem(sys.modules, 'ray', None)
    with pytest.raises(Unavailable, match='pip install'):
        fleet.run_on_ray([], 'local', print)


def test_rate_is_that_of_all_workers_together(tiny_bundle, bags, monkeypatch, tmp_path):
    def spread(jobs, address, say):
        return [replace(fleet.do_job(job), wall_s=1000.0) for job in jobs], {}  # each worker's own time

    monkeypatch.setattr(fleet, 'run_on_ray', spread)
    _replay(tiny_bundle, bags[:2], tmp_path / 'out', '--ray', 'local')
    facts = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert 0 < facts['wall_s'] < 1000 and facts['fps'] == pytest.approx(facts['frames'] / facts['wall_s'])
    _replay(tiny_bundle, bags[:2], tmp_path / 'out', '--ray', 'local', '--resume')
    facts = json.loads((tmp_path / 'out' / 'report.json').read_text())
    assert facts['wall_s'] is None and facts['fps'] is None


class TaskFailed(Exception):
    def __init__(self, cause):
        self.cause = cause


def cluster_of(errors):
    """What stands for Ray: a task of a job that ``errors`` names fails so, others give the job's name."""
    cancelled = []

    def get(name):
        if name in errors:
            raise TaskFailed(errors[name])
        return SimpleNamespace(records=[])

    return SimpleNamespace(
        remote=lambda **options: lambda function: SimpleNamespace(remote=lambda job: job.name),
        wait=lambda waiting, num_returns: (waiting[:1], waiting[1:]),
        get=get,
        cancel=cancelled.append,
        cancelled=cancelled,
        exceptions=SimpleNamespace(RayTaskError=TaskFailed, RayError=ConnectionError),
    )


@pytest.mark.parametrize(
    'names, error, refused',
    [
        ('a b c', UsageError('another replay is under way'), True),
        ('a b c', BundleError('not a bag'), False),
        ('b', BundleError('not a bag'), True),
    ],
)
def test_refusals_are_those_of_a_run_without_ray(names, error, refused):
    ray = cluster_of({'b': error})
    jobs = [replay_job.Job(name, '', 'm', '', ()) for name in names.split()]
    if refused:
        with pytest.raises(type(error), match=str(error)):
            fleet._gather(ray, jobs, print)
        assert ray.cancelled == ([] if len(jobs) == 1 else ['c'])
    else:
        results, failed = fleet._gather(ray, jobs, print)
        assert len(results) == 2 and failed == {'b': 'not a bag'}


def test_workers_are_given_paths_that_mean_the_same_everywhere(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    (tmp_path / 'own').mkdir()
    job = replay_job.Job('a', 'drives/a.mcap', 'own', 'out', (), networks=4)
    sent = fleet._for_workers(job)
    assert (sent.bag, sent.model, sent.out) == tuple(str(tmp_path / p) for p in ('drives/a.mcap', 'own', 'out'))
    (tmp_path / 'fast_scnn-camvid').mkdir()  # the shipped bundle of that name comes first, as everywhere
    assert fleet._for_workers(replace(job, model='fast_scnn-camvid')).model == 'fast_scnn-camvid'


def test_bags_that_ran_on_something_else_are_faults(tiny_bundle, bags, monkeypatch, tmp_path):
    """Other arithmetic gives other labels: a worker without bf16 must not go by unnoticed."""

    def spread(jobs, address, say):
        results = [fleet.do_job(job) for job in jobs]
        return [results[0], replace(results[1], settings={**results[1].settings, 'precision': 'bf16'})], {}

    monkeypatch.setattr(fleet, 'run_on_ray', spread)
    arguments = [*bags[:2], '--topic', TOPIC, '--model', tiny_bundle.path, '--out', tmp_path / 'out', '--ray', 'local']
    assert CliRunner().invoke(main, list(map(str, arguments))).exit_code == 1
    (fault,) = json.loads((tmp_path / 'out' / 'report.json').read_text())['faults']
    assert fault.startswith('bag1: not run as bag0 was, on ')


def test_a_worker_without_its_device_makes_room_for_another(monkeypatch):
    ended = []

    def lost(job, pipelines, observer):
        raise DeviceLost('CUDA error')

    def ends(code):
        ended.append(code)
        raise SystemExit(code)

    monkeypatch.setattr(fleet, '_pipelines', {})
    monkeypatch.setattr(replay_job.Job, 'open_pipeline', lambda job: None)
    monkeypatch.setattr(fleet, 'run_job', lost)
    monkeypatch.setattr(os, '_exit', ends)
    with pytest.raises(SystemExit):
        fleet.do_job(replay_job.Job('a', '', 'm', '', ()))
    assert ended == [70]


@pytest.fixture(scope='module')
def cluster():
    ray = pytest.importorskip('ray', reason='Ray is not installed (the extra [fleet])')
    root = Path(__file__).parents[3]
    paths = os.pathsep.join([str(root), str(Path(__file__).parents[1]), str(Path(__file__).parent)])
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False, runtime_env={'env_vars': {'PYTHONPATH': paths}})
    yield ray
    ray.shutdown()


@pytest.fixture(scope='module')
def bags(tmp_path_factory) -> list[Path]:
    folder, pairs = tmp_path_factory.mktemp('bags'), frames(16)
    return [write_bag(folder / f'bag{i}', drive(pairs[2 * i : 2 * i + 2])) for i in range(8)]


def test_two_workers_over_eight_bags_give_the_single_process_report(cluster, tiny_bundle, bags, tmp_path):
    alone = _replay(tiny_bundle, bags, tmp_path / 'alone')
    spread = _replay(tiny_bundle, bags, tmp_path / 'spread', '--ray', 'local')
    assert spread == alone and spread['frames'] == 2 * len(bags)


def _job_whose_worker_dies_once(job: replay_job.Job) -> replay_job.JobResult:
    """Stands for ``do_job``: the first try kills its own process after two frames are on the disk."""
    mark = Path(job.out).with_suffix('.died')
    replay_job.FRAMES_PER_FILE = 1
    if not mark.exists() and job.name == 'bag1':
        mark.touch()
        commit = replay_job.Journal.commit

        def last(self, *args):
            commit(self, *args)
            os.kill(os.getpid(), signal.SIGKILL)

        replay_job.Journal.commit = last
    return fleet_do_job(job)


fleet_do_job = fleet.do_job


def test_worker_killed_in_its_work_changes_nothing(cluster, tiny_bundle, bags, monkeypatch, tmp_path):
    alone = _replay(tiny_bundle, bags, tmp_path / 'alone')
    monkeypatch.setattr(fleet, 'do_job', _job_whose_worker_dies_once)
    spread = _replay(tiny_bundle, bags, tmp_path / 'spread', '--ray', 'local')
    assert (tmp_path / 'spread' / 'bag1.died').exists()
    assert spread == alone and spread['frames'] == 2 * len(bags)


def test_bad_bag_is_listed_and_the_others_are_done(cluster, tiny_bundle, bags, tmp_path):
    (tmp_path / 'broken.mcap').write_text('nothing')
    good = replay_job.Job('good', str(bags[0]), str(tiny_bundle.path), str(tmp_path / 'good'), (TOPIC,), threads=1)
    bad = replace(good, name='broken', bag=str(tmp_path / 'broken.mcap'), out=str(tmp_path / 'bad'))
    results, failed = fleet.run_on_ray([bad, good], 'local', print)
    assert [len(r.records) for r in results] == [2]
    assert 'not a bag' in failed['broken']


def test_a_worker_opens_another_pipeline_for_another_job(monkeypatch):
    opened, closed = [], []

    def pipeline(job):
        opened.append(job)
        return SimpleNamespace(job=job, close=lambda: closed.append(job))

    monkeypatch.setattr(fleet, '_pipelines', {})
    monkeypatch.setattr(replay_job.Job, 'open_pipeline', pipeline)
    monkeypatch.setattr(fleet, 'run_job', lambda job, pipelines, observer: pipelines[0].job)
    job = replay_job.Job('a', '', 'm', '', ())
    jobs = [replace(job, **change) for change in ({}, {'precision': 'fp32'}, {'threads': 2}, {'input_size': (64, 96)})]
    assert [fleet.do_job(wanted) for wanted in jobs] == jobs == opened
    assert closed == jobs[:3]
