# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""What the processes beside the segmentation node share: signals, the transport profile, refusals and exit codes."""

from __future__ import annotations

import os
import signal
import sys
from contextlib import suppress
from typing import Any, Callable, Dict, List, Mapping, Optional, Tuple

import rclpy
from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor
from rclpy.exceptions import InvalidParameterTypeException, InvalidParameterValueException
from rclpy.node import Node
from rclpy.signals import SignalHandlerOptions

from rtseg_models.errors import RtsegError, UsageError

from .startup import StopRequest, answer_signals
from .transport import make_room_for_images

Declaration = Tuple[Any, str, Optional[Tuple[float, float]]]
"""Default, description and inclusive range of a parameter."""


LAST_DOMAIN = 232
"""Of DDS: the ports of higher domains do not exist."""


def run(name: str, arguments: Optional[List[str]], serve: Callable[[StopRequest], None]) -> int:
    """Initialise rclpy, ``serve`` until it returns, and give the exit code; SIGINT and SIGTERM set what it is given."""
    stop = StopRequest()
    answer_signals(lambda _: stop.set())
    make_room_for_images(os.environ)
    try:
        refuse_unknown(initialise(sys.argv if arguments is None else arguments))
        serve(stop)
    except RtsegError as error:
        with suppress(OSError):  # its log may be on the disk that is full
            print(f'{name}: {error}', file=sys.stderr)
        return error.exit_code
    except OSError as error:  # such as a disk that is full
        with suppress(OSError):
            print(f'{name}: {error}', file=sys.stderr)
        return RtsegError.exit_code
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, signal.SIG_IGN)  # Python would go back to the default, which kills, as it ends
        rclpy.try_shutdown()
    return 0


def declare(node: Node, declarations: Mapping[str, Declaration]) -> Dict[str, Any]:
    """Declare read-only parameters and give their values; UsageError says which one cannot be had."""
    values = {}
    for name, (default, description, bounds) in declarations.items():
        descriptor = ParameterDescriptor(description=description, read_only=True)
        limits = ''
        if bounds:
            limits = f' from {bounds[0]:.10g} to {bounds[1]:.10g}'
            if isinstance(default, int):
                descriptor.integer_range = [IntegerRange(from_value=int(bounds[0]), to_value=int(bounds[1]))]
            else:
                descriptor.floating_point_range = [FloatingPointRange(from_value=bounds[0], to_value=bounds[1])]
        try:
            values[name] = node.declare_parameter(name, default, descriptor).value
        except (InvalidParameterValueException, InvalidParameterTypeException) as error:
            kind = {bool: 'true or false', int: 'a whole number', float: 'a number', str: 'a text'}[type(default)]
            raise UsageError(f'Parameter {name!r} needs {kind}{limits}: {error}') from error
    return values


def initialise(arguments: List[str]) -> List[str]:
    """Start rclpy without its signal handlers; returns the arguments that are not ROS's.

    UsageError for ROS arguments that make no sense, RtsegError where rclpy cannot start logging.
    """
    try:
        rclpy.init(args=arguments, signal_handler_options=SignalHandlerOptions.NO)
    except Exception as error:  # rclpy raises several types of its own for a bad command line or parameter file
        if rclpy.ok():  # the context is there, and logging comes after it
            raise RtsegError(f'rclpy cannot start logging (ROS_LOG_DIR sets its folder): {error}') from error
        raise UsageError(f'bad ROS arguments: {error}') from error
    domain = rclpy.get_default_context().get_domain_id()
    if domain > LAST_DOMAIN:  # Fast DDS would end the process
        raise UsageError(f'ROS_DOMAIN_ID is {domain}; expected 0 to {LAST_DOMAIN}')
    return list(rclpy.utilities.remove_ros_args(arguments)[1:])


def refuse_unknown(unknown: List[str]) -> None:
    """UsageError where there are arguments that nobody takes."""
    if unknown:
        raise UsageError(f'unknown arguments {" ".join(unknown)!r}; parameters go behind --ros-args, as -p NAME:=VALUE')
