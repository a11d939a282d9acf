# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""Child processes of demo and benchmark: a ROS domain of their own, logs in files, and none outlives its parent."""

from __future__ import annotations

import os
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Callable, Dict, List, Optional, Type

from rtseg_models.errors import RtsegError

from .transport import make_room_for_images

PATIENCE_S = 5.0
TAIL_LINES = 12
_LOG_PREFIX = re.compile(r'^(\[[^\]]*\]\s*)+:?\s*')


class ChildFailed(RtsegError):
    """A child process ended when it should not have; carries its exit code."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


class Child:
    """A module of this package running as a process, its output going to ``log``."""

    def __init__(self, module: str, parameters: Dict[str, Any], log: Path, environment: Dict[str, str]) -> None:
        self.name = module.rpartition('.')[2]
        self.log = log
        command = [sys.executable, '-m', module, '--ros-args']
        for key, value in parameters.items():
            # JSON-like quoting keeps texts such as "1" or "true" texts; numbers and booleans go bare.
            text = f'"{value}"' if isinstance(value, str) else str(value).lower()
            command += ['-p', f'{key}:={text}']
        with log.open('wb') as output:
            # A session of its own, so that Ctrl-C reaches the parent alone, which ends its children in order.
            self.process = subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=environment, start_new_session=True
            )

    def running(self) -> bool:
        """Whether it still runs; ChildFailed where it ended with an error."""
        code = self.process.poll()
        if code:
            raise ChildFailed(f'{self.name} ended with exit code {code}: {self.last_words()}', code if code > 0 else 70)
        return code is None

    def interrupt(self) -> None:
        """Ask it to end."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGINT)

    def stop(self) -> None:
        """Ask it to end and wait; kill it where it does not."""
        self.interrupt()
        try:
            self.process.wait(PATIENCE_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def last_words(self) -> str:
        """The last line of its log, without the logger's prefix."""
        lines = self.tail()
        if lines:
            return _LOG_PREFIX.sub('', lines[-1]).replace(f'{self.name}: ', '', 1)
        return 'it said nothing' if shutil.disk_usage(self.log.parent).free else 'no space left on device'

    def tail(self) -> List[str]:
        """The last lines of its log."""
        lines = self.log.read_text(encoding='utf-8', errors='replace').splitlines() if self.log.is_file() else []
        return [line for line in lines if line.strip()][-TAIL_LINES:]


class Children:
    """Starts children, and ends them all when left; a context manager."""

    def __init__(self, logs: Path, domain_id: Optional[int]) -> None:
        self._logs = logs
        self._children: List[Child] = []
        self.domain_id = free_domain_id() if domain_id is None else domain_id
        self.environment = dict(os.environ)
        self.environment.update(
            ROS_DOMAIN_ID=str(self.domain_id),
            ROS_AUTOMATIC_DISCOVERY_RANGE='LOCALHOST',
            ROS_LOG_DIR=str(logs / 'ros'),
            PYTHONUNBUFFERED='1',
        )
        self.transport = make_room_for_images(self.environment)

    def __enter__(self) -> Children:
        return self

    def __exit__(
        self, kind: Optional[Type[BaseException]], error: Optional[BaseException], trace: Optional[TracebackType]
    ) -> None:
        for child in self._children:
            child.interrupt()
        for child in self._children:
            child.stop()

    def start(self, module: str, parameters: Dict[str, Any]) -> Child:
        """Run ``rtseg_ros.<module>`` with ROS parameters."""
        log = self._logs / f'{module.rpartition(".")[2]}.log'
        child = Child(f'rtseg_ros.{module}', parameters, log, self.environment)
        self._children.append(child)
        return child

    def watch(self, condition: Callable[[], bool], timeout_s: float, complaint: str) -> None:
        """Wait for ``condition()``; ChildFailed where a child fails first, RtsegError where time runs out."""
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            for child in self._children:
                child.running()
            if time.monotonic() > deadline_s:
                logs = '; '.join(f'{c.name}: {c.last_words()}' for c in self._children)
                raise RtsegError(f'{complaint} within {timeout_s:.0f} s. Last words of {logs}')
            time.sleep(0.05)


def free_domain_id() -> int:
    """A ROS domain that no process of this machine is in, as far as the ports of Fast DDS tell."""
    for domain_id in random.SystemRandom().sample(range(1, 100), 99):
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            try:
                probe.bind(('', 7400 + 250 * domain_id + 10))  # the first participant's unicast port (RTPS 9.6.2)
            except OSError:
                continue
            return domain_id
    raise RtsegError('every ROS domain from 1 to 99 is in use on this machine; name one with --domain-id')
