"""What is known of one service in one account and region, from look to look."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fleetwatch.catalogue import ai_services
from fleetwatch.catalogue.metric import Metric, Sample, metrics_of
from fleetwatch.collect.ai_services import _health
from fleetwatch.collect.ai_services._cloudwatch import PERCENTILE_PERIOD, PERIOD, Reading
from fleetwatch.collect.ai_services._counts import Counts
from fleetwatch.collect.ai_services._health import Limits, Window
from fleetwatch.collect.ai_services._meaning import SCALES, Facts, Where
from fleetwatch.collect.ai_services._select import Found, Series
from fleetwatch.collect.runner import KEPT_CYCLES

REREAD = 2700
"""Seconds that are read again at each look: a series is listed up to 15 minutes after its first value, and listed by us
every DISCOVER seconds; values come late. Values cost nothing, only series do."""
LAG = 180
"""Seconds after which a period is counted: its calls are there before its errors, and a call that was counted as good
is not taken back."""
DISCOVER = 600
"""Seconds between looks for new series."""
CATCH_UP = 86_400
"""Seconds that are caught up with after an outage, at most."""
FORGET = 7 * 86_400
"""Seconds after which the counters of a resource that is not used any more are gone."""
WINDOW = 900
"""Seconds of calls that make the health."""

METRICS: Mapping[str, Metric] = {metric.name: metric for metric in metrics_of(ai_services)}


class Times(NamedTuple):
    """Of one look: start <= periods < end are asked for, those before `until` counted. Unix seconds."""

    start: int
    end: int
    until: int


@dataclass
class State:
    service: str
    where: Where
    begun: int
    """First period that is counted."""
    read_until: int = 0
    """Periods from `begun` to before it have all been read at least once; 0 before the first look."""
    counts: Counts = field(default_factory=lambda: Counts(SCALES))
    listed: float = 0.0
    found: list[Found] = field(default_factory=list)
    series: list[Series] = field(default_factory=list)
    since: int = 0
    """First period of counters that are new: `begun`, or later where their series took the place of others."""
    gauges: list[Sample] = field(default_factory=list)
    windows: dict[str, Window] = field(default_factory=dict)
    failures: int = 0

    def list_anew(self, now: float, found: list[Found], series: list[Series]) -> None:
        """Take over what CloudWatch lists."""
        kept = {item.found for item in series}
        listed = set(found)
        replaced = any(item.found in listed and item.found not in kept for item in self.series)
        self.since = max(self.begun, self.read_until) if replaced else self.begun
        self.listed, self.found, self.series = now, found, series

    def take(self, facts: Facts, times: Times, reading: Reading) -> None:
        for key, sums in facts.counters.items():
            self.counts.take(key, sums, self.since, times.end)
        self.gauges, self.windows = facts.gauges, facts.windows
        if reading.problems:
            self.failures += 1
            self.counts.settle(times.start)
            return
        self.failures = 0
        self.read_until = times.end
        self.counts.settle(self.times(times.end).start)
        self.counts.forget(times.end - FORGET)

    def times(self, now: float) -> Times:
        """What to ask for now."""
        end = int(now // PERIOD * PERIOD)
        start = max((self.read_until or end) - REREAD, end - CATCH_UP)
        return Times(int(start // PERCENTILE_PERIOD * PERCENTILE_PERIOD), end, end - LAG)

    def samples(self, limits: Limits) -> Iterator[Sample]:
        """Counters for ever; what is of the moment, as long as it may be taken for it."""
        counters = list(self.counts.samples())
        yield from counters
        if not counters and not self.gauges:
            return
        place = {"service": self.service, **self.where._asdict()}
        yield ai_services.READ_UNTIL(self.read_until, **place)
        yield ai_services.SERIES(len(self.series), **place, read="yes")
        yield ai_services.SERIES(len(set(self.found) - {item.found for item in self.series}), **place, read="no")
        if self.failures > KEPT_CYCLES:
            return
        yield from self.gauges
        states = [_health.state(window, limits) for window in self.windows.values()]
        found = _health.worst(states)
        for state in _health.ORDER:
            yield ai_services.HEALTH(1 if state == found else 0, **place, state=state)
        for resource, window in sorted(self.windows.items()):
            yield ai_services.WINDOW_REQUESTS(window.requests, **place, resource=resource)
            if window.requests:
                yield ai_services.WINDOW_ERRORS(window.error_ratio, **place, resource=resource)
                yield ai_services.WINDOW_THROTTLED(window.throttled_ratio, **place, resource=resource)

    def dump(self) -> dict[str, Any]:
        """As JSON can hold it."""
        return {
            "service": self.service,
            **self.where._asdict(),
            "begun": self.begun,
            "read_until": self.read_until,
            "counters": self.counts.dump(),
        }

    @classmethod
    def load(cls, held: Mapping[str, Any]) -> State:
        """Raises KeyError, TypeError, ValueError for what `dump` did not write."""
        where = Where(str(held["account"]), str(held["region"]))
        state = cls(str(held["service"]), where, int(held["begun"]), int(held["read_until"]))
        state.counts.load(held["counters"], METRICS)
        state.since = state.begun
        return state
