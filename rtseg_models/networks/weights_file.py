# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Read what ``torch.save`` wrote, without executing anything in it."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import torch

from ..errors import BundleError, NotFound


def read_weights(path: Path, kind: str = 'checkpoint') -> Any:
    """Tensors (on the CPU) and plain data of a file; NotFound or BundleError with the path, in one sentence."""
    if not path.is_file():
        raise NotFound(f'{path}: no such {kind}')
    try:
        return torch.load(path, map_location='cpu', weights_only=True)
    except (RuntimeError, EOFError, ValueError, OSError) as error:
        cause = (str(error).splitlines() or ['its end is missing'])[0]
        raise BundleError(f'{path}: not a {kind} that can be read: {cause}') from error
    except (pickle.UnpicklingError, LookupError, AttributeError, TypeError, AssertionError) as error:
        # PyTorch's own advice is to switch the safe reading off; of bytes that are no pickle it tells by any of these.
        raise BundleError(
            f'{path}: not a {kind} that can be read: no file of torch.save, or more in it than tensors and plain data'
        ) from error
