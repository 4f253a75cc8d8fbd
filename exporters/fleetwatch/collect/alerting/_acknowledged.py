"""What a silence says of an alert: acknowledged by somebody, or muted.

An acknowledgement is a silence whose comment begins with `acknowledged:`. Every Alertmanager keeps a comment, whichever
program or person made the silence.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Final

from fleetwatch.catalogue.alerting import SEVERITY
from fleetwatch.catalogue.metric import OTHER
from fleetwatch.collect.alerting._api import Alert, Silence
from fleetwatch.records.alerting import Acknowledgement

MARK: Final = "acknowledged:"
RECENT: Final = datetime.timedelta(days=30)
"""An acknowledgement that ended longer ago is not looked at, whatever Alertmanager keeps."""
MOST: Final = 1000
"""Acknowledgements looked at; of more the newest."""
_SEAM: Final = datetime.timedelta(seconds=2)
"""Between the end of an acknowledgement and the beginning of the one that goes on from it."""
_FAR: Final = 2**62
_EPOCH: Final = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)


def is_acknowledgement(silence: Silence) -> bool:
    return silence.comment.lower().startswith(MARK)


def acknowledging(silences: Iterable[Silence]) -> dict[str, Silence]:
    """Acknowledgements that hold now, by id."""
    return {item.id: item for item in silences if item.status.state == "active" and is_acknowledgement(item)}


def reason(silence: Silence) -> str:
    """The comment without the mark."""
    return silence.comment[len(MARK) :].strip()


def last_of(alert: Alert, acknowledgements: Mapping[str, Silence]) -> Silence | None:
    """Of the acknowledgements that keep an alert quiet the one that ends last."""
    found = [acknowledgements[key] for key in alert.status.silencedBy or () if key in acknowledgements]
    return max(found, key=lambda item: item.endsAt, default=None)


def state_of(alert: Alert, acknowledgements: Mapping[str, Silence]) -> str:
    """One of the values of the label. acknowledgements: those that hold now, by id."""
    if last_of(alert, acknowledgements) is not None:
        return "acknowledged"
    if alert.status.silencedBy or alert.status.mutedBy:
        return "silenced"
    return "inhibited" if alert.status.inhibitedBy else "active"


def severity_of(labels: Mapping[str, str]) -> str:
    """One of the values of the label."""
    found = labels.get("severity", "")
    return found if found in SEVERITY.one_of else "other"


def unix(moment: datetime.datetime) -> float:
    """Seconds. A time without a zone is UTC."""
    return (_aware(moment) - _EPOCH).total_seconds()


def acknowledgements_of(
    silences: Iterable[Silence], alerts: Iterable[Alert], now: datetime.datetime
) -> Iterator[Acknowledgement]:
    """What is to be counted of the acknowledgements that were told; of one for later nothing yet."""
    told = [item for item in silences if is_acknowledgement(item) and item.status.state != "pending"]
    recent = [item for item in told if now - _aware(item.endsAt) < RECENT]
    recent = sorted(recent, key=lambda item: _aware(item.startsAt))[-MOST:]
    quiet: dict[str, list[Alert]] = {}
    for alert in alerts:
        for key in alert.status.silencedBy or ():
            quiet.setdefault(key, []).append(alert)
    alike: dict[frozenset[object], list[Silence]] = {}
    for item in recent:
        before = alike.setdefault(frozenset(item.matchers), [])
        yield _acknowledgement(item, before, quiet.get(item.id, []))
        before.append(item)


def _acknowledgement(silence: Silence, before: Sequence[Silence], alerts: Sequence[Alert]) -> Acknowledgement:
    """before: earlier ones with the same matchers; alerts: those that it keeps quiet."""
    named = {item.name: item.value for item in silence.matchers if item.isEqual and not item.isRegex}
    names = {named["alertname"]} if "alertname" in named else {alert.name for alert in alerts}
    severities = {severity_of(alert.labels) for alert in alerts} or {severity_of(named)}
    start = _aware(silence.startsAt)
    last = max((_aware(item.endsAt) for item in before), default=None)
    # One that was acknowledged before has not waited since its beginning.
    began = [_aware(alert.startsAt) for alert in alerts if _aware(alert.startsAt) <= start]
    if last is not None:
        began = [moment for moment in began if moment > last]
    return Acknowledgement(
        silence.id,
        names.pop() if len(names) == 1 else OTHER,
        severities.pop() if len(severities) == 1 else "other",
        _nanoseconds(_aware(silence.endsAt) - _EPOCH),
        last is None or start - last > _SEAM,
        _nanoseconds(start - min(began)) if began else None,
    )


def _nanoseconds(length: datetime.timedelta) -> int:
    """At most what SQLite holds: Alertmanager takes the year 9999."""
    return max(-_FAR, min(round(length.total_seconds() * 10**6) * 1000, _FAR))


def _aware(moment: datetime.datetime) -> datetime.datetime:
    return moment if moment.tzinfo else moment.replace(tzinfo=datetime.UTC)
