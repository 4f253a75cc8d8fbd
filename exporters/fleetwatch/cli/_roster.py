"""What the verbs that show and change rosters share."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetwatch.cli._options import printable

if TYPE_CHECKING:  # SQLite is loaded only where a ledger is opened
    from fleetwatch.ledger.roster import Wish

PATIENCE = 12.0
"""Seconds to wait for the exporter to do what it is asked: two of its checkpoints."""


def ask(path: Path, name: str, wish: Wish, done: str, later: str) -> None:
    """Ask the exporter that writes this ledger, and say what became of it: NAME `done`, or NAME `later`."""
    from fleetwatch.ledger import roster  # noqa: PLC0415 - see above
    from fleetwatch.ledger.errors import LedgerError  # noqa: PLC0415 - see above

    shown = printable(name)
    try:
        number = roster.ask(path, name, wish)
        until = time.monotonic() + PATIENCE
        while roster.is_waiting(path, number):
            if time.monotonic() > until:
                click.echo(f"{shown} {later} when the exporter runs again: it has not taken the request yet")
                return
            time.sleep(0.2)
    except LedgerError as error:
        raise click.ClickException(str(error)) from None
    click.echo(f"{shown} {done}")


def counted(states: list[str], things: str) -> str:
    """`3 hosts: 1 missing, 2 reporting.`"""
    words = ", ".join(f"{states.count(word)} {word}" for word in sorted(set(states)))
    return f"{len(states)} {things}: {words}."


def staleness(checkpoint_at: int) -> str:
    """A sentence, with a space before it, when the exporter wrote its last checkpoint long ago; Unix nanoseconds."""
    age = (time.time_ns() - checkpoint_at) / 1e9
    return f" The exporter wrote this {_ago(age)} ago; is it running?" if age > PATIENCE else ""


def _ago(seconds: float) -> str:
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"
