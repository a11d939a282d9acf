# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the launch files ask of ``ros2 bag play``."""

from __future__ import annotations

import math

CLOCK_HZ = 40
"""How often it tells the time by default, whatever the rate of the bag."""


def clock_hz(rate: str) -> str:
    """The frequency of ``/clock`` in wall time at which the bag's time steps as finely at ``rate`` as it does at 1.

    Else frames of a fast bag are ahead of the clock by more than ``max_future_s``. ValueError where rate is no number.
    """
    try:
        return str(math.ceil(CLOCK_HZ * max(float(rate), 1.0)))
    except (ValueError, OverflowError) as error:  # not a number, or an infinite one
        raise ValueError(f"argument 'bag_rate' is {rate!r}; expected a number") from error
