# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``python -m rtseg_models.cli`` is ``rtseg``: the form that ``torchrun -m`` takes."""

from . import main

main()
