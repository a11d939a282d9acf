# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Parts of the node taken alone."""


def bare(kind, **fields):
    """An object of ``kind`` that was not initialised but for these fields."""
    made = kind.__new__(kind)
    vars(made).update(fields)
    return made


def quiet(text):
    """Tells nobody."""
