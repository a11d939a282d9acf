# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The errors that users meet, each with the exit code of a process that it ends (sysexits.h numbering)."""

from __future__ import annotations


class RtsegError(Exception):
    """A failure with a message meant for a person: what was found, what was expected, what to do."""

    exit_code = 70


class UsageError(RtsegError):
    """A command line or parameter file that makes no sense."""

    exit_code = 64


class BundleError(RtsegError):
    """A bundle or data file that is there but not valid."""

    exit_code = 65


class NotFound(RtsegError):
    """A file, folder or bundle that is not there."""

    exit_code = 66


class Unavailable(RtsegError):
    """A device or runtime that was asked for and cannot be had on this machine."""

    exit_code = 69


class NotKept(RtsegError):
    """An engine that was to be built ahead of time and that the cache cannot keep."""

    exit_code = 73


class DeviceLost(RtsegError):
    """The accelerator's context is broken for good; only a new process helps."""

    exit_code = 70


class OutOfDeviceMemory(MemoryError):
    """Memory ran out although what could be freed was and the run was tried again."""


class ConfigurationError(RtsegError):
    """Settings that are valid one by one and contradict each other or the bundle."""

    exit_code = 78
