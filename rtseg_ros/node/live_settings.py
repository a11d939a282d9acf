# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The settings of a running node: declared to ROS, checked before every change, replaced as a whole."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Callable, Dict, List

from rcl_interfaces.msg import FloatingPointRange, IntegerRange, ParameterDescriptor, SetParametersResult
from rclpy.node import Node

from rtseg_models.errors import UsageError

from ..parameters import DEFAULTS, PARAMETERS, Settings, converted, refusal, unknown_names

_OF_RCLPY = ('use_sim_time', 'start_type_description_service')
Applied = Callable[[Settings, Settings], None]


class LiveSettings:
    """Declares every parameter on a node and keeps ``value``, an immutable snapshot that any thread may read.

    The node must have been made with ``automatically_declare_parameters_from_overrides``, so that what the parameter
    file and the command line give is known by name. ``applied(before, after)`` is called after each accepted change.
    """

    def __init__(self, node: Node, active: Callable[[], bool], applied: Applied) -> None:
        """UsageError with a sentence per parameter that the file or command line sets out of range."""
        self._node = node
        self._active = active
        self._applied = applied
        given = {name: entry.value for name, entry in node.get_parameters_by_prefix('').items()}
        for name in [name for name in given if name in PARAMETERS]:
            node.undeclare_parameter(name)
        for sentence in unknown_names({name: value for name, value in given.items() if name not in _OF_RCLPY}):
            node.get_logger().warning(sentence)
        values = {name: converted(name, given.get(name, default)) for name, default in DEFAULTS.items()}
        refusals = [sentence for sentence in (refusal(*item) for item in values.items()) if sentence]
        if not isinstance(given.get('use_sim_time', False), bool):  # rclpy would log an error and take the wall clock
            refusals.append(f"Parameter 'use_sim_time' is {given['use_sim_time']!r}; expected true or false.")
        if refusals:
            raise UsageError(' '.join(refusals))
        self.value = Settings(**values)
        for name, value in values.items():
            shown = list(value) if isinstance(value, tuple) else value
            node.declare_parameter(name, shown, _descriptor(name), ignore_override=True)
        node.add_on_set_parameters_callback(self._change)

    def _change(self, changes: List[Any]) -> SetParametersResult:
        ours = {p.name: converted(p.name, p.value) for p in changes if p.name in PARAMETERS}
        reasons = [refusal(name, value) or self._too_late(name, value) for name, value in ours.items()]
        # rclpy refuses these after us, when the others were applied.
        reasons += [
            f'Parameter {p.name!r} is {p.value!r}; expected true or false.'
            for p in changes
            if p.name == 'use_sim_time' and not isinstance(p.value, bool)
        ]
        reason = ' '.join(filter(None, reasons))
        if reason:
            return SetParametersResult(successful=False, reason=reason)
        before, self.value = self.value, replace(self.value, **ours)
        self._applied(before, self.value)
        return SetParametersResult(successful=True)

    def _too_late(self, name: str, value: Any) -> str:
        if PARAMETERS[name].dynamic or not self._active() or value == getattr(self.value, name):
            return ''
        node = self._node.get_fully_qualified_name()
        return (
            f'Parameter {name!r} is read at configure and the node is active; it stays {getattr(self.value, name)!r}. '
            f'To change it: ros2 lifecycle set {node} deactivate, then cleanup; set it; then configure, activate.'
        )


def _descriptor(name: str) -> ParameterDescriptor:
    """What tools show and rclpy enforces. Typing is dynamic so that ``1`` serves where ``1.0`` is meant."""
    parameter, default = PARAMETERS[name], DEFAULTS[name]
    facts: Dict[str, Any] = {}
    if isinstance(default, float):
        facts['floating_point_range'] = [
            FloatingPointRange(from_value=float(parameter.low), to_value=float(parameter.high))
        ]
    elif isinstance(default, int) and not isinstance(default, bool):
        low = 0 if parameter.zero_is_off else int(parameter.low)
        facts['integer_range'] = [IntegerRange(from_value=low, to_value=int(parameter.high), step=1)]
    when = 'Read at any time.' if parameter.dynamic else 'Read at configure; refused while active.'
    range_text = parameter.range_text()
    return ParameterDescriptor(
        name=name,
        description=parameter.description,
        additional_constraints=f'{range_text + ". " if range_text else ""}{when}',
        dynamic_typing=True,
        **facts,
    )
