# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The networks by name: one paper, one file."""

from __future__ import annotations

from typing import Any, Callable, Dict, NamedTuple

from torch import nn

from .fast_scnn import FastSCNN


class Variant(NamedTuple):
    """A network's class and the arguments that make this variant of it."""

    build: Callable[..., nn.Module]
    arguments: Dict[str, Any]


NETWORKS: Dict[str, Variant] = {
    'fast_scnn': Variant(FastSCNN, {}),
}


def build_network(name: str, classes: int, **arguments: Any) -> nn.Module:
    """A fresh network for ``classes`` classes; ValueError lists the known names."""
    if name not in NETWORKS:
        raise ValueError(f'unknown network {name!r}; known: {", ".join(sorted(NETWORKS))}')
    variant = NETWORKS[name]
    return variant.build(classes, **{**variant.arguments, **arguments})
