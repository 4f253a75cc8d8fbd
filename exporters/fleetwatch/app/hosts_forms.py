"""Which series of the catalogue a host's point stands for."""

from __future__ import annotations

from collections.abc import Iterable

from fleetwatch import catalogue
from fleetwatch.catalogue import hosts
from fleetwatch.catalogue.metric import Metric
from fleetwatch.reckon.pulse import SECOND
from fleetwatch.reckon.roster import Word
from fleetwatch.records.hosts import Form, HostReport

_MOST = 20_000
"""Series remembered; hosts of one kind share them."""

_LAST_TIME = 9 * 10**9
"""Unix seconds, year 2255: a time past it is a mistake in the unit, and its nanoseconds fit into no INTEGER."""

_ROSTER = frozenset({hosts.STATE, hosts.EXPECTED, hosts.LAST_REPORT})
"""What the exporter says about hosts: no host says it of itself."""

TOLD = frozenset({hosts.INFO, hosts.REPORT_INTERVAL, hosts.SPOT_ACTION, hosts.GOODBYE})
"""What the roster listens to."""


Known = tuple[Metric, tuple[str, ...]]
"""A metric and its label values without the host's name."""


class Forms:
    """Looks points up in the catalogue."""

    def __init__(self) -> None:
        self._metrics = {
            name: metric
            for name, metric in catalogue.host_metrics().items()
            # The host's name stands first in each of them; nothing here looks for it elsewhere.
            if metric not in _ROSTER and metric.implied == 0
        }
        self._known: dict[Form, Known | None] = {}

    def known(self, form: Form) -> Known | None:
        """The series of the catalogue; None where the name is unknown or the labels are not exactly the metric's."""
        try:
            return self._known[form]
        except KeyError:
            if len(self._known) >= _MOST:
                self._known.clear()
            found = self._known[form] = self._find(form)
            return found

    def _find(self, form: Form) -> Known | None:
        metric = self._metrics.get(form.name)
        labels = dict(form.labels)
        if metric is None or len(labels) != len(form.labels) or labels.keys() != set(metric.label_names[1:]):
            return None
        return metric, tuple(labels[label] for label in metric.label_names[1:])


def word_of(report: HostReport, told: Iterable[tuple[Known, float]]) -> Word:
    """What a report says to the roster. Values that are no times and durations say nothing."""
    interval = notice = facts = None
    goodbye = False
    for (metric, labels), value in told:
        if metric is hosts.INFO:
            named = dict(zip(metric.label_names[1:], labels, strict=True))
            facts = (named[hosts.INSTANCE_TYPE.name], named[hosts.REGION.name], named[hosts.LIFECYCLE.name])
        elif not 0 < value < _LAST_TIME:
            continue
        elif metric is hosts.REPORT_INTERVAL:
            interval = int(value * SECOND)
        elif metric is hosts.SPOT_ACTION:
            at = int(value * SECOND)
            notice = at if notice is None else min(notice, at)
        else:
            goodbye = True
    return Word(report.host, report.at, interval, goodbye, notice, facts)
