# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Frames of video files."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtseg_models.datasets.video import Video, may_lack, silence_opencv
from rtseg_models.errors import BundleError


@pytest.fixture
def red_then_blue(tmp_path: Path) -> Path:
    path = tmp_path / 'colours_0001.avi'
    writer = cv2.VideoWriter(str(path), cv2.VideoWriter_fourcc(*'MJPG'), 12, (96, 64))
    for bgr in ((0, 0, 255), (255, 0, 0), (255, 0, 0)):
        writer.write(np.full((64, 96, 3), bgr, np.uint8))
    writer.release()
    return path


def test_frames_are_red_green_blue_and_begin_anew_each_time(red_then_blue: Path) -> None:
    video = Video(red_then_blue)
    assert (video.count, video.rate_hz) == (3, 12)
    for _ in range(2):
        frames = list(video)
        assert [frame.shape for frame in frames] == [(64, 96, 3)] * 3
        assert [int(frame.mean(axis=(0, 1)).argmax()) for frame in frames] == [0, 2, 2]
        assert all(sorted(frame.mean(axis=(0, 1)))[1] < 50 for frame in frames)


def test_files_numbered_like_frames_are_not_joined(tmp_path: Path) -> None:
    for number in (1, 2):
        cv2.imwrite(str(tmp_path / f'shot_{number}.png'), np.zeros((8, 8, 3), np.uint8))
        (tmp_path / f'shot_{number}.png').rename(tmp_path / f'shot_{number}.dat')
    assert cv2.VideoCapture(str(tmp_path / 'shot_1.dat'), cv2.CAP_IMAGES).get(cv2.CAP_PROP_FRAME_COUNT) == 2
    assert len(list(Video(tmp_path / 'shot_1.dat'))) == 1


def test_a_text_is_no_video(tmp_path: Path) -> None:
    (tmp_path / 'notes.mp4').write_text('no video')
    with pytest.raises(BundleError, match=r'notes\.mp4: not a video that OpenCV can read'):
        Video(tmp_path / 'notes.mp4')


def test_an_opencv_without_a_log_level_is_left_as_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv('OPENCV_FFMPEG_LOGLEVEL', '16')
    monkeypatch.delattr(cv2.utils, 'logging')
    silence_opencv()
    assert os.environ['OPENCV_FFMPEG_LOGLEVEL'] == '-8'


@pytest.mark.parametrize(('count', 'expected'), [(3, 2), (299, 2), (300, 3), (5000, 50)])
def test_a_whole_video_may_lack_two_frames_or_one_in_a_hundred(count: int, expected: int) -> None:
    assert may_lack(count) == expected
