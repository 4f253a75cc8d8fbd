"""Alertmanager's alerts by what becomes of them, and who has taken them on: when, and until when, but not who or why.

alert_firing{alertname="PhaseFailed",domain="pipelines",severity="ticket",state="acknowledged"} 2
alert_acknowledged_until_timestamp_seconds{alertname="PhaseFailed",domain="pipelines",severity="ticket"} 1.795e9

Where the settings do not say that there is one, it is looked for where this machine's would be, and missed only when it
was there before.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterator, Sequence

from fleetwatch.catalogue import alerting
from fleetwatch.catalogue.metric import Sample
from fleetwatch.collect.alerting._acknowledged import (
    acknowledgements_of,
    acknowledging,
    last_of,
    severity_of,
    state_of,
    unix,
)
from fleetwatch.collect.alerting._api import Alert, Api, NoAnswer, Silence
from fleetwatch.collect.here import Here
from fleetwatch.collect.runner import NoData, source

_Key = tuple[str, str, str, str]


@source(interval=15, timeout=12)
class Alertmanager:
    def __init__(self, here: Here) -> None:
        self._access = here.alertmanager
        self._acknowledged = here.acknowledged
        self._now = here.clock
        self._was_there = False
        self._told: dict[str, int] = {}
        """Acknowledgements that were handed on: id of the silence -> when it ends."""

    def __call__(self) -> Iterator[Sample]:
        """Raises NoAnswer, or NoData where nobody said that there is an Alertmanager."""
        if self._access is None:
            raise NoData
        api = Api(self._access)
        try:
            # In this order: a silence that is made in between is missing from the first, and so from both.
            silences = api.silences()
            alerts = api.alerts()
        except NoAnswer:
            if self._access.is_named or self._was_there:
                raise
            raise NoData from None
        self._was_there = True
        self._tell(silences, alerts)
        yield from _samples(silences, alerts)

    def _tell(self, silences: Sequence[Silence], alerts: Sequence[Alert]) -> None:
        """Hand on what is new; whoever counts it knows what an earlier process has told."""
        now = datetime.datetime.fromtimestamp(self._now(), datetime.UTC)
        found = list(acknowledgements_of(silences, alerts, now))
        self._acknowledged.extend(item for item in found if self._told.get(item.silence) != item.ends)
        self._told = {item.silence: item.ends for item in found}


def _samples(silences: Sequence[Silence], alerts: Sequence[Alert]) -> Iterator[Sample]:
    acknowledgements = acknowledging(silences)
    firing: dict[_Key, list[float]] = {}
    until: dict[tuple[str, str, str], float] = {}
    for alert in alerts:
        about = (alert.name, alert.labels.get("domain", ""), severity_of(alert.labels))
        firing.setdefault((*about, state_of(alert, acknowledgements)), []).append(unix(alert.startsAt))
        if (silence := last_of(alert, acknowledgements)) is not None:
            end = unix(silence.endsAt)
            until[about] = min(until.get(about, end), end)
    for labels, starts in sorted(firing.items()):
        yield Sample(alerting.FIRING, labels, len(starts))
        yield Sample(alerting.FIRING_SINCE, labels, min(starts))
    for about, end in sorted(until.items()):
        yield Sample(alerting.ACKNOWLEDGED_UNTIL, about, end)
