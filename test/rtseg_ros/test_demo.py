# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo, end to end: real processes over real DDS, its four outputs, and what it does with bad input."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import cv2
import numpy as np
import pytest

pytest.importorskip('rclpy')
pytest.importorskip('imageio_ffmpeg')
from click.testing import CliRunner
from mounts import mounted
from node_process import environment, until
from recordings import drive, write_bag

from rtseg_models.engine import Pipeline
from rtseg_models.metrics import ConfusionMatrix
from rtseg_models.street import Street
from rtseg_ros.bag import MaskBagWriter, read_images
from rtseg_ros.demo import command as demo
from rtseg_ros.demo.picture import Screen
from rtseg_ros.demo.video import VideoWriter
from rtseg_ros.image_codec import decode_image

SIZE = (96, 128)
STAMP_NS = 1_600_000_000_000_000_000


@pytest.fixture(scope='module')
def home(tmp_path_factory):
    """A home folder of the tests' own, for the cache of rendered frames."""
    return tmp_path_factory.mktemp('home')


def run(*arguments, home: Path, code: int = 0, wrapper: tuple = ()) -> subprocess.CompletedProcess:
    """The demo in a process of its own, run by ``wrapper`` where there is one, which must end with ``code``."""
    command = [*wrapper, sys.executable, '-m', 'rtseg_ros.demo', *map(str, arguments)]
    variables = environment(HOME=str(home), COLUMNS='300')
    done = subprocess.run(command, env=variables, capture_output=True, text=True, timeout=120)
    assert done.returncode == code, done.stdout + done.stderr
    return done


def masks(out: Path) -> list:
    """Stamp, frame and labels of every mask in the bag."""
    records = list(read_images([out / 'masks'], ['/segmentation/mask']))
    assert {r.message.encoding for r in records} == {'mono8'}
    return [(r.stamp_ns, r.frame_id, decode_image(r.message)[:, :, 0]) for r in records]


def video_frames(path: Path) -> list:
    capture, frames = cv2.VideoCapture(str(path)), []
    while True:
        read, frame = capture.read()
        if not read:
            return frames
        frames.append(frame)


def test_the_synthetic_street_end_to_end(tiny_bundle, tmp_path, home):
    out = tmp_path / 'deep' / 'demo'
    arguments = ['--model', tiny_bundle.path, '--out', out, '--frames', 6, '--rate', 5]
    arguments += ['--height', SIZE[0], '--width', SIZE[1], '--seed', 5]
    shown = run(*arguments, home=home).stdout
    assert 'rendering' in shown and str(out / 'report.html') in shown
    assert sorted(p.name for p in out.iterdir()) == ['logs', 'masks', 'overlay.mp4', 'report.html', 'report.json']
    assert [p.name for p in out.parent.iterdir()] == ['demo']

    street = Street(5, height=SIZE[0], width=SIZE[1], rate_hz=5)
    pipeline, matrix = Pipeline(tiny_bundle), ConfusionMatrix(11, 11)
    found = masks(out)
    assert len(found) == 6
    for i, (_, frame_id, labels) in enumerate(found):
        frame = street.frame(i)
        assert frame_id == 'camera_optical_frame'
        np.testing.assert_array_equal(labels, pipeline(frame.rgb).labels)
        matrix.update(frame.label, labels)
    assert np.all(np.diff([stamp_ns for stamp_ns, _, _ in found]) > 0)

    report = json.loads((out / 'report.json').read_text())
    assert report['frames'] == 6 and report['dropped'] == {}
    assert report['miou'] == pytest.approx(matrix.miou())
    assert report['confusion'] == matrix.counts.tolist()
    assert report['pixel_accuracy'] == pytest.approx(matrix.pixel_accuracy())
    assert report['fps'] == pytest.approx(5, rel=0.2)
    assert {'transport', 'node', 'network', 'preprocess', 'postprocess', 'total'} <= set(report['stage_ms'])
    assert 0 < report['stage_ms']['total']['p50'] < 1000
    assert len(report['mask_sha256']['/segmentation/mask']) == 64

    frames = video_frames(out / 'overlay.mp4')
    assert len(frames) == 6 and frames[0].shape[0] >= 720
    assert '<svg' in (out / 'report.html').read_text()
    assert 'Traceback' not in ''.join(p.read_text() for p in (out / 'logs').iterdir())


def test_a_folder_with_labels_replaces_an_earlier_demo(tiny_bundle, tmp_path, home):
    folder, labels, out = tmp_path / 'drive', tmp_path / 'driveannot', tmp_path / 'demo'
    street, matrix, pipeline = Street(6, height=SIZE[0], width=SIZE[1]), ConfusionMatrix(11, 11), Pipeline(tiny_bundle)
    folder.mkdir()
    labels.mkdir()
    for i in range(3):
        frame = street.frame(10 * i)
        cv2.imwrite(str(folder / f'{i:03}.png'), cv2.cvtColor(frame.rgb, cv2.COLOR_RGB2BGR))
        if i != 1:
            cv2.imwrite(str(labels / f'{i:03}.png'), frame.label)
            matrix.update(frame.label, pipeline(frame.rgb).labels)
    out.mkdir()
    (out / 'report.json').write_text('{"source": {"run": "demo"}}')
    run('--source', folder, '--model', tiny_bundle.path, '--out', out, '--rate', 4, home=home)
    report = json.loads((out / 'report.json').read_text())
    assert (report['frames'], report['truth_frames'], report['dropped']) == (3, 2, {})
    assert report['miou'] == pytest.approx(matrix.miou())
    assert any('1 of 3 images have no label' in note for note in report['notes'])
    assert sorted(p.name for p in tmp_path.iterdir()) == ['demo', 'drive', 'driveannot']


def test_a_bag_is_played_with_its_own_clock(tiny_bundle, tmp_path, home):
    street, pipeline, out = Street(7, height=SIZE[0], width=SIZE[1]), Pipeline(tiny_bundle), tmp_path / 'demo'
    pictures = [street.frame(i).rgb for i in range(3)]
    with MaskBagWriter(tmp_path / 'bag') as bag:
        for i, rgb in enumerate(pictures):
            bgr = np.ascontiguousarray(rgb[:, :, ::-1])
            bag.write('/front/image', STAMP_NS + i * 10**8, bgr, encoding='bgr8', frame_id='front')
    run('--source', tmp_path / 'bag', '--model', tiny_bundle.path, '--out', out, '--rate', 4, home=home)
    found = masks(out)
    assert [(s, f) for s, f, _ in found] == [(STAMP_NS + i * 10**8, 'front') for i in range(3)]
    for (_, _, labels), rgb in zip(found, pictures):
        np.testing.assert_array_equal(labels, pipeline(rgb).labels)
    report = json.loads((out / 'report.json').read_text())
    assert report['miou'] is None and report['dropped'] == {}


def test_a_video_that_is_cut_short_is_told(tiny_bundle, tmp_path, home):
    video, out = tmp_path / 'drive.avi', tmp_path / 'out'
    writer = cv2.VideoWriter(str(video), cv2.VideoWriter_fourcc(*'MJPG'), 10, (96, 64))
    for seed in range(30):
        writer.write(np.random.default_rng(seed).integers(0, 256, (64, 96, 3), np.uint8))
    writer.release()
    content = video.read_bytes()
    video.write_bytes(content[: len(content) // 2])
    done = run('--source', video, '--model', tiny_bundle.path, '--out', out, home=home, code=1)
    assert 'of 30 frames came through' in done.stderr
    report = json.loads((out / 'report.json').read_text())
    assert report['frames'] >= 5 and 'of 30 frames' in report['faults'][0]


def test_a_damaged_bag_is_told(tiny_bundle, tmp_path, home):
    rng = np.random.default_rng(5)
    pairs = [(rng.integers(0, 256, (400, 600, 3), np.uint8), np.zeros((4, 4), np.uint8)) for _ in range(8)]
    path, out = write_bag(tmp_path / 'drive', drive(pairs), 'mcap'), tmp_path / 'out'
    (file,) = path.glob('*.mcap')
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])
    done = run('--source', path, '--model', tiny_bundle.path, '--out', out, '--rate', 4, home=home, code=1)
    assert str(file) in done.stderr
    report = json.loads((out / 'report.json').read_text())
    assert 2 <= report['frames'] < 8 and str(file) in report['faults'][0]


@pytest.mark.parametrize(
    ('kind', 'stated', 'played', 'told'),
    [
        ('video', 30, 28, False),
        ('video', 30, 27, True),
        ('bag', 3, 2, True),
        ('folder', 99, 98, True),
        ('bag', 300, 297, False),
        ('bag', 300, 296, True),
        ('video', None, 1, False),
    ],
)
def test_what_may_be_missing_at_the_end(kind, stated, played, told):
    assert bool(demo.missing('drive', SimpleNamespace(kind=kind, count=stated), played)) is told


def test_an_interrupt_leaves_neither_files_nor_processes(tiny_bundle, tmp_path, home):
    out = tmp_path / 'deep' / 'demo'
    command = [sys.executable, '-m', 'rtseg_ros.demo', '--model', str(tiny_bundle.path), '--out', str(out)]
    command += ['--frames', '6', '--rate', '0.5', '--height', '96', '--width', '128', '--seed', '5']
    process = subprocess.Popen(
        command, env=environment(HOME=str(home)), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    until(lambda: list(tmp_path.glob('deep/.demo.partial-*/recording/*.mask.png')), 'a mask', 60)
    started = children_of(process.pid)
    assert len(started) >= 3  # and multiprocessing's resource tracker, where frames were rendered
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=20)
    assert process.returncode == 130
    assert errors.splitlines() == ['demo: interrupted; nothing is left behind']
    assert list(tmp_path.iterdir()) == []
    until(lambda: not [pid for pid in started if Path(f'/proc/{pid}').exists()], 'end of every child', 3)


def children_of(pid: int) -> list:
    found = Path(f'/proc/{pid}/task/{pid}/children').read_text().split()
    return [int(child) for child in found]


@pytest.fixture
def invoke(tmp_path, monkeypatch):
    """Runs the command in this process, in an empty folder; gives exit code and standard error."""
    handlers = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv('OPENCV_FFMPEG_LOGLEVEL', os.environ.get('OPENCV_FFMPEG_LOGLEVEL', ''))

    def call(*arguments):
        result = CliRunner().invoke(demo.main, [str(a) for a in arguments])
        assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
        return result.exit_code, result.stderr

    yield call
    for number, handler in handlers.items():
        signal.signal(number, handler)


def empty_folder(path: Path) -> Path:
    path.mkdir()
    return path


def text_file(path: Path) -> Path:
    path.write_text('this is no video\n')
    return path


def folder_with_broken_image(path: Path) -> Path:
    (empty_folder(path) / 'a.png').write_bytes(b'\x89PNG\r\n\x1a\n')
    return path


def bag_with_encoding(path: Path) -> Path:
    class Strange:
        height, width, encoding, is_bigendian, step, data = 2, 2, 'weird12', 0, 4, bytes(8)

        class header:
            frame_id = ''

            class stamp:
                sec, nanosec = 1, 0

    with MaskBagWriter(path) as bag:
        bag.write_message('/image', Strange)
    return path


@pytest.mark.parametrize(
    'make, code, expected',
    [
        (lambda path: path, 66, 'no such folder, video or bag'),
        (empty_folder, 66, 'no images in it'),
        (text_file, 65, 'not a video that OpenCV can read'),
        (folder_with_broken_image, 65, 'a.png: '),
        (bag_with_encoding, 65, "encoding 'weird12' is unknown; supported are rgb8"),
    ],
)
def test_a_bad_source_is_one_sentence(invoke, tiny_bundle, tmp_path, make, code, expected):
    source = make(tmp_path / 'source')
    before = sorted(tmp_path.iterdir())
    found, errors = invoke('--source', source, '--model', tiny_bundle.path, '--out', tmp_path / 'out' / 'demo')
    assert (found, len(errors.splitlines())) == (code, 1), errors
    assert str(source) in errors and expected in errors
    assert sorted(tmp_path.iterdir()) == before


def test_a_missing_bundle_is_one_sentence(invoke, tmp_path):
    code, errors = invoke('--model', 'no_such_bundle', '--out', tmp_path / 'demo')
    assert (code, len(errors.splitlines())) == (66, 1)
    assert 'no_such_bundle: no such bundle; shipped bundles: ' in errors
    assert list(tmp_path.iterdir()) == []


def test_a_full_disk_is_one_sentence(invoke, tmp_path, monkeypatch):
    def run_demo(out, console, **options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(out / 'report.html'))

    monkeypatch.setattr(demo, 'run_demo', run_demo)
    code, errors = invoke('--out', tmp_path / 'demo')
    assert (code, len(errors.splitlines())) == (70, 1)
    assert f'{tmp_path / "demo"} could not be written: ' in errors and 'No space left on device' in errors
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_fills_up_while_the_demo_records_is_one_sentence(tiny_bundle, tmp_path, home):
    arguments = ['--model', tiny_bundle.path, '--frames', 6, '--rate', 5, '--height', SIZE[0], '--width', SIZE[1]]
    arguments += ['--seed', 5, '--out', tmp_path / 'demo']
    done = run(*arguments, home=home, code=70, wrapper=mounted(tmp_path, '48k'))
    assert done.stderr == 'demo: recorder ended with exit code 70: no space left on device\n'


def test_what_a_child_says_is_told_with_its_exit_code(tiny_bundle, tmp_path, home):
    (tmp_path / 'images').mkdir()
    good = cv2.imencode('.png', np.zeros((*SIZE, 3), np.uint8))[1].tobytes()
    (tmp_path / 'images' / '0.png').write_bytes(good)
    (tmp_path / 'images' / '1.png').write_bytes(b'broken')
    arguments = ['--source', tmp_path / 'images', '--model', tiny_bundle.path, '--out', tmp_path / 'demo']
    done = run(*arguments, home=home, code=65)
    assert done.stderr.count('\n') == 1 and '1.png: not an image' in done.stderr, done.stderr
    assert [p.name for p in tmp_path.iterdir()] == ['images']


@pytest.mark.parametrize('report', [None, '{"source": {"run": "replay"}}', 'no JSON', '{"source": {"run": "demo"}}'])
def test_an_output_of_anything_else_is_not_overwritten(invoke, tmp_path, report):
    out = tmp_path / 'mine'
    out.mkdir()
    (out / 'thesis.txt').write_text('years of work')
    if report is not None:
        (out / 'report.json').write_text(report)
    code, errors = invoke('--out', out)
    assert code == 2 and 'thesis.txt' in errors and 'is not overwritten' in errors
    assert (out / 'thesis.txt').read_text() == 'years of work'


@pytest.mark.parametrize('arguments', [('--frames', '0'), ('--rate', 'fast'), ('--nonsense',)])
def test_usage_errors_are_2(invoke, tmp_path, arguments):
    code, errors = invoke(*arguments)
    assert code == 2 and arguments[0] in errors
    assert list(tmp_path.iterdir()) == []


def test_the_picture_shows_overlay_camera_and_truth():
    names, colours = ('road', 'sky'), ((128, 64, 128), (70, 130, 180))
    screen = Screen((90, 160), names, colours)
    assert screen.size[0] >= 720 and screen.size[0] % 2 == screen.size[1] % 2 == 0
    rgb, labels = np.full((90, 160, 3), 200, np.uint8), np.zeros((90, 160), np.uint8)
    picture = screen.compose(rgb, labels, np.ones((45, 80), np.uint8), 'caption')
    assert picture.shape == (*screen.size, 3)
    wide = screen.size[1] * 2 // 3
    assert np.abs(picture[360, wide // 2].astype(int) - (164, 132, 164)).max() <= 1
    assert tuple(picture[250, wide + wide // 4]) == (200, 200, 200)
    assert tuple(picture[600, wide + wide // 4]) == colours[1]


def test_a_video_plays_back(tmp_path):
    path = tmp_path / 'x.mp4'
    colours = [(200, 30, 30), (30, 200, 30), (30, 30, 200)]
    with VideoWriter(path, (64, 96), 5.0) as video:
        for colour in colours:
            video.write(np.full((64, 96, 3), colour, np.uint8))
        with pytest.raises(ValueError, match='expected'):
            video.write(np.zeros((64, 64, 3), np.uint8))
    frames = video_frames(path)
    assert [f[32, 48].argmax() for f in frames] == [2, 1, 0]
    assert cv2.VideoCapture(str(path)).get(cv2.CAP_PROP_FPS) == 5


def test_a_video_that_cannot_be_written_says_why(tmp_path):
    from rtseg_models.errors import RtsegError

    with pytest.raises(RtsegError, match='ffmpeg ended'), VideoWriter(tmp_path / 'no' / 'x.mp4', (64, 96), 5.0):
        pass


def test_labels_of_other_classes_are_refused(tiny_bundle, tmp_path, home):
    for name, picture in (('drive', np.zeros((*SIZE, 3), np.uint8)), ('driveannot', np.full(SIZE, 77, np.uint8))):
        (tmp_path / name).mkdir()
        cv2.imwrite(str(tmp_path / name / '0.png'), picture)
    arguments = ['--source', tmp_path / 'drive', '--model', tiny_bundle.path, '--out', tmp_path / 'demo']
    done = run(*arguments, home=home, code=65)
    assert done.stderr.count('\n') == 1 and 'ids [77]' in done.stderr, done.stderr
    assert sorted(p.name for p in tmp_path.iterdir()) == ['drive', 'driveannot']
