# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""A camera that plays a folder of images, a video or a bag: image (or image/compressed), and label where there is one.

Pictures of a folder or video are stamped with the time now. Those of a bag keep their stamps, and /clock shows them.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, Dict, Iterator, List, Optional

from builtin_interfaces.msg import Time
from rclpy.node import Node
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Header

from ..image_codec import as_bytes, encode_image
from ..shell import Declaration, declare, run
from ..startup import StopRequest
from .frames import Source, SourceFrame, open_source
from .player import Frame, Player

PARAMETERS: Dict[str, Declaration] = {
    'source': ('', 'Folder of images, video file or bag.', None),
    'frames': (1_000_000, 'Most frames to play.', (1, 1_000_000)),
    'rate_hz': (10.0, 'Frames published per second.', (0.1, 100.0)),
    'frame_id': ('camera_optical_frame', 'Frame of the headers; a bag has its own.', None),
    'wait_for_subscribers': (0, 'Subscribers of the image topic to wait for before the first frame.', (0, 100)),
}


class ImageSource(Node):
    """The node ``image_source``. All parameters are read at start."""

    def __init__(self) -> None:
        """Declare the parameters and open the source; UsageError, NotFound or BundleError say what is wrong."""
        super().__init__('image_source')
        self._value = declare(self, PARAMETERS)
        self._source: Source = open_source(Path(self._value['source']), self._value['frames'])

    def play(self, stop: StopRequest) -> None:
        """Publish until the frames end or ``stop`` is set."""
        source = self._source
        image_topic = 'image/compressed' if source.compressed else 'image'
        topics: Dict[str, Any] = {image_topic: CompressedImage if source.compressed else Image}
        if source.has_labels:
            topics['label'] = Image
        if source.kind == 'bag':
            topics['/clock'] = Clock
        player = Player(
            self,
            topics,
            self._messages(image_topic),
            rate_hz=self._value['rate_hz'],
            image_topic=image_topic,
            wait_for_subscribers=self._value['wait_for_subscribers'],
        )
        player.play(stop)

    def _messages(self, image_topic: str) -> Iterator[Frame]:
        for frame in self._source:
            if frame.rgb is None:
                image = recorded_message(frame, self._source.compressed)
                yield {'/clock': Clock(clock=image.header.stamp), image_topic: image}
                continue
            header = Header(stamp=self.get_clock().now().to_msg(), frame_id=self._value['frame_id'])
            messages = {}
            if frame.label is not None:
                messages['label'] = encode_image(frame.label, 'mono8', header, Image)
            messages[image_topic] = encode_image(frame.rgb, 'rgb8', header, Image)
            yield messages


def recorded_message(frame: SourceFrame, compressed: bool) -> Any:
    """The frame's bag message as rclpy's class, under the frame's stamp."""
    recorded: Any = frame.message
    stamp = Time(sec=frame.stamp_ns // 10**9, nanosec=frame.stamp_ns % 10**9)
    message = CompressedImage() if compressed else Image()
    message.header = Header(stamp=stamp, frame_id=frame.frame_id)
    for name in ('format',) if compressed else ('height', 'width', 'encoding', 'is_bigendian', 'step'):
        value = getattr(recorded, name)
        setattr(message, name, value if isinstance(value, str) else int(value))
    message.data.frombytes(as_bytes(recorded.data))
    return message


def _serve(stop: StopRequest) -> None:
    node = ImageSource()
    try:
        node.play(stop)
    finally:
        node.destroy_node()


def main(arguments: Optional[List[str]] = None) -> int:
    """Run until the frames end, SIGINT or SIGTERM; 64, 65 or 66 where parameters or the source cannot be had."""
    return run('image_source', arguments, _serve)


if __name__ == '__main__':
    sys.exit(main())
