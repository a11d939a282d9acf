# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
from typing import Optional

import numpy as np

def tally_labels(
    labels: np.ndarray,
    before: Optional[np.ndarray],
    truth: Optional[np.ndarray],
    truth_before: Optional[np.ndarray],
    ignored: int,
    joint: np.ndarray,
) -> tuple[int, int, int]: ...
def relabel_and_count(labels: np.ndarray, table: np.ndarray, out: np.ndarray, counts: np.ndarray) -> None: ...
