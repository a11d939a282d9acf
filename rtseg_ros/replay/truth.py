# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Ground truth for a replay: from a label topic or a folder of label images, mapped by class name to a bundle's ids."""

from __future__ import annotations

import json
import re
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Dict, List, Optional, Protocol, Sequence, Tuple, Union

import cv2
import numpy as np

from rtseg_models.bundle import sha256_of
from rtseg_models.datasets.sample import list_images, read_label
from rtseg_models.engine import kernels
from rtseg_models.errors import BundleError, NotFound, RtsegError, UsageError
from rtseg_models.labels import CLASS_SETS, UNLABELLED

from ..bag import Bag, ImageRecord
from ..compressed_codec import decode_compressed_labels
from ..image_codec import MAX_PIXELS, BadFrame, frame_rows, frame_size

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


class ClassMapping:
    """From the ids of a class set to a bundle's, by name; where the bundle has not the very name, case, blanks and the
    characters ``_ -`` do not matter.

    ``unmapped`` names the truth's classes that the bundle has not (their pixels are not counted); ``evaluable`` tells
    for each class of the bundle whether the truth can hold it.
    """

    def __init__(self, class_names: Sequence[str], ignore_id: int, classes: str = '') -> None:
        """``classes`` is the name of a class set, the path of a JSON file like a card's, or '' for the bundle's own."""
        names, ignored = _class_names(class_names, ignore_id, classes)
        seats = _seats(list(dict.fromkeys(names.values())), class_names)
        self._known = np.zeros(256, bool)
        self._known[[*names, *ignored, UNLABELLED]] = True
        self._table = np.full(256, UNLABELLED, np.uint8)
        for i, name in names.items():
            self._table[i] = seats.get(name, UNLABELLED)
        self._ids = sorted(names)
        self._ignored = sorted({*ignored, UNLABELLED})
        self.unmapped = [name for name in names.values() if name not in seats]
        self.evaluable = [i in seats.values() for i in range(len(class_names))]
        if not any(self.evaluable):
            raise UsageError(
                f'ground-truth classes {", ".join(names.values())}: none has the name of a class of the bundle '
                f'({", ".join(class_names)}); name the class set with --ground-truth-classes'
            )

    def __call__(self, labels: np.ndarray, where: str) -> np.ndarray:
        """Labels (H,W) uint8 in the bundle's ids; BundleError lists ids that the class set has not."""
        labels = np.ascontiguousarray(labels)
        mapped, counts = np.empty_like(labels), np.zeros(256, np.int64)
        kernels.relabel_and_count(labels, self._table, mapped, counts)
        strange = np.flatnonzero((counts > 0) & ~self._known).tolist()
        if strange:
            raise BundleError(
                f'{where}: holds ids {strange}, which are no classes of the ground truth (ids {self._ids[0]} to '
                f'{self._ids[-1]}, ignored {self._ignored}); name its class set with --ground-truth-classes'
            )
        return mapped


def _plain(name: str) -> str:
    return re.sub(r'[\s_-]+', ' ', name).strip().lower()


def _seats(names: Sequence[str], class_names: Sequence[str]) -> Dict[str, int]:
    """The id in a bundle of each name that it has, the very name first; UsageError where that is not clear."""
    seats = {}
    for name in names:
        mine, others = ([n for n in known if _plain(n) == _plain(name)] for known in (class_names, names))
        if name not in class_names and mine and len(mine) + len(others) > 2:
            raise UsageError(
                f'ground-truth classes {", ".join(map(repr, others))} and {", ".join(map(repr, mine))} of the bundle '
                f'are not told apart but by case, blanks, _ or -; write {name!r} as the bundle does'
            )
        if mine:
            seats[name] = class_names.index(name if name in class_names else mine[0])
    return seats


def _class_names(own: Sequence[str], ignore_id: int, classes: str) -> Tuple[Dict[int, str], List[int]]:
    """Class names by id, and the ignored ids, which have no name."""
    if not classes:
        return dict(enumerate(own)), [ignore_id]
    if classes in CLASS_SETS:
        return dict(enumerate(CLASS_SETS[classes].names)), [CLASS_SETS[classes].ignore_id]
    path = Path(classes)
    if not path.is_file():
        raise NotFound(f'{classes}: neither a class set ({", ".join(CLASS_SETS)}) nor a file')
    try:
        facts: Any = json.loads(path.read_text(encoding='utf-8'))
        names = {int(row['id']): str(row['name']) for row in facts['classes']}
        ignored = [int(facts.get('ignore_id', UNLABELLED))]
    except (ValueError, KeyError, TypeError, UnicodeDecodeError) as error:
        raise BundleError(
            f'{path}: expected JSON like {{"classes": [{{"id": 0, "name": "road"}}], "ignore_id": 255}}: {error!r}'
        ) from error
    counted = {i: name for i, name in names.items() if i not in (*ignored, UNLABELLED)}
    if not counted or not all(0 <= i <= UNLABELLED for i in [*names, *ignored]):
        raise BundleError(f'{path}: expected at least one class that is not ignored, and ids 0 to {UNLABELLED}')
    return counted, ignored


class TopicTruth:
    """Labels from an image topic of the bag (mono8, 8UC1 or PNG), matched by stamp."""

    def __init__(self, bag: Path, topic: str, mapping: ClassMapping) -> None:
        self._bag, self._topic = Bag(bag), topic
        self._bag.require_images([topic])
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
