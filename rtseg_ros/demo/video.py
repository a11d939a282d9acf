# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Writing H.264 in MP4, which browsers and players alike show. OpenCV's wheels hold no encoder for it; ffmpeg does."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path
from types import TracebackType
from typing import Optional, Tuple, Type

import numpy as np

from rtseg_models.errors import RtsegError, Unavailable


def find_ffmpeg() -> str:
    """The ffmpeg of the package imageio-ffmpeg, else the system's; Unavailable where there is neither."""
    try:
        import imageio_ffmpeg

        return str(imageio_ffmpeg.get_ffmpeg_exe())
    except (ImportError, RuntimeError) as error:  # RuntimeError: its wheel holds no program for this machine
        found = shutil.which('ffmpeg')
        if not found:
            advice = 'apt install ffmpeg, or pip install imageio-ffmpeg'
            raise Unavailable(f'writing a video needs ffmpeg: {advice}') from error
        return found


class VideoWriter:
    """An MP4 file of frames of one size (height, width), both even; a context manager."""

    def __init__(self, path: Path, size: Tuple[int, int], rate_hz: float) -> None:
        self._path, self._size = path, size
        if size[0] % 2 or size[1] % 2:
            raise ValueError(f'video size is {size[0]}x{size[1]}; H.264 with 4:2:0 colours needs even sides')
        command = [find_ffmpeg(), '-y', '-loglevel', 'error', '-f', 'rawvideo', '-pix_fmt', 'rgb24']
        command += ['-s', f'{size[1]}x{size[0]}', '-r', f'{rate_hz:.6g}', '-i', '-']
        command += ['-c:v', 'libx264', '-preset', 'superfast', '-crf', '22', '-pix_fmt', 'yuv420p']
        command += ['-movflags', '+faststart', str(path)]
        # A session of its own: Ctrl-C is the caller's to handle, and it closes the file properly or removes it.
        self._ffmpeg = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True
        )

    def __enter__(self) -> VideoWriter:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        if error is not None:
            self._ffmpeg.kill()
            self._ffmpeg.communicate()
            return
        _, complaint = self._ffmpeg.communicate()
        if self._ffmpeg.returncode:
            raise self._failure(complaint)

    def write(self, rgb: np.ndarray) -> None:
        """Append a frame (height, width, 3) uint8; RtsegError tells what ffmpeg complains of."""
        if rgb.shape != (*self._size, 3) or rgb.dtype != np.uint8:
            raise ValueError(f'frame is {rgb.shape} {rgb.dtype}; expected {(*self._size, 3)} uint8')
        assert self._ffmpeg.stdin is not None
        try:
            self._ffmpeg.stdin.write(np.ascontiguousarray(rgb).data)
        except BrokenPipeError as error:
            raise self._failure(self._ffmpeg.communicate()[1]) from error

    def _failure(self, complaint: bytes) -> RtsegError:
        said = complaint.decode(errors='replace').strip().replace('\n', '; ')
        return RtsegError(f'{self._path}: ffmpeg ended with exit code {self._ffmpeg.returncode}: {said}')
