# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command ``rtseg``. Each subcommand lives in its own file and is imported when it is called."""

from __future__ import annotations

import importlib
import logging
import sys
from typing import Any, Dict, List, Optional

import click

from ..errors import RtsegError

COMMANDS: Dict[str, str] = {
    'models': 'models_command',
    'bundles': 'bundles_command',
    'predict': 'predict_command',
    'evaluate': 'evaluate_command',
    'benchmark': 'benchmark_command',
    'train': 'train_command',
    'recipes': 'recipes_command',
    'export': 'export_command',
    'import': 'import_command',
    'verify': 'verify_command',
    'build': 'build_command',
}
"""Subcommand to the module in this folder that defines ``command``."""


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> Optional[click.Command]:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f'{__name__}.{COMMANDS[name]}').command
        return command


@click.group(cls=LazyGroup, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(package_name='rtseg_ros')
def rtseg() -> None:
    """Real-time semantic segmentation: networks, bundles, measurement, training."""


def main(arguments: Optional[List[str]] = None) -> Any:
    """Entry point: prints one sentence and exits with the error's code where something fails."""
    logging.basicConfig(level=logging.WARNING, format='rtseg: %(message)s')
    try:
        rtseg.main(args=arguments, prog_name='rtseg')
    except RtsegError as error:
        click.echo(f'rtseg: {error}', err=True)
        sys.exit(error.exit_code)
    except ModuleNotFoundError as error:
        click.echo(f'rtseg: this command needs the package {error.name!r}, which is not installed', err=True)
        sys.exit(69)
