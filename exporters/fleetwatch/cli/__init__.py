"""One file per verb. A verb's module is imported only when it is called, and offers `command`."""

from __future__ import annotations

import importlib
import pkgutil
import sys

import click

from fleetwatch import __version__
from fleetwatch.settings import SettingsError


class _Verbs(click.Group):
    """The modules of this package as commands."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        return sorted(info.name for info in pkgutil.iter_modules(__path__) if not info.name.startswith("_"))

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in self.list_commands(ctx):
            return None
        command: click.Command = importlib.import_module(f"{__name__}.{cmd_name}").command
        return command


@click.group(cls=_Verbs, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="fleetwatch")
def verbs() -> None:
    """What every agent and model costs, how well it works, and who must act now."""


def main() -> None:
    """Entry point of the program: wrong settings are one line each and exit status 2."""
    try:
        verbs(prog_name="fleetwatch")
    except SettingsError as error:
        click.echo(str(error), err=True)
        sys.exit(2)
