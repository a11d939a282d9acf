# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The way of frames through the network: of one camera, or of several at once where the backend takes batches."""

from __future__ import annotations

import gc
from functools import partial
from typing import List, Sequence

from rtseg_models.engine import NonFiniteLogits, Segmentation
from rtseg_models.errors import DeviceLost, OutOfDeviceMemory

from ..parameters import Settings
from .camera import Arrival, Frame
from .model import Model


def serve_round(arrivals: Sequence[Arrival], model: Model, settings: Settings) -> int:
    """Decode, segment and publish the newest frame of each of some cameras; the number published.

    Where a batch fails each of its frames is tried alone, unless the device is lost. NonFiniteLogits of a frame and
    DeviceLost are counted and passed on once the other frames are served; every other error ends here, counted and
    reported.
    """
    decoded = (arrival.camera.decoded(arrival, settings) for arrival in arrivals)
    frames = [frame for frame in decoded if frame is not None]
    plain = settings.confidence_threshold <= 0 and not any(frame.confidence for frame in frames)
    published, trouble = 0, None
    groups = [frames] if plain else _apart(frames)
    while groups:
        group = groups.pop(0)
        try:
            results = _segmented(group, model, settings)
        except Exception as error:  # a batch's may be anything: short memory, for one, may suffice for a frame
            if len(group) > 1 and not isinstance(error, DeviceLost):
                group[0].arrival.camera.tell_batch(error)
                groups += _apart(group)
            else:
                trouble = error
            continue
        for frame, result in zip(group, results):
            published += frame.arrival.camera.published(frame, result, model, settings)
    if trouble is not None:
        raise trouble
    return published


def _apart(frames: List[Frame]) -> List[List[Frame]]:
    return [[frame] for frame in frames]


def _segmented(frames: List[Frame], model: Model, settings: Settings) -> List[Segmentation]:
    """Results in the order of the frames; none where a single one was lost to an error that was reported.

    Several frames are lost with the device alone.
    """
    segment = partial(
        model.pipeline.batch,
        [frame.rgb for frame in frames],
        confidence=any(frame.confidence for frame in frames),
        threshold=settings.confidence_threshold,
        size=model.pipeline.input_size if settings.output_size == 'network' else None,
    )
    try:
        try:
            return segment()
        except MemoryError as error:
            if isinstance(error, OutOfDeviceMemory):
                raise
        gc.collect()  # out here the error is gone, and with it the frames that hold the failed run's arrays
        return segment()
    except Exception as error:  # the worker must outlive whatever one frame does; nothing is lost: it is reported
        if len(frames) > 1 and not isinstance(error, DeviceLost):
            raise
        for frame in frames:
            frame.arrival.camera.lose(error)
        if isinstance(error, (NonFiniteLogits, DeviceLost)):
            raise
        return []
