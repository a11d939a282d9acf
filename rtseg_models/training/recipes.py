# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The recipes: one for each paper on Cityscapes, the same protocol on CamVid, a tuned one for CamVid and a short one.

What a paper leaves open is marked here with "chosen". The epochs of the tuned recipes for CamVid are for a GPU and have
not been run to their end; the short ones are for a CPU.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Dict, List, Tuple

from .cpu_recipes import cpu_recipes
from .recipe import Recipe, Stage

CITYSCAPES_SIZE = (1024, 2048)
HALF_SIZE = (512, 1024)
CAMVID_SIZE = (360, 480)

IMAGENET = {
    'dataset': 'images',
    'splits': ('train',),
    'hold_out': '',
    'input_size': (256, 256),
    'crop': (224, 224),
    'label_scale': 1.0,
    'scale': (1.0, 1.875),
    'scales': (),
    'rotation': 0.0,
    'shift': 0,
    'epochs': 90,
    'batch': 256,
    'accumulate': 1,
    'optimiser': 'sgd',
    'lr': 0.1,
    'weight_decay': 1e-4,
    'decay_on': 'all',
    'schedule': 'step',
    'factor': 0.1,
    'patience': 30,
    'warmup_steps': 0,
}
"""Pre-training on ImageNet. The papers say that they do it, not how: batch, rate, decay, crop and scale are those of
Deep Residual Learning (He et al., 2016), section 3.4; chosen: 90 epochs, images stretched to a square."""


def _pretrained(paper: Recipe, source: str) -> Recipe:
    """The recipe behind a pre-training of its encoder on ImageNet."""
    stage = Stage('imagenet', {**IMAGENET, 'network': f'{paper.network}_classifier'}, 'encoder')
    return replace(paper, name=f'{paper.name}-imagenet', source=source, before=(stage,))


CONTEXTNET = Recipe(
    name='contextnet-cityscapes',
    network='contextnet',
    dataset='cityscapes',
    source='ContextNet, sections 3.1 and 3.2.2 (chosen: batch 16, crop, strengths of colour changes, weight decay '
    "4e-5, none on norms and biases, epochs after each pruning; PyTorch's RMSprop adds epsilon to the root, "
    "TensorFlow's inside it)",
    before=(
        Stage('width_2', {'network_args': {'width': 2.0}}, 'prune'),
        Stage('width_1.5', {'network_args': {'width': 1.5}, 'epochs': 250}, 'prune'),
        Stage('width_1.25', {'network_args': {'width': 1.25}, 'epochs': 250}, 'prune'),
    ),
    input_size=CITYSCAPES_SIZE,
    crop=CITYSCAPES_SIZE,
    scale=(0.5, 2.0),
    hue=0.1,
    saturation=0.3,
    brightness=0.15,
    contrast=0.3,
    batch=16,
    optimiser='rmsprop',
    second_momentum=0.9,
    epsilon=1.0,
    power=0.98,
)

FAST_SCNN = Recipe(
    name='fast_scnn-cityscapes',
    network='fast_scnn',
    dataset='cityscapes',
    source='Fast-SCNN, section 3.1 (chosen: crop, strengths of colour changes, no decay on norms and biases)',
    input_size=CITYSCAPES_SIZE,
    crop=CITYSCAPES_SIZE,
    scale=(0.5, 2.0),
    cast=0.2,
    brightness=0.15,
)

FARSEE_NET = Recipe(
    name='farsee_net-cityscapes',
    network='farsee_net',
    dataset='cityscapes',
    source='FarSee-Net, section IV.B: 512x1024 images against 1024x2048 labels, ResNet-18 pre-trained on ImageNet '
    '(chosen: weight decay 4e-5 on everything, crop, ranges of scale, rotation and colour cast, the pre-training)',
    before=(Stage('imagenet', {**IMAGENET, 'network': 'farsee_net_classifier', 'cast': 0.0}, 'encoder'),),
    input_size=HALF_SIZE,
    crop=HALF_SIZE,
    label_scale=2.0,
    scale=(0.5, 2.0),
    rotation=10.0,
    cast=0.2,
    batch=16,
    epochs=400,
    lr=0.1,
    schedule='step',
    factor=0.9,
    patience=50,
    decay_on='all',
)

ERFNET = Recipe(
    name='erfnet-cityscapes',
    network='erfnet',
    dataset='cityscapes',
    source='ERFNet, section IV, stage 1 on labels at 1/8 (chosen: 250 epochs a stage, stagnant = 20 epochs no better; '
    'fp32, since its first gradients are lost in bf16)',
    before=(Stage('encoder', {'network': 'erfnet_encoder', 'label_scale': 0.125}, 'encoder'),),
    input_size=HALF_SIZE,
    crop=HALF_SIZE,
    shift=2,
    epochs=250,
    optimiser='adam',
    lr=5e-4,
    weight_decay=2e-4,
    decay_on='all',
    schedule='plateau',
    factor=0.5,
    patience=20,
    class_weight_c=1.10,
    precision='fp32',
    mean=(0.0, 0.0, 0.0),
    std=(1.0, 1.0, 1.0),
)

DABNET = Recipe(
    name='dabnet-cityscapes',
    network='dabnet',
    dataset='cityscapes',
    source="DABNet, section 4.1; crop as in the authors' code (chosen after it: OHEM without class weights, warm-up "
    'from 0 instead of lr / 3)',
    input_size=CITYSCAPES_SIZE,
    crop=HALF_SIZE,
    scales=(0.75, 1.0, 1.25, 1.5, 1.75, 2.0),
    batch=8,
    weight_decay=1e-4,
    decay_on='all',
    warmup_steps=500,
    loss='ohem',
    mean=(0.2869, 0.3251, 0.2839),
    std=(1 / 255, 1 / 255, 1 / 255),
)

ENET = Recipe(
    name='enet-cityscapes',
    network='enet',
    dataset='cityscapes',
    source='ENet, section 4: Adam, 5e-4, weight decay 2e-4, class weights with c = 1.02 (chosen: epochs, augmentation, '
    'poly schedule, encoder and decoder trained in one)',
    input_size=HALF_SIZE,
    crop=HALF_SIZE,
    epochs=300,
    batch=10,
    optimiser='adam',
    lr=5e-4,
    weight_decay=2e-4,
    decay_on='all',
    class_weight_c=1.02,
    schedule='poly',
)

PAPERS = (CONTEXTNET, FAST_SCNN, FARSEE_NET, ERFNET, DABNET, ENET)


def _on_camvid(paper: Recipe) -> Recipe:
    """The paper's recipe with CamVid's images in place of Cityscapes'."""
    half = paper.label_scale == 2.0
    size = (180, 240) if half else CAMVID_SIZE
    return replace(
        paper,
        name=f'{paper.network}-camvid-paper',
        dataset='camvid',
        source=f'{paper.source}; on CamVid',
        input_size=size,
        crop=size,
    )


DABNET_CAMVID = replace(
    _on_camvid(DABNET),
    source="DABNet's code by its authors: Adam 1e-3, weight decay 2e-4, batch 16, class weights; there on train and "
    'val',
    batch=16,
    optimiser='adam',
    lr=1e-3,
    weight_decay=2e-4,
    warmup_steps=0,
    loss='cross_entropy',
    class_weight_c=1.10,
    mean=(0.3907, 0.4052, 0.4144),
)

TUNED = Recipe(
    name='',
    network='',
    dataset='camvid',
    source='chosen here: images enlarged, class weights, averaged weights, strong colour changes',
    input_size=HALF_SIZE,
    crop=(352, 704),
    label_scale=0.5,
    scale=(0.5, 2.0),
    aspect=0.25,
    brightness=0.14,
    contrast=0.35,
    saturation=0.35,
    cast=0.1,
    gamma=0.35,
    noise=6.0,
    blur=0.2,
    batch=8,
    warmup_steps=100,
    class_weight_c=1.10,
    ema=0.998,
    validate_every=20,
)


def _tuned() -> Tuple[Recipe, ...]:
    adam = replace(TUNED, optimiser='adam', lr=1e-3, weight_decay=1e-4, input_size=CAMVID_SIZE)
    adam = replace(adam, crop=(352, 480), label_scale=1.0, batch=12)
    return (
        replace(TUNED, name='fast_scnn-camvid', network='fast_scnn', lr=0.03, street_frames=600, street_share=0.25),
        replace(TUNED, name='fast_scnn-camvid-only', network='fast_scnn'),
        replace(TUNED, name='contextnet-camvid', network='contextnet'),
        replace(adam, name='farsee_net-camvid', network='farsee_net', scale=(0.4, 2.0)),
        replace(
            adam,
            name='farsee_net-camvid-half',
            network='farsee_net',
            source=f'{TUNED.source}; half-size images against full-size labels, as in the paper',
            input_size=(180, 240),
            crop=(192, 256),
            label_scale=2.0,
        ),
        replace(
            adam,
            name='erfnet-camvid',
            network='erfnet',
            source=f'{TUNED.source}; in one stage, whose blocks begin as identities',
            network_args={'residual_gain': 0.0},
        ),
        replace(adam, name='dabnet-camvid', network='dabnet'),
        replace(adam, name='enet-camvid', network='enet'),
    )


def _all() -> List[Recipe]:
    coarse = replace(FAST_SCNN, name='fast_scnn-cityscapes-coarse', dataset='cityscapes_coarse')
    coarse = replace(coarse, source=f'{FAST_SCNN.source}; with the 20,000 coarse images, section 3.4')
    images = 'pre-trained on ImageNet'
    pretrained = [
        _pretrained(FAST_SCNN, f'{FAST_SCNN.source}; {images}, section 3.4'),
        _pretrained(coarse, f'{coarse.source}; {images}'),
        _pretrained(ERFNET, f"{ERFNET.source}; encoder {images} in place of stage 1, as in the authors' code"),
    ]
    on_camvid = [DABNET_CAMVID if p is DABNET else _on_camvid(p) for p in PAPERS]
    tuned = _tuned()
    return [*PAPERS, coarse, *pretrained, *on_camvid, *tuned, *cpu_recipes({r.name: r for r in tuned})]


RECIPES: Dict[str, Recipe] = {r.name: r for r in _all()}
