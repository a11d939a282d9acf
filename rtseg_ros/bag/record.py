# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What reading a recording gives."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Optional


@dataclass(frozen=True)
class ImageRecord:
    """One image message of a bag.

    ``index`` counts the topic's messages within the time range from 0, before the stride. ``message`` has the fields of
    sensor_msgs/Image or CompressedImage; it is None where the bytes are no such message or its stamp is no time, and
    ``fault`` says why. ``placed``: no message of the bag was lost before this one, so that ``index`` is its place.
    """

    topic: str
    stamp_ns: int
    frame_id: str
    record_time_ns: int
    index: int
    message: Optional[Any]
    compressed: bool
    fault: str = ''
    placed: bool = True
