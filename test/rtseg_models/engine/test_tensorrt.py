# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What TensorRT's provider is asked for; ONNX Runtime refuses options that its release does not know."""

from __future__ import annotations

from pathlib import Path

import pytest

pytest.importorskip('onnxruntime')
import onnxruntime

from rtseg_models.engine.backends.tensorrt_backend import provider_settings


@pytest.mark.parametrize(
    ('release', 'known'),
    [('1.15.1', False), ('1.16.3', False), ('1.17.0', True), ('1.23.2', True), ('1.18.0rc1', True), ('2.0.0', True)],
)
def test_the_folder_of_timings_is_named_where_the_release_knows_it(
    monkeypatch: pytest.MonkeyPatch, release: str, known: bool
) -> None:
    monkeypatch.setattr(onnxruntime, '__version__', release)
    settings = provider_settings('fp16', 'cuda:1', Path('cache'))
    assert settings.pop('trt_timing_cache_path', None) == ('cache' if known else None)
    assert settings == {
        'device_id': 1,
        'trt_fp16_enable': True,
        'trt_engine_cache_enable': True,
        'trt_engine_cache_path': 'cache',
        'trt_timing_cache_enable': True,
    }
