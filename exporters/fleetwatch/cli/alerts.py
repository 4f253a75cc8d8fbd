"""`fleetwatch alerts list|ack|unack`: what fires, and who has taken it on, in Alertmanager."""

from __future__ import annotations

import datetime
import getpass
import json
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import click

from fleetwatch.app import alerts
from fleetwatch.app.told import utc
from fleetwatch.cli._options import config_option, format_option, printable, show
from fleetwatch.collect.alerting._api import Api, NoAnswer
from fleetwatch.settings import load
from fleetwatch.settings.kinds import seconds

COLUMNS = ("alert", "severity", "state", "about", "since", "who", "until", "why", "what")
FIELDS = ("alert", "severity", "state", "labels", "since", "who", "until", "why", "what", "silence")
_SHOWN = 20
"""Alerts listed where one has to be chosen."""
_AFTERWARDS = (
    "If it still fires afterwards, Alertmanager reminds of it when repeat_interval has passed since its last message: "
    "as shipped 4 h for a page, 1 d for a ticket."
)

_label_option = click.option(
    "--label",
    "-l",
    "labels",
    multiple=True,
    metavar="NAME=VALUE",
    help="Of several alerts of the name those with this label.",
)


@click.group("alerts")
def command() -> None:
    """Alerts that fire, and who has taken them on until when: acknowledgements are silences of Alertmanager."""


@command.command("list")
@click.option("--all", "everything", is_flag=True, help="Also those of severity info, which nobody is notified of.")
@config_option
@format_option
def list_alerts(*, everything: bool, config: Path | None, style: str) -> None:
    """What fires: pages first, and first what nobody has taken on."""
    with _alertmanager(config) as api:
        silences = api.silences()
        found = alerts.listed(api.alerts(), silences)
    rows = [row for row in found if everything or row.severity != "info"]
    if style == "table":
        show(style, COLUMNS, [_line(row) for row in rows], note=_note(rows, len(found) - len(rows)))
    else:
        show(style, FIELDS, [_fields(row, style) for row in rows])


@command.command("ack")
@click.argument("alert")
@_label_option
@click.option("--all", "everything", is_flag=True, help="All alerts of the name and labels that fire now.")
@click.option("--why", required=True, help="What is being done, for the others.")
@click.option("--for", "period", help="How long: 30m, 2h, 1d; at most 30d. [default: 4h]")
@click.option("--until", help="Or until when: 2026-11-01T08:00 (UTC), or with a zone.")
@click.option("--who", help="Who takes it on. [default: your login name]")
@config_option
def acknowledge(
    *,
    alert: str,
    labels: tuple[str, ...],
    everything: bool,
    why: str,
    period: str | None,
    until: str | None,
    who: str | None,
    config: Path | None,
) -> None:
    """Take on ALERT, which fires: nothing is sent about it until the acknowledgement ends.

    Of that very alert, with all its labels: others of its name stay loud, also those that begin later. Should it end
    and fire again within the time, it stays quiet. A second time gives it another end, person and reason.
    """
    now = datetime.datetime.now(datetime.UTC)
    end = _end(now, period, until)
    person, cause, pairs = _text("--who", who or _login()), _text("--why", why), _pairs(labels)
    with _alertmanager(config) as api:
        firing = api.alerts()
        chosen = alerts.identities(firing, alert, pairs)
        if not chosen:
            told = f"does not fire; `fleetwatch alerts list --all` shows the {len(firing)} that do"
            raise click.ClickException(printable(f"{_wanted(alert, labels)}: {told}"))
        _one_or_all([alerts.told(one) for one in chosen], alert, everything=everything)
        for done in alerts.acknowledge(api, chosen, who=person, why=cause, now=now, until=end):
            again = ", instead of the acknowledgement before" if done.again else ""
            click.echo(printable(f"{done.what}: acknowledged by {person} until {_utc(end)}{again} ({done.silence})"))
    click.echo("Until then nothing is sent about it, neither if it ends nor if it fires again.")
    click.echo(_AFTERWARDS + printable(f" To undo it: fleetwatch alerts unack {alert}"))


@command.command("unack")
@click.argument("alert")
@_label_option
@click.option("--all", "everything", is_flag=True, help="All acknowledgements of the name and labels.")
@config_option
def undo(*, alert: str, labels: tuple[str, ...], everything: bool, config: Path | None) -> None:
    """End the acknowledgement of ALERT, by its name or by the id of the silence."""
    pairs = _pairs(labels)
    with _alertmanager(config) as api:
        found = alerts.acknowledgements(api.silences(), alert, pairs)
        if not found:
            raise click.ClickException(
                printable(
                    f"{_wanted(alert, labels)}: no acknowledgement; other silences are ended in Alertmanager itself"
                )
            )
        _one_or_all([f"{alerts.told(alerts.matched(one))} ({one.id})" for one in found], alert, everything=everything)
        for one in found:
            api.expire(one.id)
            click.echo(printable(f"{alerts.told(alerts.matched(one))}: acknowledged no longer"))
    click.echo(_AFTERWARDS)


@contextmanager
def _alertmanager(config: Path | None) -> Iterator[Api]:
    """Alertmanager of the settings; what is wrong with it ends the program with one line."""
    access = alerts.access_of(load(config))
    try:
        yield Api(access)
    except NoAnswer as error:
        hint = "" if access.is_named else "; if Alertmanager is elsewhere, set alerting.alertmanager"
        raise click.ClickException(printable(f"{error}{hint}")) from None


def _pairs(labels: Sequence[str]) -> dict[str, str]:
    pairs = {}
    for text in labels:
        name, sign, value = text.partition("=")
        if not name or not sign:
            raise click.UsageError(printable(f'--label: expected NAME=VALUE, got "{text}"'))
        pairs[name] = value
    return pairs


def _one_or_all(names: Sequence[str], alert: str, *, everything: bool) -> None:
    """Raises ClickException where somebody has to choose."""
    if len(names) > alerts.MOST:
        raise click.ClickException(
            printable(f"{alert}: {len(names)} at once are too many, at most {alerts.MOST}: narrow them with --label")
        )
    if len(names) == 1 or everything:
        return
    lines = [f"{alert}: there are {len(names)}; choose with --label, or take --all", *names[:_SHOWN]]
    lines += [f"and {len(names) - _SHOWN} more"] if len(names) > _SHOWN else []
    raise click.ClickException("\n  ".join(printable(line) for line in lines))


def _end(now: datetime.datetime, period: str | None, until: str | None) -> datetime.datetime:
    """When an acknowledgement ends. Raises UsageError."""
    if period is not None and until is not None:
        raise click.UsageError("--for and --until: expected one of them")
    end = _moment(until) if until is not None else now + datetime.timedelta(seconds=_length(period or "4h"))
    if not now < end <= now + alerts.LONGEST:
        option, given = ("--until", until) if until is not None else ("--for", period)
        expected = f"expected a time to come, at most {alerts.LONGEST.days} days from now"
        raise click.UsageError(printable(f'{option}: {expected}, got "{given}"'))
    return end


def _moment(until: str) -> datetime.datetime:
    try:
        found = datetime.datetime.fromisoformat(until)
        return found.astimezone(datetime.UTC) if found.tzinfo else found.replace(tzinfo=datetime.UTC)
    except (ValueError, OverflowError):
        raise click.UsageError(printable(f'--until: expected a time such as 2026-11-01T08:00, got "{until}"')) from None


def _length(period: str) -> float:
    """Seconds; what is longer than may be stays so, however long."""
    try:
        return min(seconds(period), 2 * alerts.LONGEST.total_seconds())
    except ValueError:
        raise click.UsageError(printable(f'--for: expected a duration such as 30m, 2h or 1d, got "{period}"')) from None


def _text(option: str, text: str) -> str:
    """Without control characters: others read it on their terminals."""
    clean = printable(text.strip())
    if not 0 < len(clean) <= alerts.MOST_TEXT:
        raise click.UsageError(f"{option}: expected 1 to {alerts.MOST_TEXT} characters, got {len(clean)}")
    return clean


def _login() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user often has no name
        raise click.UsageError("--who: expected a name, for this machine knows none of yours") from None


def _wanted(alert: str, labels: Sequence[str]) -> str:
    return " ".join((alert, *labels))


def _line(row: alerts.Row) -> tuple[object, ...]:
    """For people: times to the minute are enough."""
    return (
        *(row.alert, row.severity, row.state, alerts.about(row.labels), _ago(row.since)),
        *(row.who, "" if row.until is None else _utc(row.until), row.why, row.what),
    )


def _fields(row: alerts.Row, style: str) -> tuple[object, ...]:
    """For programs; in CSV, which terminals show too, without control characters."""
    labels: object = row.labels if style == "json" else json.dumps(row.labels, sort_keys=True)
    since, until = _utc(row.since), "" if row.until is None else _utc(row.until)
    found = (row.alert, row.severity, row.state, labels, since, row.who, until, row.why, row.what, row.silence)
    return found if style == "json" else tuple(printable(value) for value in found)


def _note(rows: Sequence[alerts.Row], hidden: int) -> str:
    states = [row.state for row in rows]
    words = ", ".join(f"{states.count(state)} {state}" for state in dict.fromkeys(states))
    note = f"{len(rows)} alerts: {words}." if rows else "Nothing fires that anybody would be notified of."
    return note + (f" {hidden} of severity info are left out: --all." if hidden else "")


def _utc(moment: datetime.datetime | float) -> str:
    at = moment.timestamp() if isinstance(moment, datetime.datetime) else moment
    return utc(round(at * 1e9))


def _ago(since: float) -> str:
    age = max(0.0, time.time() - since)
    for unit, size in (("d", 86400), ("h", 3600), ("min", 60)):
        if age >= 2 * size:
            return f"{age / size:.0f} {unit}"
    return f"{age:.0f} s"
