# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The camera and its drive. World axes: x right, y up, z along the street, metres, ground at y = 0."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np


def camera_matrix(height: int, width: int, focal: float) -> np.ndarray:
    """Pinhole matrix (3,3) float64 with pixel centres at integers; ``focal`` in image widths."""
    f = focal * width
    return np.array([[f, 0.0, (width - 1) / 2], [0.0, f, (height - 1) / 2], [0.0, 0.0, 1.0]])


@dataclass(frozen=True)
class Pose:
    """Where the camera is: ``rotation`` (3,3) takes world offsets from ``position`` (3,) to optical axes."""

    rotation: np.ndarray
    position: np.ndarray


class Drive:
    """Pose over time: steady speed along z, gentle sway, yaw, pitch and bounce."""

    def __init__(self, rng: np.random.Generator, lane_x: float) -> None:
        self.speed = float(rng.uniform(4.0, 10.0))  # m/s
        self.height = float(rng.uniform(1.25, 1.65))
        self.pitch = math.radians(rng.uniform(0.5, 4.5))  # upwards
        self.yaw = math.radians(rng.uniform(-2.5, 2.5))
        self.roll = math.radians(rng.uniform(-0.4, 0.4))
        self.lane_x = lane_x
        self.phase = rng.uniform(0, 2 * math.pi, 5)

    def along(self, time_s: float) -> float:
        """Distance driven, metres."""
        return self.speed * time_s + 0.6 * math.sin(0.5 * time_s + self.phase[0])

    def pose(self, time_s: float) -> Pose:
        p = self.phase
        yaw = self.yaw + 0.018 * math.sin(0.45 * time_s + p[1])
        pitch = self.pitch + 0.004 * math.sin(2.3 * time_s + p[2])
        roll = self.roll + 0.004 * math.sin(1.1 * time_s + p[3])
        x = self.lane_x + 0.25 * math.sin(0.4 * time_s + p[4])
        y = self.height + 0.01 * math.sin(5.0 * time_s + p[2])
        optical = np.diag([1.0, -1.0, 1.0])  # world y is up, optical y is down
        rotation = _turn(2, roll) @ _turn(0, -pitch) @ _turn(1, -yaw) @ optical
        return Pose(rotation, np.array([x, y, self.along(time_s)]))


def _turn(axis: int, angle: float) -> np.ndarray:
    """Rotation (3,3) about an optical axis."""
    a, b = [i for i in range(3) if i != axis]
    turn = np.eye(3)
    turn[a, a] = turn[b, b] = math.cos(angle)
    turn[a, b], turn[b, a] = -math.sin(angle), math.sin(angle)
    return turn
