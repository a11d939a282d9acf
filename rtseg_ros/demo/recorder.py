# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The demo's listener: stores images, labels, masks and the node's figures until it is stopped."""

from __future__ import annotations

import queue
import sys
import threading
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional

import rclpy
from diagnostic_msgs.msg import DiagnosticArray
from rclpy.node import Node
from rclpy.qos import HistoryPolicy, QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import Float64

from rtseg_models.errors import RtsegError

from ..compressed_codec import decode_compressed
from ..image_codec import BadFrame, decode_image
from ..shell import Declaration, declare, run
from ..startup import StopRequest
from .recording import Recording

QUEUE_FRAMES = 30
NODE = 'segmentation'

PARAMETERS: Dict[str, Declaration] = {
    'out': ('.', 'Folder that the recording is written to.', None),
    'compressed': (False, 'Listen to image/compressed instead of image.', None),
}


class Recorder(Node):
    """The node ``recorder``. Callbacks only note times; a thread decodes and writes."""

    def __init__(self) -> None:
        super().__init__('recorder')
        value = declare(self, PARAMETERS)
        self.recording = Recording(Path(value['out']))
        self._error: Optional[OSError] = None
        self._jobs: queue.Queue[Optional[Callable[[], None]]] = queue.Queue()
        self._writer = threading.Thread(target=self._write, name='writer')
        self._writer.start()
        self._qos = QoSProfile(
            history=HistoryPolicy.KEEP_LAST, depth=QUEUE_FRAMES, reliability=ReliabilityPolicy.RELIABLE
        )
        self._compressed = value['compressed']
        self._mask = self.create_subscription(Image, f'{NODE}/mask', self._on_mask, self._qos)
        self.create_subscription(Image, 'label', self._on_label, self._qos)
        self.create_subscription(DiagnosticArray, '/diagnostics', self._on_diagnostics, self._qos)
        for topic, values in (
            ('processing_time_ms', self.recording.processing_ms),
            ('pipeline_latency_ms', self.recording.latency_ms),
        ):
            self._follow_figure(f'{NODE}/debug/{topic}', values)

    def serve(self, stop: StopRequest) -> None:
        """Record until ``stop``; RtsegError where the disk takes no more.

        The camera waits for our image subscription, which comes once masks can arrive.
        """
        image: Any = None
        while not stop.is_set():
            if self._error is not None:
                raise RtsegError(str(self._error)) from self._error
            rclpy.spin_once(self, timeout_sec=0.1)
            if image is None and self.count_publishers(self._mask.topic_name):
                kind = CompressedImage if self._compressed else Image
                topic = 'image/compressed' if self._compressed else 'image'
                image = self.create_subscription(kind, topic, self._on_image, self._qos)

    def close(self) -> None:
        """Write what is still waiting, and the index; RtsegError where the disk takes no more."""
        self._jobs.put(None)
        self._writer.join()
        try:
            self.recording.save()
        except OSError as error:
            raise RtsegError(str(error)) from error
        finally:
            self.destroy_node()

    def _follow_figure(self, topic: str, values: List[float]) -> None:
        self.create_subscription(Float64, topic, lambda message: values.append(message.data), self._qos)

    def _on_image(self, message: Any, info: Any) -> None:
        stamp_ns = _stamp_ns(message)
        passage = self.recording.passage(stamp_ns)
        passage.frame_id = message.header.frame_id
        passage.image_sent_ns = info['source_timestamp']
        decode = decode_compressed if self._compressed else decode_image
        self._jobs.put(lambda: self._store('image', stamp_ns, message, decode))

    def _on_mask(self, message: Image, info: Any) -> None:
        stamp_ns = _stamp_ns(message)
        self.recording.passage(stamp_ns).mask_received_ns = info['received_timestamp']
        self._jobs.put(lambda: self._store('mask', stamp_ns, message, _plane))

    def _on_label(self, message: Image) -> None:
        stamp_ns = _stamp_ns(message)
        self._jobs.put(lambda: self._store('label', stamp_ns, message, _plane))

    def _on_diagnostics(self, message: DiagnosticArray) -> None:
        for status in message.status:
            self.recording.diagnostics[status.name] = {entry.key: entry.value for entry in status.values}

    def _store(self, kind: str, stamp_ns: int, message: Any, decode: Callable[[Any], Any]) -> None:
        try:
            self.recording.put(kind, stamp_ns, decode(message))
        except OSError as error:
            self._error = error
        except BadFrame as error:
            self.get_logger().warning(f'{kind} {stamp_ns} is not stored: {error}')

    def _write(self) -> None:
        while True:
            job = self._jobs.get()
            if job is None:
                return
            job()


def _plane(message: Image) -> Any:
    """The ids (H,W) of a mono8 image."""
    return decode_image(message)[:, :, 0]


def _stamp_ns(message: Any) -> int:
    return int(message.header.stamp.sec) * 10**9 + int(message.header.stamp.nanosec)


def _serve(stop: StopRequest) -> None:
    node = Recorder()
    try:
        node.serve(stop)
    finally:
        node.close()


def main(arguments: Optional[List[str]] = None) -> int:
    """Record until SIGINT or SIGTERM."""
    return run('recorder', arguments, _serve)


if __name__ == '__main__':
    sys.exit(main())
