# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Every parameter of the node, declared once.

``Settings`` is the declaration: a field is a parameter, its metadata the description, range and choices. From it come
the ROS descriptors, ``config/segment.yaml`` (``python -m rtseg_ros.parameters --yaml``) and the table in the README
(``--markdown``); a test checks that the three agree.
"""

from __future__ import annotations

import difflib
import math
import re
import sys
from dataclasses import dataclass, field, fields
from typing import Any, Dict, List, Mapping, Tuple, TypeVar

T = TypeVar('T')

ENCODINGS = (
    '', 'rgb8', 'bgr8', 'rgba8', 'bgra8', 'mono8', '8UC1', '8UC3', '8UC4', 'mono16', '16UC1',
    'bayer_rggb8', 'bayer_bggr8', 'bayer_gbrg8', 'bayer_grbg8', 'yuv422', 'uyvy', 'yuv422_yuy2', 'yuyv', 'nv12', 'nv21',
)  # fmt: skip
HOUR_MS = 3_600_000.0


@dataclass(frozen=True)
class Parameter:
    """What the metadata of a field says: ``low`` and ``high`` are inclusive; not ``dynamic`` is read at configure."""

    description: str
    low: float = -math.inf
    high: float = math.inf
    choices: Tuple[str, ...] = ()
    dynamic: bool = True
    zero_is_off: bool = False

    def range_text(self) -> str:
        """The range or the choices for a person; empty where anything goes."""
        if self.choices:
            return ', '.join(choice or '""' for choice in self.choices)
        if math.isinf(self.low):
            return ''
        return ('0 or ' if self.zero_is_off and self.low > 0 else '') + f'{self.low:g} to {self.high:.10g}'


def _at_configure(default: T, description: str, *bounds: float, **more: Any) -> T:
    return _dynamic(default, description, *bounds, dynamic=False, **more)


def _dynamic(default: T, description: str, *bounds: float, **more: Any) -> T:
    low, high = bounds or (-math.inf, math.inf)
    value: T = field(default=default, metadata={'parameter': Parameter(description, low, high, **more)})
    return value


@dataclass(frozen=True)
class Settings:
    """The values of all parameters at one moment."""

    model: str = _at_configure('fast_scnn-camvid', 'Name of a shipped bundle, or path to a bundle.')
    weights_root: str = _at_configure(
        '',
        'If set, bundles given by path and all their files must resolve inside this folder.',
    )
    device: str = _at_configure(
        'auto',
        'Where the network runs. Only auto may fall back to the CPU, and it warns; cuda never does.',
        choices=('auto', 'cpu', 'cuda', 'cuda:N'),
    )
    backend: str = _at_configure(
        'auto', 'Runtime of the network.', choices=('auto', 'torch', 'onnxruntime', 'openvino', 'tensorrt')
    )
    precision: str = _at_configure(
        'auto', "Arithmetic; auto follows the bundle's card.", choices=('auto', 'fp32', 'fp16', 'bf16', 'int8')
    )
    cache_dir: str = _at_configure(
        '~/.cache/rtseg', 'Folder of compiled engines, made with mode 0700; empty: no cache.'
    )
    input_height: int = _at_configure(0, 'Rows of the network input; 0: from the bundle.', 32, 4096, zero_is_off=True)
    input_width: int = _at_configure(0, 'Columns of the network input; 0: from the bundle.', 32, 4096, zero_is_off=True)
    output_size: str = _dynamic(
        'input', "Size of the outputs: the camera's or the network input's.", choices=('input', 'network')
    )
    confidence_threshold: float = _dynamic(0.0, 'Pixels less confident than this are 255 (unlabelled).', 0, 1)
    image_transport: str = _at_configure('raw', 'Type of the input topic.', choices=('raw', 'compressed'))
    image_reliability: str = _at_configure(
        'auto',
        'Reliability of the input subscription; auto: reliable while every publisher offers it, else best effort.',
        choices=('auto', 'best_effort', 'reliable'),
    )
    encoding_override: str = _dynamic(
        '', 'Encoding to read raw frames as, for cameras that mislabel; empty: as labelled.', choices=ENCODINGS
    )
    max_rate_hz: float = _dynamic(0.0, 'Most frames segmented per second, over all cameras; 0: no limit.', 0, 1000)
    max_image_age_s: float = _dynamic(0.5, 'Older frames are dropped, by the ROS clock; 0: off.', 0, 10)
    max_future_s: float = _dynamic(0.1, 'Frames stamped further ahead of the ROS clock are dropped; 0: off.', 0, 10)
    max_image_pixels: int = _at_configure(33_177_600, 'Larger images are dropped (height x width).', 1, 1 << 30)
    lazy: bool = _dynamic(True, 'Leave the input unsubscribed while nobody wants an output.')
    overlay_alpha: float = _dynamic(0.5, 'Share of the class colour in the overlay.', 0, 1)
    overlay_legend: bool = _dynamic(False, 'Burn the legend into the overlay.')
    color_encoding: str = _dynamic('rgb8', 'Encoding of ~/color_mask.', choices=('rgb8', 'bgr8', 'rgba8'))
    jpeg_quality: int = _dynamic(80, 'Quality of the compressed colour outputs.', 1, 100)
    cameras: Tuple[str, ...] = _at_configure(
        ('',), 'Camera names: <name>/image in, ~/<name>/mask and so on out; one empty name: a single camera.'
    )
    cloud: str = _at_configure('off', 'Source of ~/points.', choices=('off', 'depth', 'lidar'))
    cloud_sync_s: float = _at_configure(0.05, 'Stamps further apart than this are not paired.', 0, 10)
    target_rate_hz: float = _dynamic(
        0.0, 'Choose the largest input size of the bundle that holds this rate; 0: off.', 0, 1000
    )
    input_timeout_s: float = _dynamic(2.0, 'Diagnostics: ERROR after this long without a frame.', 0.1, 3600)
    min_rate_hz: float = _dynamic(0.0, 'Diagnostics: WARN below this rate of masks; 0: off.', 0, 1000)
    latency_warn_ms: float = _dynamic(150.0, 'Diagnostics: WARN above this p95 latency; 0: off.', 0, HOUR_MS)
    latency_error_ms: float = _dynamic(500.0, 'Diagnostics: ERROR above this p95 latency; 0: off.', 0, HOUR_MS)
    max_consecutive_failures: int = _dynamic(10, 'Diagnostics: ERROR after this many failures in a row.', 1, 1_000_000)
    warmup_iterations: int = _at_configure(3, 'Runs of the network before the first frame.', 0, 1000)
    self_test: bool = _at_configure(True, 'Check the golden sample of the bundle at configure.')
    deterministic: bool = _at_configure(
        False, 'One thread and fp32 unless precision says otherwise: equal frames give equal bytes on one machine.'
    )
    autostart: bool = _at_configure(True, 'Configure and activate without a lifecycle manager.')
    drop_zero_stamp: bool = _dynamic(False, 'Drop frames without a stamp; otherwise they pass the age check.')
    publish_debug: bool = _dynamic(False, 'Publish ~/debug/processing_time_ms and ~/debug/pipeline_latency_ms.')


CAMERA_NAMES = (
    'a list of names of letters, digits and _, no digit first, with / between their parts, 100 characters long at most'
)
_CAMERA_NAME = re.compile(r'([A-Za-z_][A-Za-z0-9_]*(/[A-Za-z_][A-Za-z0-9_]*)*)?')

PARAMETERS: Dict[str, Parameter] = {f.name: f.metadata['parameter'] for f in fields(Settings)}
DEFAULTS: Dict[str, Any] = {f.name: f.default for f in fields(Settings)}


def converted(name: str, value: Any) -> Any:
    """``value`` as the type of parameter ``name``: whole numbers serve as floats, lists become tuples, [] is [''].

    YAML, and so ``-p cloud:=off``, reads a bare ``off`` as false.
    """
    default = DEFAULTS[name]
    if isinstance(default, tuple):
        return tuple(value) or ('',) if isinstance(value, (list, tuple, bytes)) or hasattr(value, 'typecode') else value
    if isinstance(default, float) and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    if value is False and 'off' in PARAMETERS[name].choices:
        return 'off'
    return value


def refusal(name: str, value: Any) -> str:
    """Why ``value`` (converted) cannot be had for the parameter ``name``: a sentence; empty if it can."""
    parameter, default = PARAMETERS[name], DEFAULTS[name]
    kind = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text', tuple: CAMERA_NAMES}
    expected = parameter.range_text()
    fits = type(value) is type(default)
    if fits and isinstance(value, tuple):
        fits = all(isinstance(v, str) and len(v) <= 100 and _CAMERA_NAME.fullmatch(v) for v in value)
    elif fits and isinstance(value, str) and parameter.choices:
        fits = re.sub(r'^cuda:\d+$', 'cuda:N', value) in parameter.choices and value != 'cuda:N'
    elif fits and isinstance(value, (int, float)) and not isinstance(value, bool):
        fits = parameter.low <= value <= parameter.high or (parameter.zero_is_off and value == 0)
    if fits:
        return ''
    text = f'{kind[type(default)]}, {expected}' if expected else kind[type(default)]
    return f'Parameter {name!r} cannot be {value!r}; expected {text}.'


def unknown_names(names: Mapping[str, Any]) -> List[str]:
    """A sentence for each name that is no parameter of the node, with the names it resembles."""
    sentences = []
    for name in sorted(set(names) - set(PARAMETERS)):
        close = difflib.get_close_matches(name, PARAMETERS, n=3)
        hint = f'; did you mean {" or ".join(map(repr, close))}?' if close else '.'
        sentences.append(f'Parameter {name!r} is given but the node has none of that name{hint}')
    return sentences


def as_yaml() -> str:
    """The text of ``config/segment.yaml``: every parameter at its default."""
    lines = ['# Every parameter of the node at its default. Written by: python -m rtseg_ros.parameters --yaml']
    lines += ['/**:', '  ros__parameters:']
    for name, parameter in PARAMETERS.items():
        facts = [parameter.range_text(), '' if parameter.dynamic else 'read at configure']
        suffix = f' ({"; ".join(filter(None, facts))})' if any(facts) else ''
        lines += [f'    # {parameter.description}{suffix}', f'    {name}: {_yaml(DEFAULTS[name])}']
    return '\n'.join(lines) + '\n'


def as_markdown() -> str:
    """The parameter table of the README."""
    lines = ['| parameter | default | range or choices | read | what it does |', '|---|---|---|---|---|']
    for name, parameter in PARAMETERS.items():
        read = 'at any time' if parameter.dynamic else 'at configure'
        default = _yaml(DEFAULTS[name])
        lines.append(f'| `{name}` | `{default}` | {parameter.range_text()} | {read} | {parameter.description} |')
    return '\n'.join(lines) + '\n'


def _yaml(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, tuple):
        return '[' + ', '.join(f"'{entry}'" for entry in value) + ']'
    if isinstance(value, str):
        return value if value and value != 'off' and '~' not in value else f"'{value}'"
    return repr(value)


if __name__ == '__main__':
    writers = {'--yaml': as_yaml, '--markdown': as_markdown}
    if len(sys.argv) != 2 or sys.argv[1] not in writers:
        sys.exit(f'usage: python -m rtseg_ros.parameters {"|".join(writers)}')
    sys.stdout.write(writers[sys.argv[1]]())
