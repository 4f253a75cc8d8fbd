"""`fleetwatch status`: what of the stack runs."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fleetwatch.cli._options import config_option, format_option, show
from fleetwatch.settings import SettingsError, load
from fleetwatch.stack import StackError, up
from fleetwatch.stack.state import State


@click.command("status")
@config_option
@format_option
def command(config: Path | None, style: str) -> None:
    """Ask every program of the stack whether it is ready. Exit status 0: all are; 1: not all; 3: the stack is down."""
    settings = load(config)
    try:
        if up.is_compose(settings):
            up.status_compose(settings)
            return
    except StackError as error:
        raise SettingsError(str(error)) from None
    snapshot = State(settings.data_dir).load()
    if snapshot is None:
        click.echo(f"nothing runs for {settings.data_dir}; start it with `fleetwatch up`", err=True)
        sys.exit(3)
    rows = up.look(snapshot)
    note = "" if snapshot.alive else "the `up` that watched them was killed; `fleetwatch down` or `up` cleans up"
    show(style, ("program", "state", "pid", "address"), rows, note=note)
    if not snapshot.alive or any(not row[1].startswith(("ready", "running")) for row in rows):
        sys.exit(1)
