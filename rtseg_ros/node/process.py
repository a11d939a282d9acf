# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The node's process: signals, command line, threads, exit code. Imports next to nothing until signals are answered."""

from __future__ import annotations

import gc
import os
import sys
import threading
from typing import Any, List, NoReturn

from ..startup import StopRequest, answer_signals, load

EXIT_FAILURE = 70
CLOSING_S = 1.0
"""Seconds that the node may take to close in good order; two are promised from the signal to the exit."""


def main() -> NoReturn:
    """Run the node until SIGINT or SIGTERM (exit 0), or until it cannot go on (its error's exit code)."""
    load('segmentation_node', 'rtseg_ros.segmentation_node', exit_code=0)
    stop = StopRequest()
    answer_signals(lambda _: stop.set())
    code = _run(sys.argv, stop)
    sys.stdout.flush()
    sys.stderr.flush()
    # Threads may still be inside a runtime's native code; tearing the interpreter down under them would crash it.
    os._exit(code)


def _run(arguments: List[str], stop: StopRequest) -> int:
    from rtseg_models.errors import RtsegError

    from ..shell import initialise, refuse_unknown
    from ..transport import make_room_for_images

    transport = make_room_for_images(os.environ)
    try:
        unknown = initialise(arguments)
        if '--help' in unknown or '-h' in unknown:
            print('usage: segmentation_node [--ros-args -p NAME:=VALUE --params-file FILE -r FROM:=TO ...]')
            return 0
        refuse_unknown(unknown)
    except RtsegError as error:
        return _refused(error)
    return _serve(stop, transport)


def _serve(stop: StopRequest, transport: str) -> int:
    """Spin the node in a thread, so that this one can answer signals whatever the node is busy with."""
    from rclpy.executors import SingleThreadedExecutor

    from rtseg_models.errors import RtsegError

    from ..segmentation_node import SegmentationNode
    from .library_log import forward_library_log

    try:
        node = SegmentationNode(stop.set, stop.is_set)
    except RtsegError as error:
        return _refused(error)
    except Exception as error:  # rclpy's own, as where DDS cannot join its domain
        return _refused(_explained(error))
    node.get_logger().info(transport)
    forward_library_log(node.get_logger())
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    living = threading.Thread(target=_live, args=(node, executor, stop), name='executor', daemon=True)
    living.start()
    while not stop.wait(1.0):
        pass
    living.join(CLOSING_S)
    code = 0 if node.fatal is None else getattr(node.fatal, 'exit_code', EXIT_FAILURE)
    if not living.is_alive():
        # Whatever of DDS was not destroyed with the node goes with the last reference to it. Left to the end of the
        # process, it would leave its shared-memory segments (64 MB each, by the shipped profile) in /dev/shm for good.
        del node, executor
        gc.collect()
    return code


def _live(node: Any, executor: Any, stop: StopRequest) -> None:
    """Everything that rclpy does, from the first transition to the end of its context."""
    import rclpy

    try:
        node.autostart()
    except Exception as error:  # nobody else is there to see it, and a node that does not spin is deaf
        node.give_up(error)
    while not stop.is_set():
        try:
            executor.spin_once(timeout_sec=0.5)
        except Exception as error:  # the executor raises what callbacks raise, and a vehicle's node outlives its bugs
            node.guard.report(error, 'callback')
    try:
        node.release()
        executor.remove_node(node)
        executor.shutdown(0.1)
        node.destroy_node()
        rclpy.try_shutdown()
    except Exception as error:  # the process ends in any case, and nobody can act on a traceback now
        print(f'segmentation_node: while closing: {error}', file=sys.stderr)


def _explained(error: Exception) -> Any:
    """What to say for an error of rclpy's in making the node: 64 where the command line or a file is to blame."""
    from rtseg_models.errors import RtsegError, UsageError

    if 'PARAMETER_NOT_SET' in str(error):  # it does not say of which
        return UsageError(
            "a parameter is given as an empty list, whose type ROS cannot tell; leave it out (for one camera: [''])"
        )
    if 'invalid node name' in str(error):  # or namespace
        return UsageError(f'bad ROS arguments: {error}')
    return RtsegError(f'the node cannot be created: {type(error).__name__}: {error}')


def _refused(error: Any) -> int:
    print(f'segmentation_node: {error}', file=sys.stderr)
    return int(error.exit_code)


if __name__ == '__main__':
    main()
