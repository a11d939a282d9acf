# SPDX-FileCopyrightText: 2026 The rtseg_ros authors
# SPDX-License-Identifier: Apache-2.0
"""The command ``rtseg``. Each subcommand lives in its own file and is imported when it is called."""

from __future__ import annotations

import importlib
import logging
import os
import sys
import traceback
from typing import Any, Dict, List, NoReturn, Optional

import click

from ..errors import RtsegError, Unavailable, UsageError

COMMANDS: Dict[str, str] = {
    'models': 'networks and variants with their counts and published figures',
    'bundles': 'shipped bundles with their measured mIoU',
    'predict': 'label images and overlays of images, folders and videos',
    'evaluate': "IoU over a dataset, at the labels' size",
    'benchmark': 'milliseconds by network, size, backend and precision',
    'figures': 'mIoU against speed of all bundles, as a picture and a table',
    'train': 'train a recipe, ending in a bundle',
    'recipes': 'what can be trained',
    'export': 'a bundle from a checkpoint of rtseg train',
    'import': "a bundle from a public repository's checkpoint",
    'verify': 'golden sample through every backend here',
    'build': 'compile and cache an engine ahead of time',
}
"""What each subcommand does; ``<name>_command.py`` in this folder defines it as ``command``."""


class LazyGroup(click.Group):
    """A group whose subcommands are imported when they are needed."""

    def list_commands(self, ctx: click.Context) -> List[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, name: str) -> Optional[click.Command]:
        if name not in COMMANDS:
            return None
        command: click.Command = importlib.import_module(f'{__name__}.{name}_command').command
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the subcommands without importing them: some need packages that a robot has not."""
        with formatter.section('Commands'):
            formatter.write_dl(list(COMMANDS.items()))


@click.group(cls=LazyGroup, context_settings={'help_option_names': ['-h', '--help']})
@click.version_option(package_name='rtseg_ros')
def rtseg() -> None:
    """Real-time semantic segmentation: networks, bundles, measurement, training."""


def main(arguments: Optional[List[str]] = None) -> Any:
    """Entry point: prints one sentence and exits with the error's code where something fails."""
    logging.basicConfig(level=logging.WARNING, format='rtseg: %(message)s')
    try:
        rtseg.main(args=arguments, prog_name='rtseg')
    except UsageError as error:  # the node's code for it is another than that of commands
        _fail(str(error), click.UsageError.exit_code)
    except RtsegError as error:
        _fail(str(error), error.exit_code)
    except ModuleNotFoundError as error:
        _fail(f'this command needs the package {error.name!r}, which is not installed', Unavailable.exit_code)
    except ImportError as error:
        _fail(f'a package that this command needs cannot be loaded: {error}', Unavailable.exit_code)
    except (OSError, MemoryError) as error:
        _fail(str(error) or 'memory ran out', RtsegError.exit_code)
    except Exception:  # a bug is told as ever, but no process may wait at its exit for those that wait for it
        if not _is_one_of_several():
            raise
        _fail(traceback.format_exc(), 1)


def _fail(message: str, code: int) -> NoReturn:
    click.echo(f'rtseg: {message}', err=True)
    if _is_one_of_several():
        # At exit, Lightning has NCCL wait for the other processes, which wait for this one; torchrun waits for all.
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)
    sys.exit(code)


def _is_one_of_several() -> bool:
    """Whether torchrun has started other processes, too."""
    return os.environ.get('WORLD_SIZE', '1') != '1'
