# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Layouts on disk, made up in a temporary folder, sound and with every fault."""

from __future__ import annotations

import errno
import json
import os
import struct
import zlib
from pathlib import Path

import cv2
import numpy as np
import pytest

from rtseg_models.cli.benchmark_command import read_images
from rtseg_models.datasets import open_checked, open_dataset
from rtseg_models.datasets.sample import Joined, hold_out, read_label, read_rgb
from rtseg_models.errors import BundleError, ConfigurationError, NotFound

SHAPE = (8, 12)


def put(path: Path, image: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    assert cv2.imwrite(str(path), image)


def put_pair(image: Path, label: Path, ids: np.ndarray) -> None:
    put(image, np.full((*ids.shape, 3), 90, np.uint8))
    put(label, ids)


def ids(value: int = 0) -> np.ndarray:
    return np.full(SHAPE, value, np.uint8)


def camvid(root: Path) -> Path:
    for split in ('train', 'val'):
        for i in range(3):
            put_pair(root / split / f'{split}{i}.png', root / f'{split}annot' / f'{split}{i}.png', ids(i))
    return root


def cityscapes_pair(root: Path, split: str, labels: str, name: str, label: np.ndarray) -> None:
    city = name.split('_')[0]
    put_pair(
        root / 'leftImg8bit' / split / city / f'{name}_leftImg8bit.png',
        root / labels / split / city / f'{name}_{labels}_labelIds.png',
        label,
    )


def test_camvid_counts_its_pixels(tmp_path: Path) -> None:
    opened, counts = open_checked('camvid', camvid(tmp_path), ['train', 'val'])
    assert len(opened['train']) == 3 and opened['val'][1].name == 'val1'
    assert counts['train'].tolist() == [96, 96, 96] + [0] * 8


def test_every_fault_of_every_split_is_listed(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    (root / 'train' / 'train0.png').unlink()
    put(root / 'trainannot' / 'train1.png', ids()[:4])
    put(root / 'valannot' / 'val0.png', ids(17))
    whole = (root / 'val' / 'val1.png').read_bytes()
    (root / 'val' / 'val1.png').write_bytes(whole[:-12])
    (root / 'val' / 'val2.png').write_bytes(b'')
    with pytest.raises(BundleError) as refused:
        open_checked('camvid', root, ['train', 'val'])
    message = str(refused.value)
    for fault in (
        '5 faults',
        'train0.png: no image',
        'train1: image 8x12, label 4x12; they must be equal',
        'val0: ids [17]; known: 0 to 10, ignored: [11, 255]',
        'val1.png: a truncated PNG',
        'val2.png: not an image that can be decoded',
    ):
        assert fault in message


def test_a_broken_image_does_not_hide_what_is_wrong_with_its_label(tmp_path: Path) -> None:
    image, label = (camvid(tmp_path) / folder / 'train0.png' for folder in ('train', 'trainannot'))
    image.write_bytes(image.read_bytes()[:-20])
    put(label, ids(77))
    with pytest.raises(BundleError, match=r'(?s)truncated PNG.*ids \[77\]'):
        open_checked('camvid', tmp_path, ['train'])


def test_a_png_with_a_palette_is_refused_with_what_to_do(tmp_path: Path) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))

    header = chunk(b'IHDR', struct.pack('>IIBBBBB', 2, 1, 8, 3, 0, 0, 0)) + chunk(b'PLTE', bytes(range(6)))
    pixels = chunk(b'IDAT', zlib.compress(bytes([0, 0, 1]))) + chunk(b'IEND', b'')
    (tmp_path / 'indexed.png').write_bytes(b'\x89PNG\r\n\x1a\n' + header + pixels)
    assert read_rgb(tmp_path / 'indexed.png').shape == (1, 2, 3)
    with pytest.raises(BundleError, match='save them as grey values'):
        read_label(tmp_path / 'indexed.png')


def test_an_empty_and_an_unlabelled_split_are_faults(tmp_path: Path) -> None:
    put_pair(tmp_path / 'train' / 'a.png', tmp_path / 'trainannot' / 'a.png', ids(11))
    (tmp_path / 'val').mkdir()
    with pytest.raises(BundleError, match=r'(?s)no pixel of it is labelled.*no images in it'):
        open_checked('camvid', tmp_path, ['train', 'val'])


def test_opening_lists_files_without_a_partner(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    (root / 'trainannot' / 'train2.png').unlink()
    with pytest.raises(NotFound, match=r'train2\.png: no label image'):
        open_dataset('camvid', root, 'train')


def test_images_that_differ_in_their_suffix_alone_are_a_fault(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    (root / 'train' / 'train2.jpg').write_bytes((root / 'train' / 'train2.png').read_bytes())
    twins = r'train2\.png: has the name of .*train2\.jpg'
    with pytest.raises(BundleError, match=twins):
        open_dataset('camvid', root, 'train')
    (root / 'trainannot' / 'train1.png').unlink()
    with pytest.raises(BundleError, match=rf'(?s)2 faults.*train1\.png: no label image.*{twins}'):
        open_checked('camvid', root, ['train'])


def test_a_file_that_cannot_be_read_is_listed_with_the_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root, read = camvid(tmp_path), Path.read_bytes

    def worn(path: Path) -> bytes:
        if path.name == 'train1.png':
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return read(path)

    monkeypatch.setattr(Path, 'read_bytes', worn)
    (root / 'val' / 'val0.png').unlink()
    with pytest.raises(BundleError, match=r'(?s)train1\.png: cannot be read: Input/output error.*val0'):
        open_checked('camvid', root, ['train', 'val'])


def test_label_images_have_one_channel(tmp_path: Path) -> None:
    put(tmp_path / 'colour.png', np.zeros((4, 4, 3), np.uint8))
    with pytest.raises(BundleError, match='one 8-bit channel'):
        read_label(tmp_path / 'colour.png')


@pytest.mark.parametrize('bits', [1, 2, 4])
def test_labels_of_fewer_bits_are_refused(tmp_path: Path, bits: int) -> None:
    """OpenCV would read id 1 of such a file as 255, 85 or 17."""
    data = bytearray(cv2.imencode('.png', ids())[1].tobytes())
    data[24] = bits
    (tmp_path / 'label.png').write_bytes(data)
    with pytest.raises(BundleError, match=rf'label\.png: a PNG file of {bits} bits? a pixel'):
        read_label(tmp_path / 'label.png')


@pytest.mark.parametrize('suffix', ['.jpg', '.png'])
def test_labels_in_a_jpeg_file_are_refused(tmp_path: Path, suffix: str) -> None:
    (tmp_path / f'label{suffix}').write_bytes(cv2.imencode('.jpg', ids(3))[1].tobytes())
    with pytest.raises(BundleError, match='JPEG file, which smears label ids'):
        read_label(tmp_path / f'label{suffix}')


def test_no_reader_turns_a_picture_as_its_exif_orientation_says(tmp_path: Path) -> None:
    """A picture turned beside a label that is not would be of another size, or upside down."""
    exif = b'Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0'
    plain = cv2.imencode('.jpg', np.full((*SHAPE, 3), 90, np.uint8))[1].tobytes()
    turned = plain[:2] + b'\xff\xe1' + (len(exif) + 2).to_bytes(2, 'big') + exif + plain[2:]
    (tmp_path / 'image.jpg').write_bytes(turned)
    assert cv2.imread(str(tmp_path / 'image.jpg')).shape[:2] == SHAPE[::-1]
    assert read_rgb(tmp_path / 'image.jpg').shape[:2] == SHAPE
    assert [rgb.shape[:2] for rgb in read_images(tmp_path)] == [SHAPE]


def test_a_bilevel_label_is_listed_with_its_dataset(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    mask = np.tile(np.array([[0, 255]], np.uint8), (8, 6))
    assert cv2.imwrite(str(root / 'trainannot' / 'train1.png'), mask, [cv2.IMWRITE_PNG_BILEVEL, 1])
    with pytest.raises(BundleError, match='1 bit a pixel'):
        open_checked('camvid', root, ['train'])


def test_an_image_that_opencv_refuses_is_listed(tmp_path: Path) -> None:
    root = camvid(tmp_path)
    data = bytearray((root / 'train' / 'train1.png').read_bytes())
    data[16:24] = (70_000).to_bytes(4, 'big') * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, 'big')
    (root / 'train' / 'train1.png').write_bytes(data)
    (root / 'val' / 'val0.png').unlink()
    with pytest.raises(BundleError, match=r'(?s)train1\.png: not.*val0'):
        open_checked('camvid', root, ['train', 'val'])


def test_cityscapes_refuses_one_name_in_two_cities(tmp_path: Path) -> None:
    for city in ('aachen', 'bremen'):
        put(tmp_path / 'leftImg8bit' / 'val' / city / '1_leftImg8bit.png', np.zeros((*SHAPE, 3), np.uint8))
    put(tmp_path / 'gtFine' / 'val' / 'aachen' / '1_gtFine_labelIds.png', ids())
    with pytest.raises(BundleError, match=r'bremen/1_leftImg8bit\.png: has the name of .*aachen'):
        open_dataset('cityscapes', tmp_path, 'val')


def test_cityscapes_maps_label_ids(tmp_path: Path) -> None:
    label = np.zeros(SHAPE, np.uint8)
    label[0, :6] = [7, 8, 11, 23, 24, 33]
    label[1, :3] = [0, 6, 29]
    cityscapes_pair(tmp_path, 'train', 'gtFine', 'aachen_000000_000019', label)
    data = open_dataset('cityscapes', tmp_path, 'train')
    name, rgb, found = data[0]
    assert name == 'aachen_000000_000019' and rgb.shape == (*SHAPE, 3)
    assert found[0, :6].tolist() == [0, 1, 2, 10, 11, 18]
    assert (found[1:] == 255).all()


def test_cityscapes_refuses_colours_as_ids(tmp_path: Path) -> None:
    cityscapes_pair(tmp_path, 'val', 'gtFine', 'ulm_0_0', ids(70))
    with pytest.raises(BundleError, match=r'ids \[70\]; label ids are 0 to 33'):
        open_checked('cityscapes', tmp_path, ['val'])


def test_coarse_images_join_the_train_split_only(tmp_path: Path) -> None:
    cityscapes_pair(tmp_path, 'train', 'gtFine', 'aachen_0_0', ids(7))
    cityscapes_pair(tmp_path, 'train_extra', 'gtCoarse', 'augsburg_0_0', ids(8))
    cityscapes_pair(tmp_path, 'val', 'gtFine', 'ulm_0_0', ids(11))
    opened, counts = open_checked('cityscapes_coarse', tmp_path, ['train', 'val'])
    assert [len(opened[s]) for s in ('train', 'val')] == [2, 1]
    assert counts['train'][:3].tolist() == [96, 96, 0]
    assert isinstance(opened['train'], Joined) and opened['train'][1].name == 'augsburg_0_0'


def folder(root: Path, classes: object) -> Path:
    put_pair(root / 'train' / 'a.jpg', root / 'trainannot' / 'a.png', ids(1))
    (root / 'classes.json').write_text(json.dumps(classes), encoding='utf-8')
    return root


PATH, GRASS = {'name': 'path', 'colour': [1, 2, 3]}, {'name': 'grass', 'colour': [4, 5, 6]}


def test_folder_with_its_class_file(tmp_path: Path) -> None:
    data = open_dataset('folder', folder(tmp_path, {'name': 'yard', 'classes': [PATH, GRASS]}), 'train')
    assert data.class_set.name == 'yard' and data.class_set.names == ('path', 'grass')
    assert data.class_set.ignore_id == 255 and data.class_set.colours[1] == (4, 5, 6)
    assert data[0].name == 'a' and (data[0].label == 1).all()


@pytest.mark.parametrize(
    'classes,why',
    [
        ([], 'must be a list of 1 to 254'),
        ({'classes': []}, 'must be a list of 1 to 254'),
        ({'classes': [PATH, {'name': 'grass'}]}, 'class 1 is'),
        ({'classes': [{'name': 'path', 'colour': [1, 2, 300]}]}, 'class 0 is'),
        ({'classes': [PATH, PATH]}, 'occur twice: path'),
        ({'classes': [PATH, GRASS], 'ignore_id': 1}, 'ignore_id is 1; expected 2'),
    ],
)
def test_class_files_that_make_no_sense(classes: object, why: str, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match=why):
        open_dataset('folder', folder(tmp_path, classes), 'train')


def test_a_missing_class_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match=r'classes\.json: no such file'):
        open_dataset('folder', tmp_path, 'train')


def test_holding_out_by_name(tmp_path: Path) -> None:
    data = open_dataset('camvid', camvid(tmp_path), 'train')
    kept, held = hold_out(data, 'train2')
    assert [kept[i].name for i in range(len(kept))] == ['train0', 'train1']
    assert [held[i].name for i in range(len(held))] == ['train2']
    kept, held = hold_out(Joined([data, open_dataset('camvid', tmp_path, 'val')]), 'train')
    assert [len(kept), len(held)] == [3, 3] and kept[0].name == 'val0' and held[2].name == 'train2'
    with pytest.raises(NotFound, match='0 of 3 sample names'):
        hold_out(data, '0001TP')
    with pytest.raises(ConfigurationError, match='only datasets of files'):
        hold_out(Joined([data, open_dataset('synthetic', tmp_path, 'val')]), 'x')
