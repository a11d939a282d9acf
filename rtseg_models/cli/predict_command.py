# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""``rtseg predict``: label images and overlays of images, folders and videos."""

from __future__ import annotations

from pathlib import Path
from typing import Dict, Iterator, List, Optional, Tuple

import click
import cv2
import numpy as np

from ..card import Size
from ..datasets.sample import IMAGE_SUFFIXES, list_images, read_rgb
from ..datasets.video import Video, may_lack, silence_opencv
from ..engine.paint import blend
from ..errors import BundleError, NotFound
from ..files import refuse_existing
from .model_options import SIZE, open_pipeline, pipeline_options
from .output import console, progress


@click.command('predict')
@click.argument('inputs', nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option('--model', default='fast_scnn-camvid', show_default=True, help='A shipped bundle or a bundle folder.')
@click.option('--out', required=True, type=click.Path(path_type=Path), help='A new folder for labels/ and overlays/.')
@click.option('--size', type=SIZE, help="Network input size instead of the card's.")
@click.option('--alpha', type=click.FloatRange(0, 1), default=0.5, show_default=True, help='Share of colour.')
@pipeline_options
def command(
    inputs: Tuple[Path, ...],
    model: str,
    out: Path,
    size: Optional[Size],
    alpha: float,
    backend: str,
    precision: str,
    device: str,
    threads: int,
) -> None:
    """Segment INPUTS (images, folders of images, videos) into OUT/labels and OUT/overlays, PNG and JPEG.

    What cannot be read is named and left out; the exit status is 65 then.
    """
    refuse_existing(out)
    silence_opencv()
    files = named_files(inputs)
    faults: List[str] = []
    count = 0
    with open_pipeline(model, backend, precision, device, threads, size) as pipeline, progress('segmenting') as advance:
        table = np.array(pipeline.bundle.card.colour_table(), np.uint8)
        for count, (frame, rgb) in enumerate(readable(files, faults), 1):
            labels = pipeline(rgb).labels
            _write(out / 'labels' / f'{frame}.png', labels)
            _write(out / 'overlays' / f'{frame}.jpg', blend(rgb, labels, table, alpha)[:, :, ::-1])
            advance(count, max(count, len(files)))
    if count:
        console.print(f'{count} frames segmented into {out}')
    if faults:
        raise BundleError('; '.join(faults))


def named_files(inputs: Tuple[Path, ...]) -> Dict[str, Path]:
    """Images and videos by the name of what is made of them, in order; folders keep those of several inputs apart.

    NotFound where one is missing, UsageError where two would have one name.
    """
    found: Dict[str, Path] = {}
    for path in inputs:
        if not path.exists():
            raise NotFound(f'{path}: no such file or folder')
        folder = f'{path.resolve().name}/' if len(inputs) > 1 else ''
        for file in list_images(path) if path.is_dir() else [path]:
            name = f'{folder}{file.stem}' if path.is_dir() else file.stem
            if name in found:
                raise click.UsageError(f'{file} and {found[name]} would both become {name}; give one at a time')
            found[name] = file
    return found


def readable(files: Dict[str, Path], faults: List[str]) -> Iterator[Tuple[str, np.ndarray]]:
    """Name and rgb (H,W,3) of what can be read; a sentence joins ``faults`` for each file that cannot."""
    for name, path in files.items():
        try:
            yield from frames(name, path)
        except (BundleError, NotFound, OSError) as error:
            faults.append(str(error))


def frames(name: str, path: Path) -> Iterator[Tuple[str, np.ndarray]]:
    """Name and rgb (H,W,3) of an image, or of each frame of a video.

    BundleError where it cannot be read, or is cut short, then after its last frame.
    """
    if path.suffix.lower() in IMAGE_SUFFIXES:
        yield name, read_rgb(path)
        return
    try:
        video = Video(path)
    except BundleError as error:
        raise BundleError(f'{error}, nor an image') from error
    read = 0
    for read, rgb in enumerate(video, 1):
        yield f'{name}/{read - 1:06d}', rgb
    stated = video.count or 0
    if not read or read < stated - may_lack(stated):
        raise BundleError(f'{path}: cut short or damaged: {read} of {stated} frames could be read')


def _write(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    refuse_existing(path)
    if not cv2.imwrite(str(path), image):
        raise OSError(f'{path}: could not be written')
