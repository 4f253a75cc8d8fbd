"""`fleetwatch spot savings|interruptions|switches|pools|alternates`: from the ledger and the running exporter."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from fleetwatch.app import spot_tables
from fleetwatch.app.pipelines.tables import fitting
from fleetwatch.cli._options import config_option, format_option, open_ledger, printable, show
from fleetwatch.ledger.query import parse_when
from fleetwatch.settings import load
from fleetwatch.stack.ports import local

if TYPE_CHECKING:  # loaded only where the exporter is asked
    from fleetwatch.app.spot_live import Live

_SECOND = 10**9
_MOST = 1000
F = TypeVar("F", bound=Callable[..., Any])


def _since_option(usual: str | None) -> Callable[[F], F]:
    told = "Since then: 2026-11-01, 2026-11-01T08:00 (UTC), or an age such as 24h, 7d."
    if usual is None:
        return click.option("--since", help=f"{told} Whole days. [default: all that was ever counted]")
    return click.option("--since", default=usual, show_default=True, help=told)


def _exporter_option(function: F) -> F:
    return click.option("--exporter", metavar="URL", help="The running exporter. [default: http:// and web.listen]")(
        function
    )


@click.group("spot")
def command() -> None:
    """Spot machines: what they saved, what was taken away and how it was left, where else to run."""


@command.command("savings")
@_since_option(None)
@config_option
@format_option
def savings(since: str | None, config: Path | None, style: str) -> None:
    """What machines cost, and would have cost on demand at list price. Days are of UTC, kept for spot.keep_days."""
    start = None if since is None else _nanoseconds(since)
    with open_ledger(config) as ledger:
        told = spot_tables.money(ledger) if start is None else spot_tables.money_of_days(ledger, start)
    rows = spot_tables.saved(told)
    note = spot_tables.saved_note(told)
    _show(style, spot_tables.SAVINGS, rows, note=note)


@command.command("interruptions")
@_since_option("30d")
@config_option
@format_option
def interruptions(since: str, config: Path | None, style: str) -> None:
    """Machines that were taken away, or told that they may be, newest first: signs, lead, drain, outcome."""
    start = _nanoseconds(since)
    with open_ledger(config) as ledger:
        found = ledger.interruptions(start)
    _show(style, spot_tables.INTERRUPTIONS, spot_tables.taken(found), note=spot_tables.taken_note(found))


@command.command("switches")
@_since_option("30d")
@config_option
@format_option
def switches(since: str, config: Path | None, style: str) -> None:
    """Workloads that moved to other pools, newest first; followed: to the one that was recommended."""
    start = _nanoseconds(since)
    with open_ledger(config) as ledger:
        found = ledger.switches(start, _MOST)
    note = "" if found else "No workload moved in that time."
    if len(found) == _MOST:
        note = f"The newest {_MOST}; a later --since shows all of its time."
    _show(style, spot_tables.SWITCHES, spot_tables.switched(found), note=note)


@command.command("pools")
@_since_option("30d")
@_exporter_option
@config_option
@format_option
def pools(since: str, exporter: str | None, config: Path | None, style: str) -> None:
    """Pools: hours, interruptions and their rate from the ledger, whole days; prices and risk from the exporter.

    at_most_per_100_hours is the upper 95 % bound of the rate: what few hours cannot rule out.
    """
    start = _nanoseconds(since)
    now, why = _asked(exporter, config)
    with open_ledger(config) as ledger:
        exposure = ledger.exposure(start)
    if now is None:
        click.echo(f"{why}; machines, prices and risk are known to a running exporter only", err=True)
    rows = spot_tables.pools(exposure, now)
    _show(style, spot_tables.POOLS, rows, note="" if rows else "No spot machine ran in that time.")


@command.command("alternates")
@_exporter_option
@config_option
@format_option
def alternates(exporter: str | None, config: Path | None, style: str) -> None:
    """Where workloads could run instead, at most five each. A unit is a vCPU, or a GPU where they need GPUs."""
    now, why = _asked(exporter, config)
    if now is None:
        raise click.ClickException(f"{why}; alternates are of now, so the exporter has to run: `fleetwatch run`")
    _show(style, spot_tables.ALTERNATES, spot_tables.alternates(now), note=spot_tables.alternates_note(now))


def _show(style: str, columns: Sequence[str], rows: Sequence[Sequence[object]], note: str) -> None:
    """As `show`, with as many columns as the terminal has room for."""
    if style == "table" and rows:
        width = shutil.get_terminal_size().columns if sys.stdout.isatty() else 200
        columns, rows, left_out = fitting(columns, rows, width, spot_tables.SPARE)
        if left_out:
            note += f"{' ' * bool(note)}No room for {', '.join(left_out)}: a wider terminal, or --format csv."
    show(style, columns, rows, note=note)


def _nanoseconds(since: str) -> int:
    try:
        return (parse_when(since) or 0) * _SECOND
    except ValueError as error:
        raise click.UsageError(f"--since: {error}") from None


def _asked(exporter: str | None, config: Path | None) -> tuple[Live | None, str]:
    """(what the exporter says, else None and why it does not)."""
    from fleetwatch.app.spot_live import NoAnswer, live  # noqa: PLC0415 - see above

    url = exporter or f"http://{local(load(config).web.listen)}"
    try:
        return live(url), ""
    except (NoAnswer, ValueError) as error:
        return None, printable(f"{'--exporter' if exporter else 'web.listen'}: {error}")
