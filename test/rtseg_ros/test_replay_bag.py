# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import errno
import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import CliRunner, Result
from recordings import FRAME_ID, PERIOD_NS, START_NS, Entry, drive, frames, png, write_bag

from rtseg_models.bundle import Bundle
from rtseg_models.datasets import Sample
from rtseg_models.engine import NonFiniteLogits, Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.evaluation import evaluate
from rtseg_models.labels import CAMVID, CITYSCAPES
from rtseg_models.metrics import ConfusionMatrix
from rtseg_ros.bag import Bag, MaskBagWriter
from rtseg_ros.image_codec import decode_image
from rtseg_ros.replay import job as replay_job
from rtseg_ros.replay.command import main
from rtseg_ros.report import TIME_KEYS
from rtseg_ros.reporting.measures import mask_digest

TOPIC, LABELS, MASK = '/camera/image_raw', '/camera/label', '/segmentation/mask'
COUNT = 9


@pytest.fixture(scope='module')
def pairs():
    return frames(COUNT)


@pytest.fixture(scope='module')
def bundle(tiny_bundle) -> Bundle:
    return tiny_bundle


@pytest.fixture(scope='module')
def bag(pairs, tmp_path_factory) -> Path:
    return write_bag(tmp_path_factory.mktemp('bags') / 'drive', [*drive(pairs), Entry('/chatter', 0, 'hi', START_NS)])


@pytest.fixture
def replay(bundle, tmp_path):
    """Runs the command; the output is tmp_path/<out>."""

    def run(*arguments, out: str = 'out', topic=TOPIC) -> Result:
        fixed = ['--out', str(tmp_path / out), '--model', str(bundle.path)]
        fixed += ['--topic', topic] if topic else []
        fixed += ['--threads', '1']
        result = CliRunner().invoke(main, [*map(str, arguments), *fixed])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result

    return run


@pytest.fixture
def expected(bundle, pairs) -> list[np.ndarray]:
    """The labels that the pipeline gives for each frame by itself."""
    pipeline = Pipeline(bundle, options=Options(threads=1))
    labels = [pipeline(rgb).labels for rgb, _ in pairs]
    assert all(len(np.unique(mask)) > 2 for mask in labels)
    return labels


def report(folder: Path) -> dict:
    return json.loads((folder / 'report.json').read_text(), parse_constant=pytest.fail)


def timeless(folder: Path) -> dict:
    """The report without what depends on when and where, and without paths."""
    facts = {k: v for k, v in report(folder).items() if k not in TIME_KEYS}
    facts['source'] = {k: v for k, v in facts['source'].items() if k != 'bag_paths'}
    return facts


def masks(folder: Path, topic: str = MASK) -> list:
    with Bag(folder / 'masks') as opened:
        return [(r.stamp_ns, r.frame_id, decode_image(r.message)) for r in opened.images([topic])]


def test_masks_are_those_of_the_pipeline_under_the_images_stamps(replay, bag, expected, tmp_path):
    assert replay(bag, '--outputs', 'mask,color,overlay').exit_code == 0
    written = masks(tmp_path / 'out')
    assert [(s, f) for s, f, _ in written] == [(START_NS + i * PERIOD_NS, FRAME_ID) for i in range(COUNT)]
    assert all(np.array_equal(image[:, :, 0], labels) for (_, _, image), labels in zip(written, expected))
    for topic in ('/segmentation/color_mask', '/segmentation/overlay'):
        assert len(masks(tmp_path / 'out', topic)) == COUNT
    with Bag(bag) as source, Bag(tmp_path / 'out' / 'masks') as result:
        times = [[r.record_time_ns for r in b.images([t])] for b, t in ((source, TOPIC), (result, MASK))]
    assert times[0] == times[1]
    facts = report(tmp_path / 'out')
    assert {r['stamp_ns']: r['sha256'] for r in facts['per_frame']} == {
        START_NS + i * PERIOD_NS: mask_digest(labels) for i, labels in enumerate(expected)
    }
    assert facts['settings']['threads'] == 1 and facts['miou'] is None


def test_two_runs_are_equal_but_for_time(replay, bag, tmp_path):
    for out in ('a', 'b'):
        assert replay(bag, '--ground-truth-topic', LABELS, out=out).exit_code == 0
    assert timeless(tmp_path / 'a') == timeless(tmp_path / 'b')
    assert (tmp_path / 'a' / 'masks' / 'masks_0.mcap').read_bytes() == (
        tmp_path / 'b' / 'masks' / 'masks_0.mcap'
    ).read_bytes()


@pytest.mark.parametrize('source', ('topic', 'stamps', 'seconds', 'frames'))
def test_ground_truth_equals_a_direct_evaluation(source, replay, bag, pairs, expected, tmp_path):
    names = {
        'stamps': lambda i: str(START_NS + i * PERIOD_NS),
        'seconds': lambda i: f'{(START_NS + i * PERIOD_NS) // 10**9}.{(START_NS + i * PERIOD_NS) % 10**9:09d}',
        'frames': lambda i: f'frame_{i:04d}',
    }
    option = ['--ground-truth-topic', LABELS]
    if source != 'topic':
        (tmp_path / 'labels').mkdir()
        for i, (_, label) in enumerate(pairs):
            cv2.imwrite(str(tmp_path / 'labels' / f'{names[source](i)}.png'), label)
        option = ['--ground-truth', tmp_path / 'labels']
    assert replay(bag, *option).exit_code == 0
    matrix = ConfusionMatrix(11, 11)
    for (_, label), labels in zip(pairs, expected):
        matrix.update(label, labels)
    facts = report(tmp_path / 'out')
    assert facts['confusion'] == matrix.counts.tolist()
    assert list(facts['iou'].values()) == [None if v != v else v for v in matrix.iou().tolist()]
    assert facts['miou'] == matrix.miou() and facts['truth_frames'] == COUNT


class _Drive:
    """The frames as the dataset that ``rtseg evaluate`` would be given."""

    class_set = CAMVID

    def __init__(self, pairs) -> None:
        self._pairs = pairs

    def __len__(self) -> int:
        return len(self._pairs)

    def __getitem__(self, index: int) -> Sample:
        return Sample(str(index), *self._pairs[index])


def test_figures_are_those_of_the_evaluation(replay, bag, bundle, pairs, tmp_path):
    assert replay(bag, '--ground-truth-topic', LABELS).exit_code == 0
    facts = report(tmp_path / 'out')
    direct = evaluate(Pipeline(bundle, options=Options(threads=1)), _Drive(pairs)).to_json()
    for key in ('miou', 'iou', 'pixel_accuracy', 'confusion', 'frames'):
        assert facts[key] == direct[key], key


def test_labels_may_come_long_before_or_after_their_images(replay, pairs, tmp_path):
    entries = drive(pairs)
    shifted = [
        Entry(e.topic, e.stamp_ns, e.image, e.record_time_ns + (5 if i % 4 == 1 else -5) * 10**9)
        if e.topic == LABELS
        else e
        for i, e in enumerate(entries)
    ]
    path = write_bag(tmp_path / 'shifted', shifted)
    assert replay(path, '--ground-truth-topic', LABELS).exit_code == 0
    assert report(tmp_path / 'out')['truth_frames'] == COUNT


def test_classes_are_mapped_by_name_and_the_rest_is_listed(replay, bag, pairs, expected, tmp_path):
    to_cityscapes = {n: i for i, n in enumerate(CITYSCAPES.names)}
    table = np.full(256, 255, np.uint8)
    camvid = ['sky', 'building', 'pole', 'road', None, None, None, 'fence', 'car', None, None]
    for i, name in enumerate(camvid):
        table[i] = to_cityscapes[name] if name else to_cityscapes['rider']
    table[11] = 255
    (tmp_path / 'labels').mkdir()
    for i, (_, label) in enumerate(pairs):
        cv2.imwrite(str(tmp_path / 'labels' / f'{i}.png'), table[label])
    assert replay(bag, '--ground-truth', tmp_path / 'labels', '--ground-truth-classes', 'cityscapes').exit_code == 0
    facts = report(tmp_path / 'out')
    assert 'rider' in facts['unmapped'] and 'road' not in facts['unmapped']
    assert facts['iou']['tree'] is None and facts['iou']['road'] is not None
    matrix = ConfusionMatrix(11, 11)
    for (_, label), labels in zip(pairs, expected):
        known = np.isin(label, [i for i, n in enumerate(camvid) if n])
        matrix.update(np.where(known, label, 255).astype(np.uint8), labels)
    assert facts['confusion'] == matrix.counts.tolist()


def test_class_set_from_a_file(replay, bag, bundle, tmp_path):
    rows = [{'id': i, 'name': n.upper().replace('_', '-')} for i, n in enumerate(bundle.card.class_names)]
    (tmp_path / 'classes.json').write_text(json.dumps({'classes': rows, 'ignore_id': 11}))
    options = ['--ground-truth-topic', LABELS, '--ground-truth-classes', tmp_path / 'classes.json']
    assert replay(bag, *options).exit_code == 0
    assert replay(bag, '--ground-truth-topic', LABELS, out='own').exit_code == 0
    assert report(tmp_path / 'out')['confusion'] == report(tmp_path / 'own')['confusion']


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


def test_several_topics_and_compressed_images(replay, pairs, tmp_path):
    entries = drive(pairs[:3])
    entries += [
        Entry('/rear/jpeg', e.stamp_ns, png(e.image), e.record_time_ns + 1) for e in entries if e.topic == TOPIC
    ]
    path = write_bag(tmp_path / 'two', entries)
    assert replay(path, '--topic', '/rear/jpeg').exit_code == 0
    facts = report(tmp_path / 'out')
    first, second = '/segmentation/camera/image_raw/mask', '/segmentation/rear/jpeg/mask'
    assert set(facts['mask_sha256']) == {first, second}
    assert facts['mask_sha256'][first] == facts['mask_sha256'][second]  # PNG loses nothing


def test_several_bags_merge_exactly(replay, pairs, tmp_path):
    whole = write_bag(tmp_path / 'whole', drive(pairs))
    entries = drive(pairs)
    parts = [write_bag(tmp_path / n, e) for n, e in (('one', entries[:10]), ('two', entries[10:]))]
    assert replay(whole, '--ground-truth-topic', LABELS, out='a').exit_code == 0
    assert replay(*parts, '--ground-truth-topic', LABELS, out='b').exit_code == 0
    one, two = report(tmp_path / 'a'), report(tmp_path / 'b')
    for key in ('miou', 'iou', 'confusion', 'frames', 'mask_sha256', 'label_share', 'pixel_accuracy'):
        assert one[key] == two[key], key
    assert (tmp_path / 'b' / 'one' / 'masks' / 'metadata.yaml').is_file()


def test_a_bad_bag_among_several_is_listed_and_the_others_are_done(replay, bag, tmp_path):
    (tmp_path / 'broken.mcap').write_text('nothing')
    result = replay(bag, tmp_path / 'broken.mcap')
    assert result.exit_code == 1
    facts = report(tmp_path / 'out')
    assert facts['frames'] == COUNT and 'broken' in facts['faults'][0]


def test_frames_that_do_not_decode_are_dropped_by_reason(replay, pairs, tmp_path):
    entries = [e for e in drive(pairs[:5]) if e.topic == TOPIC]
    faults = ({}, {'encoding': '32FC7'}, {'step': 5}, {'height': 0})
    entries = [Entry(e.topic, e.stamp_ns, e.image, e.record_time_ns, f) for e, f in zip(entries, [*faults, {}])]
    result = replay(write_bag(tmp_path / 'odd', entries))
    assert result.exit_code == 1
    facts = report(tmp_path / 'out')
    assert facts['dropped'] == {'bad_encoding': 1, 'bad_size': 2} and facts['frames'] == 2
    assert [r['index'] for r in facts['per_frame'] if 'dropped' in r] == [1, 2, 3]


def test_bag_cut_short_is_replayed_as_far_as_it_goes(replay, pairs, expected, tmp_path):
    rng = np.random.default_rng(1)
    big = [(rng.integers(0, 256, (500, 600, 3), np.uint8), p[1]) for p in pairs[:4]]
    path = write_bag(tmp_path / 'cut', drive(big))
    file = path / 'cut.mcap'
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    result = replay(path)
    assert result.exit_code == 1 and 'cut short' in result.stderr
    assert 0 < report(tmp_path / 'out')['frames'] < 4


@pytest.mark.parametrize(
    'make, status, said',
    (
        (lambda t: (t / 'absent',), 66, 'no such bag'),
        (lambda t: (t / 'text.mcap',), 65, 'not a bag'),
    ),
)
def test_what_is_no_bag_ends_with_its_status(make, status, said, replay, tmp_path):
    (tmp_path / 'text.mcap').write_text('nothing')
    result = replay(*make(tmp_path))
    assert result.exit_code == status and said in result.stderr
    assert not (tmp_path / 'out' / 'report.json').exists()


def test_wrong_topics_list_the_image_topics(replay, bag):
    for topic, status in (('/absent', 66), ('/chatter', 65), (None, 2)):
        result = replay(bag, topic=topic)
        assert result.exit_code == status and '/camera/image_raw, /camera/label' in ' '.join(result.stderr.split())


def test_ground_truth_that_matches_no_frame_is_an_error_status(replay, bag, tmp_path):
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / '1500000000000000000.png'), np.zeros((72, 104), np.uint8))
    result = replay(bag, '--ground-truth', tmp_path / 'labels')
    assert result.exit_code == 1 and 'no frame found its ground truth' in result.stderr
    assert report(tmp_path / 'out')['frames'] == COUNT


def test_some_frames_without_ground_truth_are_counted(replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / '2.png'), pairs[2][1])
    cv2.imwrite(str(tmp_path / 'labels' / '3.png'), pairs[3][1][:50])
    assert replay(bag, '--ground-truth', tmp_path / 'labels').exit_code == 0
    facts = report(tmp_path / 'out')
    assert facts['truth_frames'] == 1 and facts['notes'] == [
        f'{COUNT - 1} of {COUNT} frames have no ground truth and count for none'
    ]


def test_ground_truth_with_strange_ids_ends_with_their_list(replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    label = pairs[0][1].copy()
    label[0, 0], label[0, 1] = 33, 21
    cv2.imwrite(str(tmp_path / 'labels' / '0.png'), label)
    result = replay(bag, '--ground-truth', tmp_path / 'labels')
    assert result.exit_code == 65 and '[21, 33]' in result.stderr


def test_command_lines_that_make_no_sense(replay, bag, tmp_path):
    for arguments, said in (
        ((), 'nothing to do'),
        ((bag, '--start', '3', '--end', '2'), 'not after'),
        ((bag, '--outputs', 'mask,depth'), 'unknown depth'),
        ((bag, '--ground-truth', tmp_path, '--ground-truth-topic', LABELS), 'exclude'),
        ((bag, '--ground-truth-topic', LABELS, '--ground-truth-classes', 'mapillary'), 'mapillary'),
        ((bag, '--input-size', '512'), '512x1024'),
    ):
        result = replay(*arguments, out=f'o{len(said)}')
        assert result.exit_code in (2, 66) and said in ' '.join(result.stderr.split()), (arguments, result.stderr)


def test_labels_named_by_frame_are_refused_where_that_is_ambiguous(replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / '0.png'), pairs[0][1])
    for more in (('--topic', LABELS), ('--start', '0.2'), (bag,)):
        result = replay(bag, '--ground-truth', tmp_path / 'labels', *more)
        assert result.exit_code == 2 and 'name them by stamp' in ' '.join(result.stderr.split())


def test_bags_of_one_name_are_told_apart(replay, pairs, tmp_path):
    bags = [write_bag(tmp_path / place / 'drive', drive(pairs[:2])) for place in ('monday', 'tuesday')]
    assert replay(*bags).exit_code == 0
    assert report(tmp_path / 'out')['source']['bags'] == ['drive-1', 'drive-2']
    assert (tmp_path / 'out' / 'drive-2' / 'masks' / 'metadata.yaml').is_file()


def test_network_failure_drops_the_frame(replay, bag, pairs, monkeypatch, tmp_path):
    call = Pipeline.__call__

    def failing(self, rgb, **options):
        if np.array_equal(rgb, pairs[4][0]):
            raise NonFiniteLogits('NaN')
        return call(self, rgb, **options)

    monkeypatch.setattr(Pipeline, '__call__', failing)
    assert replay(bag).exit_code == 1
    assert report(tmp_path / 'out')['dropped'] == {'failed': 1}
