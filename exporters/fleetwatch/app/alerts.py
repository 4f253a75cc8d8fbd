"""Alertmanager by the settings; what fires, who has taken it on, and how somebody does.

An acknowledgement is a silence with a mark in its comment and the alert's own labels as its matchers: it ends by
itself, Alertmanager's pages show it, and other alerts of the name stay loud.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import partial
from typing import Final, NamedTuple

from fleetwatch.app import outside
from fleetwatch.collect.alerting._acknowledged import (
    MARK,
    acknowledging,
    is_acknowledgement,
    last_of,
    reason,
    severity_of,
    state_of,
    unix,
)
from fleetwatch.collect.alerting._api import Access, Alert, Api, Silence
from fleetwatch.collect.serving._address import address_of
from fleetwatch.settings import Settings, SettingsError

LONGEST: Final = datetime.timedelta(days=30)
"""Of an acknowledgement: what nobody looks at again is no longer anybody's."""
MOST: Final = 100
"""Alerts taken on at once."""
MOST_TEXT: Final = 500
"""Characters of a reason and a name."""

_UNSTEADY: Final = frozenset({"replica", "prometheus_replica", "__replica__"})
"""Labels that tell twin Prometheus servers apart: of one alert sometimes this, sometimes that."""
_STATIC: Final = frozenset({"alertname", "severity", "domain", "owner"}) | _UNSTEADY
_SEVERITIES: Final = {"page": 0, "ticket": 1, "other": 2, "info": 3}
_STATES: Final = {"active": 0, "acknowledged": 1, "silenced": 2, "inhibited": 3}
_EARLIER: Final = datetime.timedelta(days=1)
"""Alertmanager makes its own now of a beginning that is past; by a clock that leads it would be one for later."""


class Row(NamedTuple):
    """An alert that fires. since, until: Unix seconds. who, why: of what keeps it quiet."""

    alert: str
    severity: str
    state: str
    labels: dict[str, str]
    since: float
    who: str
    until: float | None
    why: str
    what: str
    silence: str


class Done(NamedTuple):
    """An alert that was taken on. what: its name and labels; silence: id; again: whether it was before."""

    what: str
    silence: str
    again: bool


def access_of(settings: Settings) -> Access:
    """Where Alertmanager is. Raises SettingsError for an address that is none and headers that cannot be read."""
    alerting = settings.alerting
    url = alerting.alertmanager
    if url:
        try:
            address_of(url, "/")
        except ValueError:
            raise SettingsError(
                f'alerting.alertmanager: expected an address like http://127.0.0.1:9093, got "{url}"'
            ) from None
    headers = partial(outside.headers, "alerting.headers_file", alerting.headers_file)
    headers()
    return Access(url or f"http://{_own(settings.stack.alertmanager_listen)}", headers, bool(url))


def listed(alerts: Sequence[Alert], silences: Sequence[Silence]) -> list[Row]:
    """What fires: pages first, and of each severity first what nobody has taken on, the oldest first."""
    by_id = {item.id: item for item in silences}
    names = {item.fingerprint: item.name for item in alerts}
    rows = [_row(alert, acknowledging(silences), by_id, names) for alert in alerts]
    return sorted(
        rows, key=lambda row: (_SEVERITIES[row.severity], _STATES[row.state], row.since, row.alert, about(row.labels))
    )


def _row(
    alert: Alert, acknowledgements: Mapping[str, Silence], silences: Mapping[str, Silence], names: Mapping[str, str]
) -> Row:
    status = alert.status
    state = state_of(alert, acknowledgements)
    silence = last_of(alert, acknowledgements)
    why = "" if silence is None else reason(silence)
    if state == "silenced":
        found = [silences[key] for key in status.silencedBy or () if key in silences]
        silence = max(found, key=lambda item: item.endsAt, default=None)
        why = silence.comment if silence is not None else "muted by time: " + ", ".join(status.mutedBy or ())
    elif state == "inhibited":
        why = "while it fires: " + ", ".join(sorted({names.get(key, key) for key in status.inhibitedBy or ()}))
    return Row(
        alert.name,
        severity_of(alert.labels),
        state,
        alert.labels,
        unix(alert.startsAt),
        silence.createdBy if silence is not None else "",
        unix(silence.endsAt) if silence is not None else None,
        why[:MOST_TEXT],
        alert.annotations.get("summary", "")[:MOST_TEXT],
        silence.id if silence is not None else "",
    )


def about(labels: Mapping[str, str]) -> str:
    """The labels that tell an alert from others of its name: `pipeline=nightly phase=P03`."""
    return " ".join(f"{name}={value}" for name, value in sorted(labels.items()) if name not in _STATIC)


def told(labels: Mapping[str, str]) -> str:
    """`PhaseFailed pipeline=nightly phase=P03`."""
    return " ".join(filter(None, (labels.get("alertname", "(no name)"), about(labels))))


def identities(alerts: Iterable[Alert], name: str, labels: Mapping[str, str]) -> list[dict[str, str]]:
    """What makes each alert of this name and these labels that very alert; twins of two Prometheus servers once."""
    found: list[dict[str, str]] = []
    for alert in alerts:
        if alert.name == name and labels.items() <= alert.labels.items():
            # Alertmanager takes a label without a value for one that is not there.
            own = {key: value for key, value in alert.labels.items() if value and key not in _UNSTEADY}
            if own not in found:
                found.append(own)
    return sorted(found, key=told)


def acknowledge(
    api: Api,
    alerts: Iterable[Mapping[str, str]],
    *,
    who: str,
    why: str,
    now: datetime.datetime,
    until: datetime.datetime,
) -> Iterator[Done]:
    """Take on alerts, by their identities; one that was before has a new end, person and reason. Raises NoAnswer."""
    held = {_labels(item): item.id for item in acknowledging(api.silences()).values()}
    for labels in alerts:
        before = held.get(frozenset(labels.items()), "")
        comment = f"{MARK} {why}"
        silence = api.silence(labels, start=now - _EARLIER, end=until, who=who, comment=comment, instead_of=before)
        yield Done(told(labels), silence, bool(before))


def acknowledgements(silences: Iterable[Silence], name: str, labels: Mapping[str, str]) -> list[Silence]:
    """Acknowledgements that are not over, by their id, or by name and labels of the alert."""
    found = [item for item in silences if is_acknowledgement(item) and not item.is_over]
    by_id = [item for item in found if item.id == name]
    wanted = {"alertname": name, **labels}.items()
    return by_id or [item for item in found if wanted <= matched(item).items()]


def matched(silence: Silence) -> dict[str, str]:
    """The labels that an alert must have for a silence to hold for it; without what it tells by patterns."""
    return {item.name: item.value for item in silence.matchers if item.isEqual and not item.isRegex}


def _labels(silence: Silence) -> frozenset[tuple[str, str]]:
    """The same for one that holds for one alert only; empty for others."""
    labels = matched(silence)
    return frozenset(labels.items()) if len(labels) == len(silence.matchers) else frozenset()


def _own(listen: str) -> str:
    """Where who listens there is reached. Port 0 is any port, of which `up` tells the exporter: else the usual one."""
    host, _, port = listen.rpartition(":")
    ours = {"0.0.0.0": "127.0.0.1", "": "127.0.0.1", "[::]": "[::1]"}  # noqa: S104 - compared, not bound
    return f"{ours.get(host, host)}:{'9093' if port == '0' else port}"
