# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that drives along a rendered street: image, camera_info, exact label and depth of every frame.

The frames are rendered before the first is published, so that playing them takes nearly no processor time.
"""

from __future__ import annotations

import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

import numpy as np
from rclpy.node import Node
from sensor_msgs.msg import CameraInfo, Image
from std_msgs.msg import Header

from rtseg_models.errors import UsageError

from ..image_codec import encode_image
from ..shell import Declaration, declare, run
from ..startup import StopRequest
from .player import Frame, Player
from .rendered_street import DEFAULT_SEED, Interrupted, RenderedStreet, StreetSpec, render_ahead

RELIABILITIES = ('reliable', 'best_effort')

PARAMETERS: Dict[str, Declaration] = {
    'height': (720, 'Rows of the images.', (64, 2160)),
    'width': (1280, 'Columns of the images.', (64, 4096)),
    'rate_hz': (10.0, 'Frames per second, in the street and on the topics.', (0.1, 100.0)),
    'seed': (DEFAULT_SEED, 'Which street.', (0, 2**31 - 1)),
    'frames': (100, 'Frames to render and play.', (1, 100_000)),
    'loop': (True, 'Begin again after the last frame; otherwise exit.', None),
    'frame_id': ('camera_optical_frame', 'Frame of every header.', None),
    'reliability': ('reliable', f'Reliability that the publishers offer: {" or ".join(RELIABILITIES)}.', None),
    'publish_depth': (True, 'Render and publish depth/image and depth/camera_info too.', None),
    'wait_for_subscribers': (0, 'Subscribers of image to wait for before the first frame.', (0, 100)),
    'cache_dir': ('~/.cache/rtseg', 'Folder where rendered frames are kept for the next start.', None),
}


class SyntheticCamera(Node):
    """The node ``synthetic_camera``; publishes from ``play`` on. All parameters are read at start."""

    def __init__(self) -> None:
        """Declare the parameters; UsageError says which value cannot be had."""
        super().__init__('synthetic_camera')
        self._value = declare(self, PARAMETERS)
        if self._value['reliability'] not in RELIABILITIES:
            found = self._value['reliability']
            raise UsageError(f"Parameter 'reliability' cannot be {found!r}; expected {' or '.join(RELIABILITIES)}")

    def play(self, stop: StopRequest) -> None:
        """Render, then publish until the frames end or ``stop`` is set."""
        with ExitStack() as stack:
            street = self._render(stop, stack)
            topics: Dict[str, Any] = {'camera_info': CameraInfo, 'label': Image, 'image': Image}
            if street.depth_m is not None:
                topics.update({'depth/camera_info': CameraInfo, 'depth/image': Image})
            value = self._value
            player = Player(
                self,
                topics,
                self._messages(street),
                rate_hz=value['rate_hz'],
                image_topic='image',
                wait_for_subscribers=value['wait_for_subscribers'],
                reliable=value['reliability'] == 'reliable',
            )
            size = f'{value["height"]}x{value["width"]}'
            self.get_logger().info(f'playing {len(street)} frames of {size} at {value["rate_hz"]:g} Hz')
            player.play(stop)

    def _render(self, stop: StopRequest, stack: ExitStack) -> RenderedStreet:
        """The frames, from the cache or, where that cannot be written, from a folder that ``stack`` removes."""
        value = self._value
        spec = StreetSpec(
            value['seed'], value['height'], value['width'], value['rate_hz'], value['frames'], value['publish_depth']
        )
        told = 0

        def tell(done: int) -> None:
            nonlocal told
            if done * 10 // spec.frames > told:
                told = done * 10 // spec.frames
                self.get_logger().info(f'{done} of {spec.frames} frames are rendered')

        try:
            return render_ahead(spec, Path(value['cache_dir']), progress=tell, stopped=stop.is_set)
        except OSError as error:
            self.get_logger().warning(f'frames cannot be kept in {value["cache_dir"]}: {error}')
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix='rtseg_street_')))
        return render_ahead(spec, folder, progress=tell, stopped=stop.is_set)

    def _messages(self, street: RenderedStreet) -> Iterator[Frame]:
        info = camera_info(street.camera_matrix, street.rgb.shape[1], street.rgb.shape[2])
        while True:
            for i in range(len(street)):
                header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._value['frame_id'])
                info.header = header
                frame = {
                    'camera_info': info,
                    'label': encode_image(street.label[i], 'mono8', header, Image),
                    'image': encode_image(street.rgb[i], 'rgb8', header, Image),
                }
                if street.depth_m is not None:
                    frame['depth/camera_info'] = info
                    frame['depth/image'] = depth_message(street.depth_m[i], header)
                yield frame
            if not self._value['loop']:
                return


def camera_info(matrix: np.ndarray, height: int, width: int) -> CameraInfo:
    """Calibration of a pinhole camera without distortion, from its camera matrix (3,3)."""
    info = CameraInfo(height=height, width=width, distortion_model='plumb_bob')
    info.d = [0.0] * 5
    info.k = matrix.ravel().tolist()
    info.r = np.eye(3).ravel().tolist()
    info.p = np.hstack([matrix, np.zeros((3, 1))]).ravel().tolist()
    return info


def depth_message(depth_m: np.ndarray, header: Header) -> Image:
    """A 32FC1 image of metres (H,W) along the optical axis; infinity where there is nothing (REP 117)."""
    message = Image(header=header, height=depth_m.shape[0], width=depth_m.shape[1], encoding='32FC1')
    message.is_bigendian = int(sys.byteorder == 'big')
    message.step = 4 * depth_m.shape[1]
    message.data.frombytes(np.ascontiguousarray(depth_m, np.float32).view(np.uint8))
    return message


def _serve(stop: StopRequest) -> None:
    node = SyntheticCamera()
    try:
        node.play(stop)
    except Interrupted:
        pass
    finally:
        node.destroy_node()


def main(arguments: Optional[List[str]] = None) -> int:
    """Run until the frames end, SIGINT or SIGTERM; 64 for a command line or parameter that cannot be had."""
    return run('synthetic_camera', arguments, _serve)
