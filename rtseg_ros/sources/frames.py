# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Pictures from disk, in order: a folder of images with or without labels, a video file, or a bag."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator, List, Optional, Protocol, Sequence

import numpy as np

from rtseg_models.datasets.sample import IMAGE_SUFFIXES, list_images, read_label, read_rgb
from rtseg_models.datasets.video import Video
from rtseg_models.errors import BundleError, NotFound

from ..bag import Bag, ImageRecord, storage_files
from ..compressed_codec import decode_compressed
from ..image_codec import BadFrame, decode_image

DEFAULT_RATE_HZ = 10.0


@dataclass(frozen=True)
class SourceFrame:
    """One picture: either ``rgb`` (H,W,3) uint8, or from a bag ``message``, still in its own encoding, with its stamp.

    ``label`` (h,w) uint8 is its ground truth where there is one.
    """

    rgb: Optional[np.ndarray] = None
    label: Optional[np.ndarray] = None
    message: Optional[Any] = None
    stamp_ns: int = 0
    frame_id: str = ''


class Source(Protocol):
    """Where frames come from.

    ``count`` is None where it is not known before the end. ``faults`` are damages, ``notes`` other remarks.
    """

    kind: str
    count: Optional[int]
    faults: Sequence[str]
    rate_hz: float
    has_labels: bool
    compressed: bool
    notes: List[str]

    def __iter__(self) -> Iterator[SourceFrame]:
        """Every frame in order; BundleError where one cannot be read."""
        ...


def open_source(path: Path, limit: int) -> Source:
    """The first ``limit`` frames of what lies at ``path``, the first of them read to see that it can be.

    NotFound where there is nothing, BundleError where it holds no picture that can be read.
    """
    if not path.exists():
        raise NotFound(f'{path}: no such folder, video or bag')
    source: Source
    if storage_files(path) or (path / 'metadata.yaml').is_file():
        source = BagImages(path, limit)
    elif path.is_dir():
        source = ImageFolder(path, limit)
    else:
        source = VideoFile(path, limit)
    first = next(iter(source), None)
    if first is None:
        raise BundleError(f'{path}: the {source.kind} holds no picture')
    return source


class ImageFolder:
    """The images of a folder X in name order; X's sibling ``Xannot`` holds labels of the same names."""

    kind = 'folder'
    faults: Sequence[str] = ()
    rate_hz = DEFAULT_RATE_HZ
    compressed = False

    def __init__(self, path: Path, limit: int) -> None:
        self._images = list_images(path)[:limit]
        folder = path.resolve()
        labels = folder.with_name(f'{folder.name}annot')
        by_stem = {label.stem: label for label in sorted(labels.glob('*')) if label.suffix.lower() in IMAGE_SUFFIXES}
        self._labels = [by_stem.get(image.stem) for image in self._images]
        missing = self._labels.count(None)
        self.count: Optional[int] = len(self._images)
        self.has_labels = missing < self.count
        self.notes: List[str] = []
        if labels.is_dir() and missing:
            self.notes.append(f'{missing} of {self.count} images have no label in {labels.name}')

    def __iter__(self) -> Iterator[SourceFrame]:
        for image, label in zip(self._images, self._labels):
            yield SourceFrame(rgb=read_rgb(image), label=None if label is None else read_label(label))


class VideoFile:
    """The frames of a video file."""

    kind = 'video'
    faults: Sequence[str] = ()
    has_labels = False
    compressed = False

    def __init__(self, path: Path, limit: int) -> None:
        try:
            self._video = Video(path)
        except BundleError as error:
            raise BundleError(f'{error}, nor a bag or a folder of images') from error
        self._limit = limit
        self.count = None if self._video.count is None else min(self._video.count, limit)
        self.rate_hz = self._video.rate_hz or DEFAULT_RATE_HZ
        self.notes: List[str] = []

    def __iter__(self) -> Iterator[SourceFrame]:
        return (SourceFrame(rgb=rgb) for rgb in itertools.islice(self._video, self._limit))


class BagImages:
    """The images of a bag's first image topic in name order, as they were recorded."""

    kind = 'bag'
    has_labels = False

    def __init__(self, path: Path, limit: int) -> None:
        self._path, self._limit = path, limit
        with Bag(path) as bag:
            topics = bag.image_topics()
            if not topics:
                raise BundleError(f'{path}: no image topic; its topics: {", ".join(sorted(bag.topics)) or "none"}')
            self._topic = topics[0]
            head = list(itertools.islice(self._readable(bag), 50))
            self.notes = list(bag.notes)
            self.faults: Sequence[str] = list(bag.faults)
            count = bag.count([self._topic])
        if not head:
            raise BundleError(f'{path}: topic {self._topic} holds no image message that can be read')
        self._check(head[0])
        self.count: Optional[int] = None if count is None else min(count, limit)
        self.compressed = head[0].compressed
        span_s = (head[-1].record_time_ns - head[0].record_time_ns) / 1e9
        self.rate_hz = (len(head) - 1) / span_s if span_s > 0 else DEFAULT_RATE_HZ
        if len(topics) > 1:
            self.notes.append(f'image topics in the bag: {", ".join(topics)}; played: {self._topic}')

    def __iter__(self) -> Iterator[SourceFrame]:
        with Bag(self._path) as bag:
            for record in itertools.islice(self._readable(bag), self._limit):
                stamp_ns = record.stamp_ns or record.record_time_ns
                yield SourceFrame(message=record.message, stamp_ns=stamp_ns, frame_id=record.frame_id)

    def _readable(self, bag: Bag) -> Iterator[ImageRecord]:
        return (record for record in bag.images([self._topic]) if record.message is not None)

    def _check(self, record: ImageRecord) -> None:
        try:
            (decode_compressed if record.compressed else decode_image)(record.message)
        except BadFrame as error:
            raise BundleError(f'{self._path}: topic {self._topic}: {error}') from error
