"""`fleetwatch agents list|forget`: the roster of agents that say whether they are there, from the ledger."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from fleetwatch.app.told import utc
from fleetwatch.cli._options import config_option, format_option, open_ledger, printable, show
from fleetwatch.cli._roster import ask, counted, staleness
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.settings import load

if TYPE_CHECKING:  # loaded only when a verb runs
    from fleetwatch.records.agents import AgentProcess

COLUMNS = (
    *("agent", "host", "instance", "presence", "state", "last_beat", "last_progress", "interval_s"),
    *("version", "framework", "model"),
)


@click.group("agents")
def command() -> None:
    """Agents that say whether they are there: what each process does, who left, who is missing."""


@command.command("list")
@config_option
@format_option
def list_agents(config: Path | None, style: str) -> None:
    """Every process of every agent, as of the exporter's last checkpoint (some seconds ago)."""
    from fleetwatch.reckon import presence, roster  # noqa: PLC0415 - the other verb does not need it

    expected = set(load(config).agents.expected)
    with open_ledger(config) as ledger:
        known, hosts, at = ledger.processes(), ledger.hosts(), ledger.checkpoint_at()
    states = {host.name: roster.state(host) for host in hosts}
    rows = [_row(process, presence.presence(process, states.get(process.host))) for process in known]
    absent = sorted(expected - {process.agent for process in known})
    rows += [(name, "", "", "never_seen", *("" for _ in COLUMNS[4:])) for name in absent]
    none = "No agent has said that it is there, and agents.expected names none that should. Spans alone do not say so."
    told = counted([str(row[3]) for row in rows], "processes") if rows else none
    if known:
        told += staleness(at)
    show(style, COLUMNS, sorted(rows, key=lambda row: tuple(map(str, row[:3]))), note=told)


@command.command("forget")
@click.argument("name")
@config_option
def forget(name: str, config: Path | None) -> None:
    """Take all processes of agent NAME out of the roster: it is missed no longer. One that reports is a newcomer."""
    settings = load(config)
    with open_ledger(config) as ledger:
        known = {process.agent for process in ledger.processes()}
    shown = printable(name)
    if name not in known:
        told = f"{shown}: no such agent; `fleetwatch agents list` shows the {len(known)} known ones"
        raise click.ClickException(told)
    if name in settings.agents.expected:
        raise click.ClickException(f"{shown}: agents.expected names it, so it stays; take it out there first")
    ask(settings.ledger_path, name, "forget_agent", "is forgotten", "will be forgotten")


def _row(process: AgentProcess, presence: str) -> tuple[object, ...]:
    return (
        process.agent,
        process.host,
        process.instance,
        presence,
        process.state,
        utc(process.last_report),
        utc(process.progress),
        process.interval / SECOND,
        process.version,
        process.framework,
        process.model,
    )
