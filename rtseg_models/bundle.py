# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A bundle: the folder that holds all that is needed to run a network.

``card.json``            facts
``model.safetensors``    the only copy of the weights (convolutions may be stored in fp16)
``<h>x<w>.onnx``         a graph per input size; its initialisers point into ``model.safetensors``
``golden.npz``           one rendered frame ``rgb`` with its ``labels`` (camera size, fp32)
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Dict, List, Optional, Tuple

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from .card import Card, Size
from .errors import BundleError, ConfigurationError, NotFound

ZOO = Path(__file__).parent / 'zoo'
WEIGHTS = 'model.safetensors'
_GRAPH = re.compile(r'^(\d+)x(\d+)\.onnx$')


@dataclass(frozen=True)
class Bundle:
    """A bundle whose card and weights were checked."""

    name: str
    path: Path
    card: Card

    @property
    def weights_path(self) -> Path:
        """Absolute path of the weights."""
        return self.path / WEIGHTS

    def sizes(self) -> List[Size]:
        """Input sizes (height, width) that have a graph, smallest first."""
        found = (_GRAPH.match(p.name) for p in self.path.iterdir())
        return sorted(((int(m[1]), int(m[2])) for m in found if m), key=lambda s: (s[0] * s[1], s))

    def graph(self, size: Size) -> Path:
        """Path of the graph of one input size; ConfigurationError names the sizes that are there."""
        path = self.path / f'{size[0]}x{size[1]}.onnx'
        if not path.is_file():
            have = ', '.join(f'{h}x{w}' for h, w in self.sizes()) or 'none'
            raise ConfigurationError(
                f'{self.path}: no graph for input size {size[0]}x{size[1]} (present: {have}). Install PyTorch and '
                f'onnx to have it exported on demand, choose backend torch, or make a bundle that has it: '
                f'rtseg export --size {size[0]}x{size[1]} {self.path} --out FOLDER'
            )
        return path

    def weights(self) -> Dict[str, np.ndarray]:
        """Every tensor of the network by name, widened to float32 (integers as they are)."""
        return {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in self._stored().items()}

    def golden(self) -> Tuple[np.ndarray, np.ndarray]:
        """The golden sample: rgb (H,W,3) uint8 and the fp32 labels (H,W) uint8 that belong to it."""
        path = self.path / 'golden.npz'
        try:
            file = path.open('rb')
        except OSError as error:
            raise NotFound(f'{path}: cannot be read: {error}') from error
        try:
            with file, np.load(file, allow_pickle=False) as arrays:
                rgb, labels = arrays['rgb'], arrays['labels']
        except Exception as error:  # readers of zip, deflate and npy have errors of their own for damaged files
            raise BundleError(f'{path}: not a golden sample: {error}') from error
        if rgb.dtype != np.uint8 or labels.dtype != np.uint8 or rgb.shape != (*labels.shape, 3):
            raise BundleError(f'{path}: rgb is {rgb.shape} {rgb.dtype}, labels {labels.shape} {labels.dtype}')
        return rgb, labels

    def size_bytes(self) -> int:
        """What the bundle takes on disk."""
        return sum(p.stat().st_size for p in self.path.iterdir() if p.is_file())

    def _stored(self) -> Dict[str, np.ndarray]:
        try:
            tensors: Dict[str, np.ndarray] = load_file(str(self.weights_path))
        except (SafetensorError, OSError, ValueError, TypeError, KeyError, AttributeError) as error:
            # the last three for types that NumPy lacks, such as bfloat16
            raise BundleError(f'{self.weights_path}: not a readable safetensors file: {error}') from error
        for name, tensor in tensors.items():
            if tensor.dtype.kind not in 'fiu':  # a package that gives NumPy such types is there
                raise BundleError(
                    f'{self.weights_path}: tensor {name!r} is {tensor.dtype}; expected float16 or float32'
                )
        return tensors

    def verify(self) -> None:
        """Check the weights against the card: sha256, and no NaN or infinity. BundleError names the first offence."""
        found = sha256_of(self.weights_path)
        if found != self.card.weights_sha256:
            raise BundleError(
                f'{self.weights_path}: sha256 is {found}, the card says {self.card.weights_sha256}; '
                'the file is damaged or belongs to another card'
            )
        tensors = self._stored()
        for name, tensor in tensors.items():
            if not np.isfinite(tensor).all():
                raise BundleError(f'{self.weights_path}: tensor {name!r} holds NaN or infinity')
        if not tensors:
            raise BundleError(f'{self.weights_path}: holds no tensor')


def sha256_of(path: Path) -> str:
    """Hex digest of a file."""
    digest = hashlib.sha256()
    with path.open('rb') as file:
        for block in iter(lambda: file.read(1 << 20), b''):
            digest.update(block)
    return digest.hexdigest()


def load_bundle(model: str, weights_root: str = '') -> Bundle:
    """The bundle that ``model`` names, checked: a shipped bundle's name or a path to a folder.

    With ``weights_root`` the folder and all in it must resolve inside it (shipped bundles by name excepted), else
    ConfigurationError. NotFound lists the shipped names, or says what cannot be read; BundleError gives the absolute
    path and the first offending field or tensor.
    """
    shipped = shipped_bundles()
    path = shipped.get(model) or _resolved(model)
    root = _resolved(weights_root) if weights_root and model not in shipped else None
    if root is not None:
        _require_inside(root, path)
    try:
        return _loaded(path, root, shipped)
    except OSError as error:
        raise NotFound(f'{path}: cannot be read: {error}') from error


def _loaded(path: Path, root: Optional[Path], shipped: Dict[str, Path]) -> Bundle:
    if not os.path.isdir(path):  # Path.is_dir raises where a name is too long
        raise NotFound(f'{path}: no such bundle; shipped bundles: {", ".join(shipped) or "none"}')
    for needed in (path / 'card.json', path / WEIGHTS):
        if not needed.exists():
            raise NotFound(f'{needed}: no such file; a bundle folder holds card.json and {WEIGHTS}')
        if not needed.is_file():
            raise BundleError(f'{needed}: {"a folder" if needed.is_dir() else "no regular file"}; expected a file')
    if root is not None:
        for file in sorted(path.rglob('*')):
            _require_inside(root, file)
    where = str(path / 'card.json')
    try:
        text = (path / 'card.json').read_text(encoding='utf-8')
    except UnicodeDecodeError as error:
        raise BundleError(f'{where}: not UTF-8 text: {error}') from error
    bundle = Bundle(path.name, path, Card.from_json(text, where))
    bundle.verify()
    return bundle


def _require_inside(root: Path, path: Path) -> None:
    found = Path(os.path.realpath(path))  # Path.resolve raises over links in a circle
    if root != found and root not in found.parents:
        leads = '' if found == path else f' leads to {found},'
        raise ConfigurationError(f'{path}:{leads} outside weights_root {root}')


def _resolved(text: str) -> Path:
    try:
        return Path(text).expanduser().resolve()
    except RuntimeError as error:  # ~user of nobody known here
        raise NotFound(f'{text}: no such folder: {error}') from error


def shipped_bundles() -> Dict[str, Path]:
    """The bundles that come with this package, by name."""
    return {p.parent.name: p.parent for p in sorted(ZOO.glob('*/card.json'))}
