"""True counters out of sums per period: each period of each counter is added once, what comes late for it as well.

    take(key, {12:00: 5, 12:01: 7})   total 12
    take(key, {12:01: 9, 12:02: 1})   total 15: two came late for 12:01

Amounts are integers. A period never takes back: where its sum shrinks, the largest stays.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from fleetwatch.catalogue.metric import Metric, Sample


class Key(NamedTuple):
    """A counter: its metric and its labels, in the metric's order."""

    metric: Metric
    labels: tuple[str, ...]


@dataclass(slots=True)
class _Counter:
    since: int
    """Unix seconds; periods before it are not counted."""
    total: int = 0
    recent: dict[int, int] = field(default_factory=dict)
    """What was added for each period that may still change."""
    seen: int = 0
    """When its series was last read, Unix seconds."""
    born: bool = False
    """Whether it has been shown; the first time it shows 0, for a counter's first value is not seen by increase()."""


class Counts:
    """The counters of one account, region and collector. scales: parts of a unit that are counted, where not whole."""

    def __init__(self, scales: Mapping[Metric, int]) -> None:
        self._scales = scales
        self._counters: dict[Key, _Counter] = {}

    def take(self, key: Key, sums: Mapping[int, int], since: int, now: int = 0) -> None:
        """Add what is new. sums: start of the period -> its sum. since: for a new counter, its first period."""
        counter = self._counters.get(key)
        if counter is None:
            counter = self._counters[key] = _Counter(since)
        counter.seen = max(counter.seen, now)
        for period, amount in sums.items():
            more = amount - counter.recent.get(period, 0)
            if period >= counter.since and more > 0:
                counter.total += more
                counter.recent[period] = amount

    def settle(self, before: int) -> None:
        """Periods before this one are not read any more."""
        for counter in self._counters.values():
            counter.recent = {period: amount for period, amount in counter.recent.items() if period >= before}
            # A counter that is read again from further back must not count twice what is forgotten here.
            counter.since = max(counter.since, before)

    def forget(self, before: int) -> None:
        """Counters whose series was not read since: models and versions come and go."""
        self._counters = {key: counter for key, counter in self._counters.items() if counter.seen >= before}

    def __iter__(self) -> Iterator[Key]:
        return iter(self._counters)

    def samples(self) -> Iterator[Sample]:
        for key, counter in self._counters.items():
            scale = self._scales.get(key.metric, 1)
            shown = counter.total if counter.born else 0
            counter.born = True
            yield Sample(key.metric, key.labels, shown / scale if scale > 1 else shown)

    def dump(self) -> list[list[Any]]:
        """As JSON can hold it."""
        return [
            [key.metric.name, list(key.labels), item.since, item.total, item.seen, sorted(item.recent.items())]
            for key, item in self._counters.items()
        ]

    def load(self, rows: list[list[Any]], metrics: Mapping[str, Metric]) -> None:
        """Go on where `dump` was; counters whose metric or labels have changed since begin anew."""
        for name, labels, since, total, seen, recent in rows:
            metric = metrics.get(name)
            if metric is not None and len(labels) == len(metric.labels):
                known = {int(period): int(amount) for period, amount in recent}
                self._counters[Key(metric, tuple(labels))] = _Counter(
                    int(since), int(total), known, int(seen), born=True
                )
