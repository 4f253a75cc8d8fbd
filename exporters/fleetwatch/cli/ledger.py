"""`fleetwatch ledger verify|backup`."""

from __future__ import annotations

import sys
from pathlib import Path

import click

from fleetwatch.cli._options import config_option, open_ledger


@click.group("ledger")
def command() -> None:
    """Look after the ledger."""


@command.command("verify")
@config_option
def verify(config: Path | None) -> None:
    """Check the file and that calls, quarters and totals agree. Exit status 1 when they do not."""
    with open_ledger(config) as ledger:
        problems = ledger.verify()
        path = ledger.path
    for problem in problems:
        click.echo(problem, err=True)
    if problems:
        sys.exit(1)
    click.echo(f"{path}: all sums agree")


@command.command("backup")
@click.argument("target", type=click.Path(path_type=Path, dir_okay=False))
@config_option
def backup(target: Path, config: Path | None) -> None:
    """Copy the ledger to TARGET while the exporter runs; the copy is checked before it takes the name."""
    with open_ledger(config) as ledger:
        size = ledger.backup(target)
    click.echo(f"{target}: {size:,} bytes")
