# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What four public repositories call the tensors of our networks: rules from our names to theirs."""

from __future__ import annotations

import re
from typing import Callable, Match, Sequence, Tuple, Union

Rule = Tuple[str, Union[str, Callable[[Match[str]], str]]]
"""A pattern at the beginning of our name, and what the repository has in its place."""


def published_name(rules: Sequence[Rule], name: str) -> str:
    """The repository's name of the tensor that our network calls ``name``, by the first rule that fits."""
    for pattern, replacement in rules:
        result, count = re.subn(f'^{pattern}', replacement, name)
        if count:
            return result
    raise KeyError(name)


def _separable(prefix: str, count_from: int) -> Callable[[Match[str]], str]:
    """Name of a depthwise separable layer whose two convolutions lie in one flat list of six."""
    return lambda m: f'{prefix}{int(m[1]) + count_from}.conv.{3 * int(m[2]) + int(m[3])}.'


TRAMAC: Sequence[Rule] = (
    (r'learning_to_downsample\.0\.', 'learning_to_downsample.conv.conv.'),
    (r'learning_to_downsample\.(\d)\.(\d)\.(\d)\.', _separable('learning_to_downsample.dsconv', 0)),
    (
        r'global_features\.([012])\.(\d)\.body\.([01])\.',
        lambda m: f'global_feature_extractor.bottleneck{int(m[1]) + 1}.{m[2]}.block.{m[3]}.conv.',
    ),
    (
        r'global_features\.([012])\.(\d)\.body\.2\.(\d)\.',
        lambda m: f'global_feature_extractor.bottleneck{int(m[1]) + 1}.{m[2]}.block.{2 + int(m[3])}.',
    ),
    (r'global_features\.3\.reduce\.(\d)\.', lambda m: f'global_feature_extractor.ppm.conv{int(m[1]) + 1}.conv.'),
    (r'global_features\.3\.project\.', 'global_feature_extractor.ppm.out.conv.'),
    (r'fuse_low\.0\.', 'feature_fusion.dwconv.conv.'),
    (r'fuse_low\.1\.', 'feature_fusion.conv_lower_res.'),
    (r'fuse_high\.', 'feature_fusion.conv_higher_res.'),
    (r'classifier\.([01])\.(\d)\.(\d)\.', _separable('classifier.dsconv', 1)),
    (r'classifier\.3\.', 'classifier.conv.1.'),
)

_ERF_PARTS = {
    'conv': 'conv',
    'norm': 'bn',
    'first.0': 'conv3x1_1',
    'first.2': 'conv1x3_1',
    'first.3': 'bn1',
    'second.0': 'conv3x1_2',
    'second.2': 'conv1x3_2',
    'second.3': 'bn2',
    '0': 'conv',
    '1': 'bn',
}
_ERF_PART = r'(conv|norm|first\.\d|second\.\d|\d)\.(?=\w+$)'

ERFNET: Sequence[Rule] = (
    (rf'encoder\.0\.{_ERF_PART}', lambda m: f'encoder.initial_block.{_ERF_PARTS[m[1]]}.'),
    (rf'encoder\.(\d+)\.{_ERF_PART}', lambda m: f'encoder.layers.{int(m[1]) - 1}.{_ERF_PARTS[m[2]]}.'),
    (r'decoder\.6\.', 'decoder.output_conv.'),
    (rf'decoder\.(\d)\.{_ERF_PART}', lambda m: f'decoder.layers.{m[1]}.{_ERF_PARTS[m[2]]}.'),
)

_DAB_PARTS = {
    'reduce': 'conv3x3',
    'local.0': 'dconv3x1',
    'local.1': 'dconv1x3',
    'context.0': 'ddconv3x1',
    'context.1': 'ddconv1x3',
    'before': 'bn_relu_1',
    'sum': 'bn_relu_2',
}
_NORM_PRELU = ('bn', 'acti')


def _dab_module(m: Match[str]) -> str:
    return f'DAB_Block_{m[1]}.DAB_Module_{m[1]}_{m[2]}.'


DABNET: Sequence[Rule] = (
    (r'initial\.(\d)\.0\.', r'init_conv.\1.conv.'),
    (r'initial\.(\d)\.1\.([01])\.', lambda m: f'init_conv.{m[1]}.bn_prelu.{_NORM_PRELU[int(m[2])]}.'),
    (r'join(\d)\.([01])\.', lambda m: f'bn_prelu_{m[1]}.{_NORM_PRELU[int(m[2])]}.'),
    (r'down(\d)\.conv\.', r'downsample_\1.conv3x3.conv.'),
    (r'down(\d)\.after\.([01])\.', lambda m: f'downsample_{m[1]}.bn_prelu.{_NORM_PRELU[int(m[2])]}.'),
    (
        r'block(\d)\.(\d)\.(before|sum)\.([01])\.',
        lambda m: f'{_dab_module(m)}{_DAB_PARTS[m[3]]}.{_NORM_PRELU[int(m[4])]}.',
    ),
    (
        r'block(\d)\.(\d)\.(reduce|local\.\d|context\.\d)\.1\.([01])\.',
        lambda m: f'{_dab_module(m)}{_DAB_PARTS[m[3]]}.bn_prelu.{_NORM_PRELU[int(m[4])]}.',
    ),
    (
        r'block(\d)\.(\d)\.(reduce|local\.\d|context\.\d)\.0\.',
        lambda m: f'{_dab_module(m)}{_DAB_PARTS[m[3]]}.conv.',
    ),
    (r'block(\d)\.(\d)\.expand\.', lambda m: f'{_dab_module(m)}conv1x1.conv.'),
    (r'head\.', 'classifier.0.conv.'),
)

FARSEE: Sequence[Rule] = (
    (r'frontend\.', 'frontend_network.'),
    (r'backend\.context\.branches\.', 'backend_network.conv_high.'),
    (r'backend\.enlarge\.', 'backend_network.sub_pixel_high.'),
    (r'backend\.reduce_low\.', 'backend_network.conv_low_init.'),
    (r'backend\.cascade\.branches\.', 'backend_network.conv_low.'),
    (r'backend\.refine\.', 'backend_network.conv_low_last.'),
    (r'backend\.classify\.', 'backend_network.sub_pixel_low.'),
)
