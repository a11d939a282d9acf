# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import sqlite3
from dataclasses import replace

import cv2
import numpy as np
import pytest
from recordings import PERIOD_NS, START_NS, Entry, drive, frames, png, write_bag
from replays import COUNT, LABELS, TOPIC, report

from rtseg_models.datasets import Sample
from rtseg_models.engine import Pipeline
from rtseg_models.engine.backends import Options
from rtseg_models.errors import BundleError
from rtseg_models.evaluation import evaluate
from rtseg_models.labels import CAMVID, CITYSCAPES
from rtseg_models.metrics import ConfusionMatrix
from rtseg_ros.bag import Bag
from rtseg_ros.replay import truth
from rtseg_ros.replay.class_mapping import ClassMapping
from rtseg_ros.replay.compare import compare_runs


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
    by_miou = sorted(facts['per_frame'], key=lambda row: row['miou'])
    page = (tmp_path / 'out' / 'report.html').read_text()
    assert (
        f'Worst: drive, frame {by_miou[0]["index"]}<' in page and f'Best: drive, frame {by_miou[-1]["index"]}<' in page
    )


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


def test_stamps_that_step_back_keep_their_labels(replay, pairs, tmp_path, monkeypatch):
    monkeypatch.setattr(truth, 'LOOKAHEAD', 2)  # as if the bag had hundreds of frames
    back_ns = 3600 * 10**9
    stepped = [replace(e, stamp_ns=e.stamp_ns - (i >= 8) * back_ns) for i, e in enumerate(drive(pairs))]
    path = write_bag(tmp_path / 'stepped', stepped)
    assert replay(path, '--ground-truth-topic', LABELS, '--stride', '2').exit_code == 0
    assert report(tmp_path / 'out')['truth_frames'] == -(-COUNT // 2)


def test_a_frame_without_a_label_costs_no_other_its_own(replay, pairs, tmp_path, monkeypatch):
    """Nor does it where a clock that was set back makes its stamp look like none of those to come."""
    monkeypatch.setattr(truth, 'LOOKAHEAD', 2)
    back_ns = 3600 * 10**9
    entries = [replace(e, stamp_ns=e.stamp_ns - (i >= 8) * back_ns) for i, e in enumerate(drive(pairs))]
    labels = [e for e in entries if e.topic == LABELS]
    bare = labels[3].stamp_ns  # the last before the step back
    path = write_bag(tmp_path / 'bare', [e for e in entries if e.topic != LABELS or e.stamp_ns != bare])
    assert replay(path, '--ground-truth-topic', LABELS).exit_code == 0
    assert report(tmp_path / 'out')['truth_frames'] == COUNT - 1


def test_labels_recorded_behind_all_images_are_found_whatever_is_left_out(replay, pairs, tmp_path, monkeypatch):
    """As a labelling tool appends them. The labels of frames that nobody asks for must not fill the look ahead."""
    monkeypatch.setattr(truth, 'LOOKAHEAD', 2)  # as if the bag had hundreds of frames
    late_ns = 3600 * 10**9
    appended = [replace(e, record_time_ns=e.record_time_ns + late_ns * (e.topic == LABELS)) for e in drive(pairs)]
    path = write_bag(tmp_path / 'appended', appended)
    assert replay(path, '--ground-truth-topic', LABELS, '--stride', '4').exit_code == 0
    assert report(tmp_path / 'out')['truth_frames'] == -(-COUNT // 4)


def test_images_without_stamp_have_no_ground_truth_by_topic(replay, pairs, tmp_path):
    path = write_bag(tmp_path / 'unstamped', [replace(e, stamp_ns=0) for e in drive(pairs)])
    result = replay(path, '--ground-truth-topic', LABELS)
    assert result.exit_code == 1 and report(tmp_path / 'out')['truth_frames'] == 0


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
    compare_runs(tmp_path / 'out', tmp_path / 'out', tmp_path / 'compare')
    told = json.loads((tmp_path / 'compare' / 'compare.json').read_text())['iou']
    assert {name: figure['b'] for name, figure in told.items()} == facts['iou']
    assert told['tree']['delta'] is None and told['road']['delta'] == 0


def test_class_set_from_a_file(replay, bag, bundle, tmp_path):
    rows = [{'id': i, 'name': n.upper().replace('_', '-')} for i, n in enumerate(bundle.card.class_names)]
    (tmp_path / 'classes.json').write_text(json.dumps({'classes': rows, 'ignore_id': 11}))
    options = ['--ground-truth-topic', LABELS, '--ground-truth-classes', tmp_path / 'classes.json']
    assert replay(bag, *options).exit_code == 0
    assert replay(bag, '--ground-truth-topic', LABELS, out='own').exit_code == 0
    assert report(tmp_path / 'out')['confusion'] == report(tmp_path / 'own')['confusion']


def test_ground_truth_that_matches_no_frame_is_an_error_status(replay, bag, tmp_path):
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / '1500000000000000000.png'), np.zeros((72, 104), np.uint8))
    result = replay(bag, '--ground-truth', tmp_path / 'labels')
    assert result.exit_code == 1 and 'no frame found its ground truth' in result.stderr
    assert report(tmp_path / 'out')['frames'] == COUNT


def test_some_frames_without_ground_truth_are_counted(replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / '2.png'), pairs[2][1])
    assert replay(bag, '--ground-truth', tmp_path / 'labels').exit_code == 0
    facts = report(tmp_path / 'out')
    assert facts['truth_frames'] == 1 and facts['notes'] == [
        f'{COUNT - 1} of {COUNT} frames have no ground truth and count for none'
    ]
    assert facts['faults'] == [] and facts['per_frame'][3]['detail'] == 'no label image for frame 3'


@pytest.mark.parametrize(
    'label, said',
    (
        (
            np.zeros((72, 104, 3), np.uint8),
            'a label image has one 8-bit channel, this one is (72, 104, 3) uint8',
        ),
        (np.zeros((50, 104), np.uint8), 'the label is 50x104, the frame 72x104'),
    ),
)
def test_label_files_that_cannot_be_used_are_faults(label, said, replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    for i in range(COUNT - 1):
        cv2.imwrite(str(tmp_path / 'labels' / f'{i}.png'), label if i in (3, 5) else pairs[i][1])
    result = replay(bag, '--ground-truth', tmp_path / 'labels')
    assert result.exit_code == 1 and said in result.stderr
    facts = report(tmp_path / 'out')
    assert len(facts['faults']) == 1 and facts['faults'][0].endswith(said)
    assert facts['faults'][0].startswith(f'the labels of 2 of {COUNT} frames cannot be used')
    assert 'drive, frame 3: ' in facts['faults'][0] and facts['per_frame'][3]['detail'] in facts['faults'][0]
    assert facts['truth_frames'] == COUNT - 3
    assert facts['notes'] == [f'1 of {COUNT} frames have no ground truth and count for none']
    assert [r['index'] for r in facts['per_frame'] if 'detail' in r] == [3, 5, COUNT - 1]


@pytest.mark.parametrize('early_ns', (0, 5 * 10**9))
def test_label_messages_that_cannot_be_used_are_faults(early_ns, replay, pairs, tmp_path):
    entries = drive(pairs)
    bad = [i for i, e in enumerate(entries) if e.topic == LABELS][2]
    entries[bad] = replace(entries[bad], fields={'encoding': 'mono16'})
    entries = [replace(e, record_time_ns=e.record_time_ns - early_ns * (e.topic == LABELS)) for e in entries]
    result = replay(write_bag(tmp_path / 'drive', entries), '--ground-truth-topic', LABELS)
    assert result.exit_code == 1 and "label encoding is 'mono16'" in result.stderr
    facts = report(tmp_path / 'out')
    assert facts['truth_frames'] == COUNT - 1 and facts['notes'] == []
    assert facts['faults'][0].startswith(f'the labels of 1 of {COUNT} frames cannot be used')
    assert 'mono16' in facts['per_frame'][2]['detail']


def test_label_messages_that_cannot_be_read_are_faults(replay, pairs, tmp_path):
    path = write_bag(tmp_path / 'drive', drive(pairs), 'sqlite3')
    with sqlite3.connect(path / 'drive.db3') as database:
        database.execute(
            'UPDATE messages SET data = substr(data, 1, 30) WHERE id IN (SELECT m.id FROM messages m '
            f"JOIN topics t ON m.topic_id = t.id WHERE t.name = '{LABELS}' ORDER BY m.id LIMIT 2)"
        )
    result = replay(path, '--ground-truth-topic', LABELS)
    facts = report(tmp_path / 'out')
    assert result.exit_code == 1 and facts['truth_frames'] == COUNT - 2
    (fault,) = facts['faults']
    assert f'the labels: 2 messages of {LABELS} cannot be read' in fault and 'not a sensor_msgs/msg/Image' in fault


def test_damage_that_costs_labels_alone_is_a_fault(replay, tmp_path):
    late = [
        replace(e, record_time_ns=e.record_time_ns + 10**9 * (e.topic == LABELS)) for e in drive(frames(4, 600, 800))
    ]
    path = write_bag(tmp_path / 'drive', late, 'mcap_zstd')
    file = path / 'drive.mcap'
    content = bytearray(file.read_bytes())
    chunk = content.rfind(b'\x28\xb5\x2f\xfd')  # the last, which holds labels
    content[chunk : chunk + 64] = bytes(64)
    file.write_bytes(content)
    with Bag(path) as bag:
        assert len(list(bag.images([TOPIC]))) == 4 and not bag.faults
    result = replay(path, '--ground-truth-topic', LABELS)
    facts = report(tmp_path / 'out')
    assert result.exit_code == 1 and 0 < facts['truth_frames'] < 4
    assert 'the labels: ' in facts['faults'][0] and 'damaged' in facts['faults'][0]


def test_labels_named_by_frame_do_not_slide_behind_damage(replay, pairs, tmp_path):
    rng = np.random.default_rng(1)
    big = [(rng.integers(0, 256, (500, 600, 3), np.uint8), rng.integers(0, 11, (500, 600), np.uint8)) for _ in range(6)]
    path = write_bag(tmp_path / 'drive', [e for e in drive(big) if e.topic == TOPIC], 'mcap_zstd')
    file = path / 'drive.mcap'
    content = bytearray(file.read_bytes())
    chunk = content.find(b'\x28\xb5\x2f\xfd', len(content) // 6)
    content[chunk : chunk + 64] = bytes(64)
    file.write_bytes(content)
    (tmp_path / 'labels').mkdir()
    for i, (_, label) in enumerate(big):
        cv2.imwrite(str(tmp_path / 'labels' / f'{i}.png'), label)
    result = replay(path, '--ground-truth', tmp_path / 'labels')
    facts = report(tmp_path / 'out')
    before = [r for r in facts['per_frame'] if 'detail' not in r]
    assert result.exit_code == 1 and 0 < facts['truth_frames'] == len(before) < facts['frames'] < 6
    assert [(r['stamp_ns'] - START_NS) // PERIOD_NS for r in before] == list(range(len(before)))
    assert 'its frame number is not known; name the labels by stamp' in ' '.join(facts['faults'])


def test_ground_truth_with_strange_ids_ends_with_their_list(replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    label = pairs[0][1].copy()
    label[0, 0], label[0, 1] = 33, 21
    cv2.imwrite(str(tmp_path / 'labels' / '0.png'), label)
    result = replay(bag, '--ground-truth', tmp_path / 'labels')
    assert result.exit_code == 65 and '[21, 33]' in result.stderr


def test_ground_truth_topics_that_cannot_be_used_list_the_image_topics(replay, bag, tmp_path):
    for topic, status in (('/absent', 66), ('/chatter', 65)):
        result = replay(bag, '--ground-truth-topic', topic, out=topic.strip('/'))
        assert result.exit_code == status and '/camera/image_raw, /camera/label' in ' '.join(result.stderr.split())


@pytest.mark.parametrize(
    'colours, said',
    ((TOPIC, "label encoding is 'rgb8'"), ('/png', 'labels have one 8-bit channel'), ('/jpeg', 'smears label ids')),
)
def test_pictures_are_no_ground_truth(colours, said, replay, pairs, tmp_path):
    entries = drive(pairs[:2])
    entries += [Entry('/png', e.stamp_ns, png(e.image), e.record_time_ns) for e in entries if e.topic == TOPIC]
    jpeg = cv2.imencode('.jpg', pairs[0][1])[1].tobytes()
    entries += [Entry('/jpeg', e.stamp_ns, jpeg, e.record_time_ns) for e in entries if e.topic == TOPIC]
    result = replay(write_bag(tmp_path / 'drive', entries), '--ground-truth-topic', colours)
    assert result.exit_code == 1 and said in ' '.join(result.stderr.split())
    assert report(tmp_path / 'out')['frames'] == 2


def test_ground_truth_of_several_cameras_is_refused(replay, bag):
    result = replay(bag, '--ground-truth-topic', LABELS, '--topic', '/another')
    assert result.exit_code == 2 and 'one --topic at a time' in ' '.join(result.stderr.split())


def test_labels_named_by_frame_are_refused_where_that_is_ambiguous(replay, bag, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    cv2.imwrite(str(tmp_path / 'labels' / '0.png'), pairs[0][1])
    for more in (('--topic', LABELS), ('--start', '0.2'), (bag,)):
        result = replay(bag, '--ground-truth', tmp_path / 'labels', *more)
        assert result.exit_code == 2 and 'name them by stamp' in ' '.join(result.stderr.split())


@pytest.mark.parametrize(
    'stem, stamp_ns, index',
    (
        ('12.500000000', 12_500_000_000, None),
        ('0.100000000', 100_000_000, None),
        ('1700000000_123456789', 1_700_000_000_123_456_789, None),
        ('12_500000000', None, 500_000_000),
        ('12.5', None, 5),
        ('frame_0042', None, 42),
        ('12500000000', 12_500_000_000, None),
        ('9500000000', None, 9_500_000_000),
        ('000000000042', None, 42),
    ),
)
def test_names_of_label_files(stem, stamp_ns, index):
    assert truth._named(stem) == (stamp_ns, index)


def test_labels_of_simulated_time_are_found_by_stamp(replay, pairs, tmp_path):
    (tmp_path / 'labels').mkdir()
    for i, (_, label) in enumerate(pairs[:4]):
        cv2.imwrite(str(tmp_path / 'labels' / f'{i}.000000000.png'), label)
    entries = [replace(e, stamp_ns=i // 2 * 10**9) for i, e in enumerate(drive(pairs[:4]))]
    assert replay(write_bag(tmp_path / 'drive', entries), '--ground-truth', tmp_path / 'labels').exit_code == 0
    facts = report(tmp_path / 'out')
    assert facts['truth_frames'] == 3 and 'has no stamp' in facts['per_frame'][0]['detail']  # 0 is no stamp


@pytest.mark.parametrize('twin', ['00003.png', '1700000000000000000.png'])
def test_label_folders_that_contradict_themselves_are_refused(tmp_path, twin):
    for name in ('a_3.png', twin):
        cv2.imwrite(str(tmp_path / name), np.zeros((2, 2), np.uint8))
    with pytest.raises(BundleError, match=r'both frame 3|expected one kind'):
        truth.FolderTruth(tmp_path, ClassMapping(['road'], 255))
