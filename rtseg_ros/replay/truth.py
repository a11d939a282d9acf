# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth for a replay: from a label topic or a folder of label images, mapped by class name to a bundle's ids."""

from __future__ import annotations

import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple, Union

import cv2
import numpy as np

from rtseg_models.bundle import sha256_of
from rtseg_models.datasets.sample import list_images, read_label
from rtseg_models.errors import BundleError, RtsegError
from rtseg_models.labels import CLASS_SETS

from ..bag import Bag, ImageRecord
from ..compressed_codec import decode_compressed_labels
from ..image_codec import MAX_PIXELS, BadFrame, frame_rows, frame_size
from .class_mapping import ClassMapping

LOOKAHEAD = 512
"""Label messages that may lie between an image and its label in the label topic's order."""


class NoTruth(Exception):
    """A frame that cannot be compared; the message says why."""


class BadTruth(NoTruth):
    """A frame whose label is there and cannot be used."""


class Truth(Protocol):
    """Labels of frames in the bundle's ids (H,W) uint8, 255 = not counted; asked in the order of recording."""

    mapping: ClassMapping

    @property
    def faults(self) -> Sequence[str]:
        """A sentence for each place where labels were lost; complete once every frame was asked for."""
        ...

    def find(self, record: ImageRecord) -> np.ndarray:
        """Label image of a frame; NoTruth where there is none, BadTruth where it cannot be used."""
        ...

    def close(self) -> None:
        """Close what is open."""
        ...


@dataclass(frozen=True)
class TruthSpec:
    """Where the ground truth is (a topic of the same bag or a folder) and in whose ids ('' means the bundle's).

    It is kept in reports, to be opened from anywhere: paths are absolute.
    """

    topic: str = ''
    folder: str = ''
    classes: str = ''

    @classmethod
    def of(cls, topic: Optional[str], folder: Optional[Path], classes: str) -> TruthSpec:
        """What a command line names."""
        path = Path(classes)
        named = classes in CLASS_SETS or not path.is_file()
        return cls(topic or '', str(folder.resolve()) if folder else '', classes if named else str(path.resolve()))

    @property
    def name(self) -> str:
        """The topic or folder, for people."""
        return self.topic or self.folder

    def contents(self) -> Dict[str, Any]:
        """What tells whether a folder or a file of classes has changed since; a topic's are the bag's."""
        folder = sorted(Path(self.folder).iterdir()) if self.folder else []
        states = [path.stat() for path in folder if path.is_file()]
        classes = Path(self.classes) if self.classes not in ('', *CLASS_SETS) else None
        return {
            'labels': [len(states), sum(s.st_size for s in states), max((s.st_mtime_ns for s in states), default=0)],
            'classes_sha256': sha256_of(classes) if classes is not None else '',
        }

    def open(self, bag: Path, class_names: Sequence[str], ignore_id: int) -> Truth:
        """The ground truth of a bag in a bundle's ids; NotFound, BundleError or UsageError where it cannot be had."""
        mapping = ClassMapping(class_names, ignore_id, self.classes)
        if self.topic:
            return TopicTruth(bag, self.topic, mapping)
        return FolderTruth(Path(self.folder), mapping)


class TopicTruth:
    """Labels from an image topic of the bag (mono8, 8UC1 or PNG), matched by stamp."""

    def __init__(self, bag: Path, topic: str, mapping: ClassMapping) -> None:
        self._bag, self._topic = Bag(bag), topic
        try:
            self._bag.require_images([topic])
        except BaseException:
            self._bag.close()
            raise
        self._labels = self._bag.images([topic])
        self._unreadable: List[str] = []  # of label messages without a header that could be read
        self.mapping = mapping
        # By stamp: when the label was recorded, the label or why there is none, and its place in the topic.
        self._ahead: OrderedDict[int, Tuple[int, Union[bytes, str], int]] = OrderedDict()
        self._read = self._found = self._found_ns = 0  # labels read; place and stamp of the last one asked for

    def find(self, record: ImageRecord) -> np.ndarray:
        if record.stamp_ns == 0:
            raise NoTruth('the image has no stamp to find a label by')
        waiting = self._ahead.pop(record.stamp_ns, None)
        if waiting is not None:
            self._note(record, waiting[2])
            return self._unpack(waiting[1], record)
        while self._later(record) < LOOKAHEAD:
            label = next(self._labels, None)
            if label is None:
                break
            self._read += 1
            if label.message is None:
                self._unreadable.append(label.fault)
            elif label.stamp_ns == record.stamp_ns:
                self._note(record, self._read)
                return self.mapping(label_ids(label), f'label at stamp {label.stamp_ns}')
            else:
                self._keep(label)
        raise NoTruth(f'no label with stamp {record.stamp_ns}')

    def _later(self, record: ImageRecord) -> int:
        """How many of the labels held were recorded behind this frame and may be of frames to come.

        Others are of frames that nobody asked for: the topic has the frames' order, so what was read before the last
        label found is, and what is stamped between that and this frame. Stamps before it are of a clock set back.
        """
        return sum(
            recorded_ns > record.record_time_ns
            and place > self._found
            and (stamp_ns > record.stamp_ns or stamp_ns < self._found_ns)
            for stamp_ns, (recorded_ns, _, place) in self._ahead.items()
        )

    def _note(self, record: ImageRecord, place: int) -> None:
        """A frame's label was found."""
        if place > self._found:
            self._found, self._found_ns = place, record.stamp_ns

    @property
    def faults(self) -> List[str]:
        count, first = len(self._unreadable), next(iter(self._unreadable), '')
        told = [f'{count} messages of {self._topic} cannot be read, the first for: {first}'] if count else []
        return self._bag.faults + told

    def _keep(self, label: ImageRecord) -> None:
        """Hold a label for a later frame, packed: a street's labels shrink to a fiftieth."""
        try:
            kept: Union[bytes, str] = cv2.imencode('.png', label_ids(label))[1].tobytes()
        except BadTruth as error:
            kept = str(error)
        self._ahead[label.stamp_ns] = (label.record_time_ns, kept, self._read)
        if len(self._ahead) > 2 * LOOKAHEAD:
            self._ahead.popitem(last=False)

    def _unpack(self, waiting: Union[bytes, str], record: ImageRecord) -> np.ndarray:
        if isinstance(waiting, str):
            raise BadTruth(waiting)
        labels = cv2.imdecode(np.frombuffer(waiting, np.uint8), cv2.IMREAD_UNCHANGED)
        return self.mapping(np.asarray(labels), f'label at stamp {record.stamp_ns}')

    def close(self) -> None:
        self._bag.close()


def label_ids(record: ImageRecord) -> np.ndarray:
    """Ids (H,W) uint8 of a label message; BadTruth where it holds none."""
    assert record.message is not None
    if not record.compressed and record.message.encoding not in ('mono8', '8UC1'):
        raise BadTruth(f'label encoding is {record.message.encoding!r}; expected mono8, 8UC1 or a compressed PNG')
    try:
        if record.compressed:
            return decode_compressed_labels(record.message)
        return frame_rows(record.message, *frame_size(record.message, MAX_PIXELS))
    except BadFrame as error:
        raise BadTruth(f'label at stamp {record.stamp_ns}: {error}') from error


class FolderTruth:
    """Labels from image files named by stamp (``1700000000123456789`` or ``1700000000.123456789``, ``_`` for the dot
    too; the first 10 s of simulated time need the dot and all nine decimals) or by frame (a number at the end of the
    name: the message's place in its topic, from 0).
    """

    faults: Sequence[str] = ()

    def __init__(self, folder: Path, mapping: ClassMapping) -> None:
        self.mapping = mapping
        self._by_stamp: Dict[int, Path] = {}
        self._by_index: Dict[int, Path] = {}
        for path in list_images(folder):
            stamp, index = _named(path.stem)
            if stamp is not None:
                self._by_stamp[stamp] = path
            elif index is not None:
                if index in self._by_index:
                    raise BundleError(f'{folder}: {self._by_index[index].name} and {path.name} are both frame {index}')
                self._by_index[index] = path
        if not self._by_stamp and not self._by_index:
            raise BundleError(f'{folder}: no file is named by a stamp in nanoseconds or ends in a frame number')
        if self._by_stamp and self._by_index:
            raise BundleError(
                f'{folder}: {len(self._by_stamp)} files are named by stamp and {len(self._by_index)} by frame number; '
                'expected one kind'
            )

    def find(self, record: ImageRecord) -> np.ndarray:
        if self._by_stamp and record.stamp_ns == 0:
            raise NoTruth('the image has no stamp to find a label by')
        path = self._by_stamp.get(record.stamp_ns) or self._by_index.get(record.index)
        if self._by_index and not record.placed:
            raise BadTruth('messages were lost before it, so its frame number is not known; name the labels by stamp')
        if path is None:
            wanted = f'frame {record.index}' if self._by_index else f'stamp {record.stamp_ns}'
            raise NoTruth(f'no label image for {wanted}')
        try:
            labels = read_label(path)
        except RtsegError as error:
            raise BadTruth(str(error)) from error
        return self.mapping(labels, str(path))

    def close(self) -> None:
        """Nothing is open."""


def named_by_frame(folder: Path) -> bool:
    """Whether a folder's label images carry frame numbers, not stamps; NotFound where it holds no images."""
    return any(_named(path.stem)[0] is None for path in list_images(folder))


def _named(stem: str) -> Tuple[Optional[int], Optional[int]]:
    """Stamp in nanoseconds or frame number that a file's name tells."""
    split = re.fullmatch(r'(\d+)\.(\d{9})|(\d{9,})_(\d{9})', stem)
    if split:
        return int(split[1] or split[3]) * 10**9 + int(split[2] or split[4]), None
    if re.fullmatch(r'\d{16,}|[1-9]\d{10,}', stem):  # simulated time; a frame number so long is padded with zeros
        return int(stem), None
    trailing = re.search(r'(\d+)$', stem)
    return None, int(trailing[1]) if trailing else None
