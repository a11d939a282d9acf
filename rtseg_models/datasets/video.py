# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The frames of a video file."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Iterator, Optional

import cv2
import numpy as np

from ..errors import BundleError

DECODERS = (cv2.CAP_FFMPEG, cv2.CAP_GSTREAMER)
"""Those of OpenCV's that read a file as a video; another would take a digit in its name for a frame's number."""


class Video:
    """A video file, read from its first frame by each iteration.

    ``count`` is the number of frames that the file states, ``rate_hz`` its pace; None where it states none.
    """

    def __init__(self, path: Path) -> None:
        """Read what the file states; BundleError where it is no video."""
        self._path = path
        capture = self._open()
        count, rate_hz = capture.get(cv2.CAP_PROP_FRAME_COUNT), capture.get(cv2.CAP_PROP_FPS)
        capture.release()
        self.count: Optional[int] = int(count) if count > 0 else None
        self.rate_hz: Optional[float] = rate_hz if 0 < rate_hz <= 240 else None

    def __iter__(self) -> Iterator[np.ndarray]:
        """The frames as rgb (H,W,3) uint8."""
        capture = self._open()
        try:
            while True:
                read, bgr = capture.read()
                if not read:
                    return
                yield cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        finally:
            capture.release()

    def _open(self) -> cv2.VideoCapture:
        for decoder in DECODERS:
            capture = cv2.VideoCapture(str(self._path), decoder)
            if capture.isOpened():
                return capture
        raise BundleError(f'{self._path}: not a video that OpenCV can read')


def silence_opencv() -> None:
    """Keep OpenCV and its FFmpeg from printing what our own errors say of a broken file."""
    os.environ['OPENCV_FFMPEG_LOGLEVEL'] = '-8'  # read when the first video is opened
    log = getattr(getattr(cv2, 'utils', None), 'logging', None)  # which not every release has
    if log is not None:
        log.setLogLevel(log.LOG_LEVEL_SILENT)


def may_lack(count: int) -> int:
    """How many frames a whole video may lack of the ``count`` that it states; some containers state too many."""
    return max(2, count // 100)
