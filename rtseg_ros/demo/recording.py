# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the demo's recorder leaves on disk for its report: images, labels and masks by stamp, and when they passed.

``<stamp_ns>.image.jpg``, ``<stamp_ns>.label.png``, ``<stamp_ns>.mask.png`` and, written last, ``recording.json``.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Dict, List, Optional

import cv2
import numpy as np

from rtseg_models.errors import RtsegError

JPEG_QUALITY = 95
PNG_COMPRESSION = 1
_INDEX = 'recording.json'


@dataclass
class Passage:
    """When a frame passed, by the wall clock: the image left the camera, the mask reached the recorder."""

    stamp_ns: int
    frame_id: str = ''
    image_sent_ns: Optional[int] = None
    mask_received_ns: Optional[int] = None


@dataclass
class Recording:
    """A recording being written or read.

    ``processing_ms`` and ``latency_ms`` are the node's debug figures in the order of the masks, ``diagnostics`` the
    last values of each status by its name.
    """

    folder: Path
    passages: Dict[int, Passage] = field(default_factory=dict)
    processing_ms: List[float] = field(default_factory=list)
    latency_ms: List[float] = field(default_factory=list)
    diagnostics: Dict[str, Dict[str, str]] = field(default_factory=dict)

    @classmethod
    def load(cls, folder: Path) -> Recording:
        """Read a finished recording; RtsegError where the recorder did not get to its end."""
        path = folder / _INDEX
        if not path.is_file():
            raise RtsegError(f'{path}: missing; the recorder did not finish')
        facts = json.loads(path.read_text(encoding='utf-8'))
        passages = {p['stamp_ns']: Passage(**p) for p in facts.pop('passages')}
        return cls(folder, passages, **facts)

    def save(self) -> None:
        """Write the index."""
        facts: Dict[str, Any] = asdict(self)
        del facts['folder']
        facts['passages'] = [asdict(p) for p in self.passages.values()]
        (self.folder / _INDEX).write_text(json.dumps(facts) + '\n', encoding='utf-8')

    def passage(self, stamp_ns: int) -> Passage:
        """The frame of this stamp, new or known."""
        return self.passages.setdefault(stamp_ns, Passage(stamp_ns))

    def put(self, kind: str, stamp_ns: int, picture: np.ndarray) -> None:
        """Store an ``image`` (H,W,3) rgb, or a ``label`` or ``mask`` (H,W), all uint8; OSError where that fails."""
        if kind == 'image':
            picture, options = cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY]
        else:
            options = [cv2.IMWRITE_PNG_COMPRESSION, PNG_COMPRESSION]
        path = self._path(kind, stamp_ns)
        if not cv2.imwrite(str(path), picture, options):
            raise OSError(f'{path}: cannot be written; is the disk full?')

    def get(self, kind: str, stamp_ns: int) -> Optional[np.ndarray]:
        """What ``put`` stored, None where it did not."""
        path = self._path(kind, stamp_ns)
        if not path.is_file():
            return None
        if kind == 'image':
            return np.asarray(cv2.cvtColor(cv2.imread(str(path), cv2.IMREAD_COLOR), cv2.COLOR_BGR2RGB))
        return np.asarray(cv2.imread(str(path), cv2.IMREAD_UNCHANGED))

    def _path(self, kind: str, stamp_ns: int) -> Path:
        return self.folder / f'{stamp_ns}.{kind}.{"jpg" if kind == "image" else "png"}'


def count_masks(folder: Path) -> int:
    """How many masks a running recorder has stored so far."""
    return sum(1 for _ in folder.glob('*.mask.png'))
