# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import fcntl
import resource
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from recordings import drive, write_bag
from replays import COUNT, LABELS, TOPIC, masks, report, timeless

from rtseg_models.errors import BundleError, UsageError
from rtseg_ros.bag import MaskBagWriter
from rtseg_ros.replay import job as replay_job
from rtseg_ros.replay import plan
from rtseg_ros.replay.journal import Journal
from rtseg_ros.replay.truth import TruthSpec
from rtseg_ros.reporting.measures import FrameRecord
from rtseg_ros.startup import INTERRUPTED


def test_resume_after_a_full_disk_gives_the_uninterrupted_result(replay, bag, monkeypatch, tmp_path):
    monkeypatch.setattr(replay_job, 'FRAMES_PER_FILE', 2)
    assert replay(bag, '--ground-truth-topic', LABELS, out='whole').exit_code == 0
    written = []
    write = MaskBagWriter.write

    def full(self, *args, **kwargs):
        written.append(args)
        if len(written) == 6:
            raise OSError(errno.ENOSPC, 'No space left on device')
        write(self, *args, **kwargs)

    monkeypatch.setattr(MaskBagWriter, 'write', full)
    first = replay(bag, '--ground-truth-topic', LABELS)
    assert first.exit_code == 70 and 'No space left' in first.stderr and '--resume' in first.stderr
    assert not (tmp_path / 'out' / 'report.json').exists()
    assert replay(bag, '--ground-truth-topic', LABELS).exit_code == 2  # never overwritten unasked
    del written[:]
    monkeypatch.setattr(MaskBagWriter, 'write', lambda *a, **k: (written.append(a), write(*a, **k)))
    assert replay(bag, '--ground-truth-topic', LABELS, '--resume').exit_code == 0
    assert len(written) == COUNT - 4
    assert timeless(tmp_path / 'out') == timeless(tmp_path / 'whole')
    assert [s for s, _, _ in masks(tmp_path / 'out')] == [s for s, _, _ in masks(tmp_path / 'whole')]


def test_a_file_of_masks_ends_at_so_many_bytes_too(replay, bag, pairs, monkeypatch, tmp_path):
    monkeypatch.setattr(replay_job, 'BYTES_PER_FILE', 2 * pairs[0][1].size)  # two masks exceed it by their headers
    assert replay(bag).exit_code == 0
    assert len(list((tmp_path / 'out' / 'masks').glob('*.mcap'))) == -(-COUNT // 2)


def test_asked_to_stop_it_keeps_every_measured_frame(replay, bag, monkeypatch, tmp_path):
    from rtseg_ros.replay.command import Follower

    answers = iter([False] * 3 + [True])
    monkeypatch.setattr(Follower, 'wants_stop', lambda self: next(answers))
    stopped = replay(bag)
    assert stopped.exit_code == 130 and '4 frames' in stopped.stderr
    monkeypatch.undo()
    assert replay(bag, out='whole').exit_code == 0
    assert replay(bag, '--resume').exit_code == 0
    assert timeless(tmp_path / 'out') == timeless(tmp_path / 'whole')
    rates = [report(tmp_path / name)['pipeline_fps'] for name in ('whole', 'out')]
    assert rates[0] > 0 and rates[1] is None  # measured at another time than the frames


@pytest.mark.parametrize('number, status', ((signal.SIGTERM, INTERRUPTED), (signal.SIGKILL, -signal.SIGKILL)))
def test_process_ended_in_its_work_goes_on_where_it_was(number, status, replay, bundle, pairs, tmp_path):
    long = write_bag(tmp_path / 'long', drive(pairs * 40))
    options = ['--topic', TOPIC, '--model', bundle.path, '--threads', 1, '--out', tmp_path / 'out']
    command = [sys.executable, '-m', 'rtseg_ros.replay_bag', long, *options]
    with subprocess.Popen(list(map(str, command)), cwd=Path(__file__).parents[3], stderr=subprocess.PIPE) as process:
        while process.poll() is None and not (tmp_path / 'out' / 'masks' / '.unfinished').exists():
            time.sleep(0.01)
        process.send_signal(number)
        process.communicate(timeout=60)
    assert process.returncode == status and not (tmp_path / 'out' / 'report.json').exists()
    assert replay(long, '--resume').exit_code == 0
    assert replay(long, out='whole').exit_code == 0
    assert timeless(tmp_path / 'out') == timeless(tmp_path / 'whole')


def test_torn_journal_line_counts_as_never_written(replay, bag, monkeypatch, tmp_path):
    monkeypatch.setattr(replay_job, 'FRAMES_PER_FILE', 3)
    assert replay(bag, out='whole').exit_code == 0
    shutil.copytree(tmp_path / 'whole', tmp_path / 'out')
    journal = tmp_path / 'out' / 'journal.jsonl'
    journal.write_bytes(journal.read_bytes()[: journal.stat().st_size * 3 // 4])
    assert replay(bag, '--resume').exit_code == 0
    assert timeless(tmp_path / 'out') == timeless(tmp_path / 'whole')
    assert len(masks(tmp_path / 'out')) == COUNT


def test_resume_of_a_finished_replay_does_nothing_again(replay, bag, monkeypatch, tmp_path):
    assert replay(bag).exit_code == 0
    before = timeless(tmp_path / 'out')
    monkeypatch.setattr(replay_job, '_replay', lambda *a: pytest.fail('done again'))
    assert replay(bag, '--resume').exit_code == 0
    assert timeless(tmp_path / 'out') == before


def test_resume_refuses_other_settings(replay, bag, tmp_path):
    assert replay(bag).exit_code == 0
    result = replay(bag, '--resume', '--stride', 2)
    assert result.exit_code == 2 and 'stride was 1 and is 2' in result.stderr


def test_resume_refuses_the_folder_of_other_bags(replay, bag, pairs, tmp_path):
    second, third = (write_bag(tmp_path / name, drive(pairs[:2])) for name in ('second', 'third'))
    assert replay(bag, out='one').exit_code == replay(bag, second, out='two').exit_code == 0
    before = (tmp_path / 'one' / 'report.json').read_bytes()
    for bags, out in (((second, third), 'one'), ((bag, second), 'one'), ((bag,), 'two')):
        result = replay(*bags, '--resume', out=out)
        assert result.exit_code == 2 and 'not overwritten' in ' '.join(result.stderr.split()), (bags, out)
    assert (tmp_path / 'one' / 'report.json').read_bytes() == before
    assert replay(bag, second, third, '--resume', out='two').exit_code == 0
    assert len(report(tmp_path / 'two')['source']['bags']) == 3


def test_write_that_the_system_refuses_keeps_what_is_finished(replay, pairs, monkeypatch, tmp_path):
    """A limit on file sizes stands for the full disk: the third file of masks and overlays does not fit."""
    rng = np.random.default_rng(2)
    flat, noise = np.zeros_like(pairs[0][0]), rng.integers(0, 256, (4, *pairs[0][0].shape), np.uint8)
    bag = write_bag(tmp_path / 'growing', drive([(rgb, rgb[:, :, 0]) for rgb in (*[flat] * 4, *noise)]))
    monkeypatch.setattr(replay_job, 'FRAMES_PER_FILE', 2)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (30_000, limits[1]))
    try:
        stopped = replay(bag, '--outputs', 'mask,overlay')
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert stopped.exit_code == 70 and 'File too large' in stopped.stderr and '--resume' in stopped.stderr
    assert sorted(p.name for p in (tmp_path / 'out' / 'masks').iterdir()) == ['masks_0.mcap', 'masks_1.mcap']
    assert not (tmp_path / 'out' / 'report.json').exists()
    kept = (tmp_path / 'out' / 'masks' / 'masks_0.mcap').stat()
    assert replay(bag, '--outputs', 'mask,overlay', '--resume').exit_code == 0
    assert (tmp_path / 'out' / 'masks' / 'masks_0.mcap').stat().st_mtime_ns == kept.st_mtime_ns
    assert replay(bag, '--outputs', 'mask,overlay', out='whole').exit_code == 0
    assert timeless(tmp_path / 'out') == timeless(tmp_path / 'whole')


def test_resume_leaves_the_masks_of_others_alone(replay, bag, tmp_path):
    foreign = tmp_path / 'out' / 'masks' / 'masks_0.mcap'
    foreign.parent.mkdir(parents=True)
    foreign.write_text('of a demo')
    for _ in range(2):
        result = replay(bag, '--resume')
        assert result.exit_code == 2 and 'no replay wrote it' in ' '.join(result.stderr.split())
    assert foreign.read_text() == 'of a demo'


@pytest.mark.parametrize(
    'change',
    [{'start_s': 1.0}, {'end_s': 2.0}, {'stride': 2}, {'topics': ('/other',)}, {'outputs': ('mask', 'color')},
     {'truth': TruthSpec(topic='/label')}],
)  # fmt: skip
def test_a_job_is_told_from_one_with_another_setting(tmp_path, change):
    job = one_job(tmp_path)
    assert replay_job._identity(replace(job, **change), {}, 'a') != replay_job._identity(job, {}, 'a')


def test_a_job_is_told_from_one_whose_labels_are_named_by_other_classes(tmp_path):
    specs = [TruthSpec(topic='/label', classes=classes) for classes in ('', 'camvid', 'cityscapes')]
    known = [replay_job._identity(replace(one_job(tmp_path), truth=spec), {}, 'a') for spec in specs]
    assert all(a != b for i, a in enumerate(known) for b in known[:i])


def test_a_job_is_told_from_one_of_other_weights_arithmetic_or_recording(tmp_path):
    job = one_job(tmp_path)
    known = replay_job._identity(job, {}, 'a')
    assert replay_job._identity(job, {}, 'b') != known
    assert replay_job._identity(job, {'precision': 'fp32'}, 'a') != known
    Path(job.bag).write_bytes(b'12')
    assert replay_job._identity(job, {}, 'a') != known
    known = replay_job._identity(job, {}, 'a')
    Path(f'{job.bag}-wal').write_bytes(b'1')
    assert replay_job._identity(job, {}, 'a') != known


def test_a_job_is_told_from_one_whose_labels_or_software_changed_since(tmp_path, monkeypatch):
    (tmp_path / 'labels').mkdir()
    (tmp_path / 'labels' / 'frame_0.png').write_bytes(b'damaged')
    (tmp_path / 'classes.json').write_text('{}')
    spec = TruthSpec.of(None, tmp_path / 'labels', str(tmp_path / 'classes.json'))
    job = replace(one_job(tmp_path), truth=spec)
    known = [replay_job._identity(job, {}, 'a')]
    assert replay_job._identity(job, {}, 'a') == known[0]
    (tmp_path / 'labels' / 'frame_0.png').write_bytes(b'repaired')
    known.append(replay_job._identity(job, {}, 'a'))
    (tmp_path / 'classes.json').write_text('{"classes": []}')
    known.append(replay_job._identity(job, {}, 'a'))
    monkeypatch.setattr(replay_job, 'versions', lambda names: dict.fromkeys(names, '99'))
    known.append(replay_job._identity(job, {}, 'a'))
    assert all(a != b for i, a in enumerate(known) for b in known[:i])


def one_job(folder):
    bag = folder / 'drive.mcap'
    bag.write_bytes(b'1')
    return replay_job.Job('drive', str(bag), 'm', str(folder), ('/image',))


def test_the_journal_adds_up_the_time_of_all_its_batches(tmp_path):
    journal = Journal(tmp_path, {})
    for wall_s in (2.0, 3.0):
        journal.commit([], 1, wall_s)
    journal.close()
    again = Journal(tmp_path, {})
    again.close()
    assert again.wall_s == 5.0


def test_a_line_without_its_newline_counts_as_never_written(tmp_path):
    frames = [FrameRecord('drive', '/mask', i, '', i) for i in range(3)]
    journal = Journal(tmp_path, {})
    for number, frame in enumerate(frames[:2], 1):
        journal.commit([frame], number, 1.0)
    journal.close()
    journal.path.write_bytes(journal.path.read_bytes()[:-1])
    again = Journal(tmp_path, {})
    assert (again.records, again.files) == (frames[:1], 1)
    for number, frame in enumerate(frames[1:], 2):
        again.commit([frame], number, 1.0)
    again.close()
    last = Journal(tmp_path, {})
    last.close()
    assert (last.records, last.files) == (frames, 3)


@pytest.mark.parametrize(
    'line', ('5', 'null', '"file"', '[]', '{"file": 1}', '{"file": "x", "wall_s": 1}', '{"bag": "a"}', '{"done": {}}')
)
def test_a_journal_line_of_another_version_is_refused(line, tmp_path):
    (tmp_path / 'journal.jsonl').write_text(f'{{"a":1}}\n{line}\n')
    with pytest.raises(BundleError, match='line 2 is nothing that this version writes'):
        Journal(tmp_path, {'a': 1})
    assert (tmp_path / 'journal.jsonl').read_text() == f'{{"a":1}}\n{line}\n'


@pytest.mark.parametrize('line', (b'notes of mine\n', b'\xff\n', b'5\n'))
def test_what_begins_like_no_journal_is_left_alone(line, tmp_path):
    (tmp_path / 'journal.jsonl').write_bytes(line)
    with pytest.raises(BundleError, match='not the journal of a replay'):
        Journal(tmp_path, {'a': 1})
    assert (tmp_path / 'journal.jsonl').read_bytes() == line


def test_a_replay_under_way_is_left_alone(replay, bag, tmp_path):
    assert replay(bag).exit_code == 0
    before = {p: p.read_bytes() for p in (tmp_path / 'out').rglob('*') if p.is_file()}
    with (tmp_path / 'out' / 'journal.jsonl').open('ab') as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        result = replay(bag, '--resume')
        assert result.exit_code == 2 and 'another replay is writing here' in ' '.join(result.stderr.split())
    assert {p: p.read_bytes() for p in (tmp_path / 'out').rglob('*') if p.is_file()} == before
    assert replay(bag, '--resume').exit_code == 0


def test_one_of_several_bags_that_is_being_replayed_refuses_the_command(replay, bag, tmp_path):
    other = shutil.copytree(bag, tmp_path / 'other')
    assert replay(bag, other).exit_code == 0
    report = (tmp_path / 'out' / 'report.json').read_bytes()
    with (tmp_path / 'out' / 'other' / 'journal.jsonl').open('ab') as journal:
        fcntl.flock(journal, fcntl.LOCK_EX)
        result = replay(bag, other, '--resume')
    assert result.exit_code == 2 and 'another replay is writing here' in ' '.join(result.stderr.split())
    assert (tmp_path / 'out' / 'report.json').read_bytes() == report


def test_a_journal_is_free_again_once_closed_or_refused(tmp_path):
    journal = Journal(tmp_path, {'a': 1})
    with pytest.raises(UsageError, match='another replay'):
        Journal(tmp_path, {'a': 1})
    journal.close()
    with pytest.raises(UsageError, match='a was 1 and is 2'):
        Journal(tmp_path, {'a': 2})
    Journal(tmp_path, {'a': 1}).close()


def test_a_file_system_without_locks_is_written_to(tmp_path, monkeypatch):
    def refuse(*_):
        raise OSError(errno.ENOLCK, 'No locks available')

    monkeypatch.setattr(fcntl, 'flock', refuse)
    Journal(tmp_path, {}).close()


def test_models_named_by_a_path_get_their_own_names(bag, monkeypatch, tmp_path):
    (tmp_path / 'nets' / 'small' / 'deep').mkdir(parents=True)
    (tmp_path / 'nets' / 'latest').symlink_to('small')
    monkeypatch.chdir(tmp_path / 'nets' / 'small' / 'deep')
    truth = {'ground_truth_topic': None, 'ground_truth': None, 'ground_truth_classes': ''}
    settings = {'outputs': 'mask', 'start_s': 0.0, 'end_s': None, 'networks': 1, 'threads': 1}
    models = ['erfnet-camvid', '.', '..', str(tmp_path / 'nets' / 'latest')]
    jobs = plan.plan([bag], [TOPIC], models, Path('out'), **truth, **settings)
    places = [todo[0].out for todo in jobs.values()]
    assert list(jobs) == models and places == ['out/erfnet-camvid', 'out/deep', 'out/small', 'out/latest']


def test_numbered_names_stay_apart_from_given_ones():
    assert plan._told_apart(['drive', 'drive', 'drive-1']) == ['drive-2', 'drive-3', 'drive-1']
