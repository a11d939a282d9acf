# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
import numpy as np

def upsample_argmax(
    logits: np.ndarray,
    classes: int,
    h: int,
    w: int,
    row_low: np.ndarray,
    row_fraction: np.ndarray,
    column_low: np.ndarray,
    column_fraction: np.ndarray,
    first: int,
    last: int,
    labels: np.ndarray,
) -> bool: ...
def upsample_confidence(
    logits: np.ndarray,
    classes: int,
    h: int,
    w: int,
    row_low: np.ndarray,
    row_fraction: np.ndarray,
    column_low: np.ndarray,
    column_fraction: np.ndarray,
    first: int,
    last: int,
    threshold: float,
    labels: np.ndarray,
    confidence: np.ndarray,
) -> None: ...
def colourise(labels: np.ndarray, table: np.ndarray, out: np.ndarray) -> None: ...
def blend(rgb: np.ndarray, labels: np.ndarray, table: np.ndarray, alpha: int, out: np.ndarray) -> None: ...
