# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The real node in a process of its own, and a probe that talks to it over real DDS."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections import defaultdict
from contextlib import suppress
from pathlib import Path
from typing import Any, Callable, Dict, List, Optional, Sequence, Set, TypeVar

import numpy as np
import pytest

rclpy = pytest.importorskip('rclpy')
from builtin_interfaces.msg import Time  # noqa: E402
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus  # noqa: E402
from lifecycle_msgs.srv import ChangeState, GetState  # noqa: E402
from rcl_interfaces.msg import Parameter as ParameterMessage  # noqa: E402
from rcl_interfaces.srv import SetParameters  # noqa: E402
from rclpy.context import Context  # noqa: E402
from rclpy.executors import SingleThreadedExecutor  # noqa: E402
from rclpy.parameter import Parameter  # noqa: E402
from rclpy.qos import DurabilityPolicy, HistoryPolicy, QoSProfile, ReliabilityPolicy  # noqa: E402
from sensor_msgs.msg import Image  # noqa: E402
from std_msgs.msg import Header  # noqa: E402

from rtseg_models.bundle import Bundle, load_bundle, shipped_bundles  # noqa: E402
from rtseg_ros.transport import USERS_CHOICE, make_room_for_images  # noqa: E402

REPOSITORY = Path(__file__).resolve().parents[2]
DOMAIN = 1 + os.getpid() % 100
NODE = '/segmentation'
SMALL = (120, 160)
QUICK = {'warmup_iterations': 0, 'self_test': False, 'max_image_age_s': 0.0}  # a busy machine makes frames old
Found = TypeVar('Found')

LATCHED = QoSProfile(
    history=HistoryPolicy.KEEP_LAST,
    depth=1,
    reliability=ReliabilityPolicy.RELIABLE,
    durability=DurabilityPolicy.TRANSIENT_LOCAL,
)


def bundle() -> Bundle:
    """A shipped bundle; tests that need one are skipped without."""
    names = sorted(shipped_bundles())
    if not names:
        pytest.skip('no bundle is shipped in this tree')
    return load_bundle(names[0] if 'fast_scnn-camvid' not in names else 'fast_scnn-camvid')


def environment(**more: str) -> Dict[str, str]:
    """This process's environment on the tests' own DDS domain, without a transport profile."""
    kept = {name: value for name, value in os.environ.items() if name not in USERS_CHOICE}
    paths = [str(REPOSITORY), *filter(None, [kept.get('PYTHONPATH')])]
    kept.update(
        ROS_DOMAIN_ID=str(DOMAIN),
        ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
        PYTHONPATH=os.pathsep.join(paths),
        RCUTILS_LOGGING_USE_STDOUT='0',
        ROS_PYTHON_CHECK_FIELDS='1',  # Humble always checks them
    )
    if 'PYTHONPATH' in more:
        more['PYTHONPATH'] = os.pathsep.join([more['PYTHONPATH'], kept['PYTHONPATH']])
    return {**kept, **more}


class NodeProcess:
    """``segmentation_node`` with parameters, its log in ``log``; ``wrapper`` is a command that ends by running it."""

    def __init__(
        self,
        *arguments: str,
        parameters: Optional[Dict[str, Any]] = None,
        wrapper: Sequence[str] = (),
        **variables: str,
    ) -> None:
        assignments = [('-p', f'{name}:={value}') for name, value in (parameters or {}).items()]
        given = [part for pair in assignments for part in pair]
        command = [*wrapper, sys.executable, '-m', 'rtseg_ros.node.process', *arguments]
        if given:
            command += ([] if '--ros-args' in arguments else ['--ros-args']) + given
        self.process = subprocess.Popen(
            command, env=environment(**variables), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        self.lines: List[str] = []
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    @property
    def log(self) -> str:
        return ''.join(self.lines)

    def wait_for_log(self, text: str, timeout_s: float = 30.0) -> None:
        until(lambda: text in self.log, f'{text!r} in the log', timeout_s, lambda: self.log)

    def signal(self, *numbers: int) -> int:
        """Send the signals and return the exit code; fails where the node takes more than two seconds."""
        for number in numbers:
            self.process.send_signal(number)
        return self.end(2.0)

    def end(self, timeout_s: float = 30.0) -> int:
        """Wait for the process to end by itself."""
        try:
            code = self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            self.process.kill()
            pytest.fail(f'the node did not end within {timeout_s} s; its log:\n{self.log}')
        self._reader.join(5.0)
        return code

    def refused(self, code: int, *told: object) -> None:
        """Check that the process ends by itself with this exit code and says all of that."""
        assert self.end() == code, self.log
        assert 'Traceback' not in self.log, self.log
        for text in told:
            assert str(text) in self.log, self.log

    def warning(self, text: str) -> str:
        """The first line of the log that warns so; empty where none does."""
        return next((line for line in self.log.splitlines() if '[WARN]' in line and text in line), '')

    def segments(self) -> Set[Path]:
        """The node's own shared memory for DDS; to be asked before it has met a peer, whose memory it maps too."""
        own = _segments(self.process.pid)
        for other in Path('/proc').glob('[0-9]*'):
            if int(other.name) != self.process.pid:
                with suppress(OSError):  # it has ended meanwhile, or is another user's
                    own -= _segments(int(other.name))
        assert own, 'the shipped profile should give the node a segment'
        return own

    def close(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)
            self.end(5.0)

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.lines.append(line)


def _segments(pid: int) -> Set[Path]:
    """Shared-memory files of Fast DDS that a process maps: its own and those of its peers."""
    return set(map(Path, re.findall(r'/dev/shm/fastdds_[0-9a-f]{16}\b', Path(f'/proc/{pid}/maps').read_text())))


class Probe:
    """A ROS node of the test process: camera, viewer and operator in one."""

    def __init__(self) -> None:
        os.environ.update(ROS_DOMAIN_ID=str(DOMAIN), ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST')
        make_room_for_images(os.environ)
        self._context = Context()
        rclpy.init(context=self._context, domain_id=DOMAIN)
        self.node = rclpy.create_node('probe', context=self._context)
        self.received: Dict[str, List[Any]] = defaultdict(list)
        self._subscriptions: Dict[str, Any] = {}
        self._publishers: Dict[Any, Any] = {}
        self._clients: Dict[str, Any] = {}
        self._stamp = 0
        self._executor = SingleThreadedExecutor(context=self._context)
        self._executor.add_node(self.node)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def subscribe(self, topic: str, kind: Any, qos: Any = None) -> None:
        qos = qos or QoSProfile(depth=50, reliability=ReliabilityPolicy.RELIABLE)
        self._subscriptions[topic] = self.node.create_subscription(kind, topic, self.received[topic].append, qos)

    def unsubscribe(self, topic: str) -> None:
        self.node.destroy_subscription(self._subscriptions.pop(topic))
        self.received.pop(topic, None)

    def publisher(self, topic: str, kind: Any = Image, reliable: bool = True, durable: bool = False) -> Any:
        key = (topic, kind, reliable, durable)
        if key not in self._publishers:
            qos = QoSProfile(
                history=HistoryPolicy.KEEP_LAST,
                depth=10,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if durable else DurabilityPolicy.VOLATILE,
            )
            self._publishers[key] = self.node.create_publisher(kind, topic, qos)
        return self._publishers[key]

    def forget_publisher(self, publisher: Any) -> None:
        self._publishers = {key: entry for key, entry in self._publishers.items() if entry is not publisher}
        self.node.destroy_publisher(publisher)

    def header(self, age_s: float = 0.0) -> Header:
        """A header stamped ``age_s`` ago, never twice the same."""
        now = max(self.node.get_clock().now().nanoseconds, self._stamp + 1)
        self._stamp = now
        stamp = now - int(age_s * 1e9)
        return Header(stamp=Time(sec=stamp // 10**9, nanosec=stamp % 10**9), frame_id='front_optical')

    def frame(self, rgb: np.ndarray, age_s: float = 0.0, **changes: Any) -> Image:
        """An rgb8 image message; ``changes`` spoil it."""
        height, width = rgb.shape[:2]
        message = Image(header=self.header(age_s), height=height, width=width, encoding='rgb8', step=3 * width)
        message.data.frombytes(np.ascontiguousarray(rgb).tobytes())
        for name, value in changes.items():
            setattr(message, name, value)
        return message

    def answer(self, service: str, kind: Any, request: Any = None, timeout_s: float = 30.0) -> Any:
        """Call a service and return its response."""
        if service not in self._clients:
            self._clients[service] = self.node.create_client(kind, service)
        client = self._clients[service]
        assert client.wait_for_service(timeout_s), f'{service} is not there'
        future = client.call_async(request or kind.Request())
        until(future.done, f'an answer of {service}', timeout_s)
        return future.result()

    def set(self, **values: Any) -> List[Any]:
        """Set parameters of the node; the results in order."""
        request = SetParameters.Request()
        for name, value in values.items():
            message: ParameterMessage = Parameter(name, value=value).to_parameter_msg()
            request.parameters.append(message)
        return list(self.answer(f'{NODE}/set_parameters', SetParameters, request).results)

    def change_state(self, label: str) -> bool:
        request = ChangeState.Request()
        request.transition.label = label
        return bool(self.answer(f'{NODE}/change_state', ChangeState, request).success)

    def state(self) -> str:
        return str(self.answer(f'{NODE}/get_state', GetState).current_state.label)

    def diagnosis(self, name: str) -> Optional[DiagnosticStatus]:
        """The newest status whose name ends so; needs a subscription of /diagnostics."""
        arrays: Sequence[DiagnosticArray] = self.received['/diagnostics']
        if not arrays:
            return None
        return next((s for s in arrays[-1].status if s.name == f'{NODE}: {name}'), None)

    def counts(self, name: str = 'processing') -> Dict[str, str]:
        """Key and value of a status that was made from now on."""
        seen = len(self.received['/diagnostics'])
        until(lambda: len(self.received['/diagnostics']) > seen, 'fresh diagnostics', 5.0)
        status = self.diagnosis(name)
        assert status is not None
        return {entry.key: entry.value for entry in status.values}

    def stop_spinning(self) -> None:
        """Receive nothing from now on."""
        self._stop.set()
        self._thread.join(5.0)

    def close(self) -> None:
        self.stop_spinning()
        self.node.destroy_node()
        rclpy.try_shutdown(context=self._context)

    def _spin(self) -> None:
        while not self._stop.is_set():
            self._executor.spin_once(timeout_sec=0.05)


def until(
    condition: Callable[[], Found], what: str, timeout_s: float = 10.0, detail: Callable[[], str] = lambda: ''
) -> Found:
    """Wait until the condition holds and return its value; fails saying what did not come."""
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        found = condition()
        if found:
            return found
        time.sleep(0.01)
    pytest.fail(f'no {what} within {timeout_s} s {detail()}')


def diagnosed(probe: Probe, text: str, name: str = 'input', timeout_s: float = 10.0) -> DiagnosticStatus:
    """The status whose message holds ``text``, once it is there."""

    def found() -> Optional[DiagnosticStatus]:
        status = probe.diagnosis(name)
        return status if status is not None and text in status.message else None

    return until(found, f'diagnosis with {text!r}', timeout_s, lambda: str(probe.diagnosis(name)))


def picture(size: Sequence[int] = SMALL, seed: int = 0) -> np.ndarray:
    """A smooth random image rgb (H,W,3), which keeps networks from calling every pixel the same."""
    coarse = np.random.default_rng(seed).integers(0, 256, (size[0] // 20 + 1, size[1] // 20 + 1, 3), np.uint8)
    return np.ascontiguousarray(np.kron(coarse, np.ones((20, 20, 1), np.uint8))[: size[0], : size[1]])
