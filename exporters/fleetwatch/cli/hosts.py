"""`fleetwatch hosts list|confirm|forget`: the roster of hosts that push, from the ledger."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetwatch.app.told import utc
from fleetwatch.cli._options import config_option, format_option, open_ledger, printable, show
from fleetwatch.cli._roster import ask, counted, staleness
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.settings import load

if TYPE_CHECKING:  # loaded only when a verb runs
    from fleetwatch.ledger.roster import Wish
    from fleetwatch.reckon.roster import Rules
    from fleetwatch.records.hosts import Host

COLUMNS = ("host", "state", "expected", "last_report", "age_s", "instance_type", "region", "lifecycle", "first_seen")


@click.group("hosts")
def command() -> None:
    """Hosts whose sidecars report to this exporter: who is there, who left, who is missing."""


@command.command("list")
@config_option
@format_option
def list_hosts(config: Path | None, style: str) -> None:
    """Every host with its state, as of the exporter's last checkpoint (some seconds ago)."""
    from fleetwatch.app.here import host_name  # noqa: PLC0415 - the other verbs do not need it
    from fleetwatch.app.hosts import rules_of  # noqa: PLC0415 - see above
    from fleetwatch.reckon import roster  # noqa: PLC0415 - see above

    settings = load(config)
    rules = rules_of(settings)
    with open_ledger(config) as ledger:
        known, at = ledger.hosts(), ledger.checkpoint_at()
    now = time.time_ns()
    rows = [_row(host, rules, now) for host in known]
    names = {host.name for host in known}
    # The exporter looks at its own machine itself and says in its series that it is there; nothing in the ledger does.
    unlisted = {host_name(settings)} - names if settings.host.enabled else set()
    missing = sorted(rules.expected - names - unlisted)
    rows += [(name, "never_seen", "yes", "", "", "", "", "", "") for name in missing]
    states = [roster.state(host) for host in known] + ["never_seen"] * len(missing)
    none = "No host has reported with a sidecar, and roster.expected names none that should."
    told = counted(states, "hosts") if rows else none
    if unlisted:
        told += " The exporter's own machine is not listed: it needs no sidecar, and reports while the exporter runs."
    if known:
        told += staleness(at)
    show(style, COLUMNS, sorted(rows, key=lambda row: str(row[0])), note=told)


@command.command("confirm")
@click.argument("name")
@config_option
def confirm(name: str, config: Path | None) -> None:
    """Expect NAME from now on: it is missed when it falls silent. Hosts are also learned, see roster.learn."""
    _ask(config, name, "confirm", "is expected from now on", "will be expected")


@command.command("forget")
@click.argument("name")
@config_option
def forget(name: str, config: Path | None) -> None:
    """Take NAME out of the roster: it is missed no longer. Should it report again, it is a newcomer."""
    _ask(config, name, "forget", "is forgotten", "will be forgotten")


def _ask(config: Path | None, name: str, wish: Wish, done: str, later: str) -> None:
    settings = load(config)
    with open_ledger(config) as ledger:
        known = [host.name for host in ledger.hosts()]
    shown = printable(name)
    if name not in known:
        raise click.ClickException(f"{shown}: no such host; `fleetwatch hosts list` shows the {len(known)} known ones")
    if wish == "forget" and name in settings.roster.expected:
        raise click.ClickException(f"{shown}: roster.expected names it, so it stays; take it out there first")
    ask(settings.ledger_path, name, wish, done, later)


def _row(host: Host, rules: Rules, now: int) -> tuple[object, ...]:
    from fleetwatch.reckon import roster  # noqa: PLC0415 - see above

    return (
        host.name,
        roster.state(host),
        "yes" if roster.is_expected(host, rules) else "no",
        utc(host.last_report),
        round((now - host.last_report) / SECOND),
        host.instance_type,
        host.region,
        host.lifecycle,
        utc(host.first_seen),
    )
