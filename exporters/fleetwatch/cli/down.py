"""`fleetwatch down`: stop what `fleetwatch up` started."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fleetwatch.cli._options import config_option
from fleetwatch.settings import SettingsError, load
from fleetwatch.stack import StackError, up


@click.command("down")
@config_option
def command(config: Path | None) -> None:
    """Stop the stack, from any terminal. All data stays."""
    settings = load(config)
    try:
        if up.is_compose(settings):
            up.down_compose(settings)
        elif not up.down_native(settings, click.echo):
            click.echo(f"nothing runs for {settings.data_dir}", err=True)
            sys.exit(1)
    except StackError as error:
        raise SettingsError(str(error)) from None
    click.echo("stopped")
