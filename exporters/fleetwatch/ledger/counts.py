"""Durable counters and histograms of all that is not LLM totals.

They are written in the transaction that writes the facts they count, so file and facts never disagree; what a
transaction added shows in memory only after its commit. Labels are bounded here as the meter bounds them: the file
holds the series that are shown, and a sender that invents names cannot fill it.
"""

from __future__ import annotations

import bisect
import json
import logging
import sqlite3
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from fleetwatch.catalogue.metric import NANO, OTHER, Label, Metric

log = logging.getLogger(__name__)

MOST_SERIES = 50_000
"""Label sets of one metric, about 500 bytes of memory each; past it all labels without a closed list say _other."""

_LARGEST = 2**63
"""What no INTEGER of SQLite holds; it is written as text."""

_WRITE = "INSERT OR REPLACE INTO counts VALUES (?, ?, ?, ?)"


class Change(NamedTuple):
    """What came to one series. amount: integer count of 1/scale units, of a histogram that of its sum."""

    metric: Metric
    labels: tuple[str, ...]
    amount: int
    buckets: list[int] | None
    """Of a histogram: counts per bucket, not cumulative, the last one is +Inf."""


class _Sums:
    """A value, and counts per bucket where it is a histogram's."""

    __slots__ = ("buckets", "value")

    def __init__(self, buckets: int) -> None:
        self.value = 0
        self.buckets = [0] * buckets

    def add(self, other: _Sums) -> None:
        self.value += other.value
        if other.buckets:
            self.buckets = [mine + theirs for mine, theirs in zip(self.buckets, other.buckets, strict=True)]


class _Series:
    """One series: what the file holds, what this transaction adds, and what was not taken yet."""

    __slots__ = ("added", "fresh", "is_fresh", "is_touched", "kept", "labels", "metric", "text")

    def __init__(self, metric: Metric, labels: tuple[str, ...]) -> None:
        buckets = len(metric.buckets) + 1 if metric.kind == "histogram" else 0
        self.metric = metric
        self.labels = labels
        self.text = json.dumps(labels)
        self.kept, self.added, self.fresh = _Sums(buckets), _Sums(buckets), _Sums(buckets)
        self.is_touched = False
        self.is_fresh = False

    def row(self) -> tuple[str, str, int | str, str | None]:
        """As it is in the file when this transaction is committed."""
        value = self.kept.value + self.added.value
        buckets = None
        if self.added.buckets:
            buckets = json.dumps([old + new for old, new in zip(self.kept.buckets, self.added.buckets, strict=True)])
        return self.metric.name, self.text, value if -_LARGEST <= value < _LARGEST else str(value), buckets


class _Room(NamedTuple):
    """Values of one label that were let in, and how many may be."""

    admitted: set[str]
    limit: int


class Counts:
    """The table `counts`. All that adds is called inside the writer's transaction, then `write`.

    metrics: those that are kept here. limits: label name -> number of values, where it differs from the catalogue.
    """

    def __init__(self, db: sqlite3.Connection, metrics: Iterable[Metric], limits: Mapping[str, int]) -> None:
        self._db = db
        self._limits = limits
        self._metrics: dict[Metric, dict[tuple[str, ...], _Series]] = {metric: {} for metric in metrics}
        self._bounds = {metric: [round(bound * NANO) for bound in metric.buckets] for metric in self._metrics}
        self._label_rooms: dict[Label, _Room] = {}
        self._metric_rooms: dict[Metric, list[_Room]] = {}
        # Labels as given -> series, so that bounds are looked at once per distinct set and not per update.
        self._known: dict[tuple[Metric, tuple[str, ...]], _Series] = {}
        self._touched: list[_Series] = []
        self._fresh: list[_Series] = []
        self._over: Counter[tuple[str, str]] = Counter()
        # What this transaction brought into memory, and what it takes out.
        self._created: list[_Series] = []
        self._dropped: list[_Series] = []
        self._let_in: list[tuple[set[str], str]] = []
        self._over_now: Counter[tuple[str, str]] = Counter()
        self._load()

    def add(self, metric: Metric, labels: tuple[str, ...], amount: int = 1) -> None:
        """Add to a counter. amount: integer count of 1/scale units."""
        series = self._known.get((metric, labels)) or self._find(metric, labels)
        if not series.is_touched:
            self._touch(series)
        series.added.value += amount

    def observe(self, metric: Metric, labels: tuple[str, ...], value: int) -> None:
        """Put one value, in billionths of the unit, into a histogram."""
        series = self._known.get((metric, labels)) or self._find(metric, labels)
        if not series.is_touched:
            self._touch(series)
        series.added.value += value
        series.added.buckets[bisect.bisect_left(self._bounds[metric], value)] += 1

    def open(self, metric: Metric, labels: tuple[str, ...]) -> None:
        """Make sure that there is such a series, at zero where it is new."""
        self.add(metric, labels, 0)

    def note_overflow(self, metric: Metric, label: str) -> None:
        """Somebody else has put an update past a bound, and calls the label `_other` already."""
        self._over_now[metric.prometheus, label] += 1

    def forget(self, label: Label, value: str) -> list[tuple[str, tuple[str, ...]]]:
        """Delete all series with that value of a label: (Prometheus name, labels) each, as in `released`.

        In a transaction that adds to none of them. Values that no other series has make room for others.
        """
        for metric, family in self._metrics.items():
            if label in metric.labels:
                place = metric.labels.index(label)
                self._dropped += [series for series in family.values() if series.labels[place] == value]
        rows = [(series.metric.name, series.text) for series in self._dropped]
        self._db.executemany("DELETE FROM counts WHERE metric = ? AND labels = ?", rows)
        return [(series.metric.prometheus, series.labels) for series in self._dropped]

    def write(self) -> None:
        """Write what was added, inside the writer's transaction. May be called again for what was added since."""
        if self._touched:
            self._db.executemany(_WRITE, [series.row() for series in self._touched])

    def committed(self) -> None:
        """What was added is on disk."""
        for series in self._touched:
            series.is_touched = False
            series.kept.add(series.added)
            series.fresh.add(series.added)
            series.added = _Sums(len(series.added.buckets))
            self._mark_fresh(series)
        self._over += self._over_now
        if self._dropped:
            self._drop()
        self._forget_transaction()

    def undo(self) -> None:
        """What was added is not on disk, and never was."""
        for series in self._touched:
            series.is_touched = False
            series.added = _Sums(len(series.added.buckets))
        for series in self._created:
            del self._metrics[series.metric][series.labels]
        for admitted, value in self._let_in:
            admitted.discard(value)
        if self._created:
            self._known.clear()
        self._forget_transaction()

    def take(self) -> list[Change]:
        """What was committed since the last call; after the start all that the file holds. `_other` comes last.

        So whoever has the same bounds lets in what was let in here.
        """
        taken = []
        for series in self._fresh:
            series.is_fresh = False
            buckets = list(series.fresh.buckets) if series.fresh.buckets else None
            taken.append(Change(series.metric, series.labels, series.fresh.value, buckets))
            series.fresh = _Sums(len(series.fresh.buckets))
        self._fresh = []
        return sorted(taken, key=lambda change: OTHER in change.labels)

    def overflows(self) -> dict[tuple[str, str], int]:
        """Updates past a bound since the last call, by (Prometheus name, label)."""
        over, self._over = dict(self._over), Counter()
        return over

    def value(self, metric: Metric, labels: tuple[str, ...]) -> int:
        """What is on disk: of a counter its value, of a histogram its sum; 0 for a series that is not there."""
        series = self._metrics[metric].get(labels)
        return series.kept.value if series else 0

    def __len__(self) -> int:
        """Number of series."""
        return sum(map(len, self._metrics.values()))

    def _load(self) -> None:
        names = {metric.name: metric for metric in self._metrics}
        for name, text, value, buckets in self._db.execute("SELECT metric, labels, value, buckets FROM counts"):
            metric = names.get(name)
            labels = tuple(json.loads(text))
            counts = json.loads(buckets) if buckets else []
            if metric is None or len(labels) != len(metric.labels):
                log.warning("counts: %s%s is left as it is: this version has no such series", name, text)
                continue
            series = _Series(metric, labels)
            if len(counts) != len(series.kept.buckets):
                # Nobody can tell which old bucket a value of a new one was in.
                log.warning("counts: %s%s begins anew: its buckets have changed", name, text)
                continue
            series.kept.value, series.kept.buckets = int(value), counts
            series.fresh.add(series.kept)
            self._metrics[metric][labels] = series
            self._mark_fresh(series)
            for room, given in zip(self._rooms(metric), labels, strict=True):
                if given != OTHER:
                    room.admitted.add(given)

    def _find(self, metric: Metric, labels: tuple[str, ...]) -> _Series:
        bounded, over = self._bound(metric, labels)
        family = self._metrics[metric]
        series = family.get(bounded)
        if series is None and len(family) >= MOST_SERIES:
            pairs = zip(metric.labels, bounded, strict=True)
            bounded = tuple(value if label.one_of else OTHER for label, value in pairs)
            over = [label.name for label in metric.labels if not label.one_of]
            series = family.get(bounded)
        if series is None:
            series = family[bounded] = _Series(metric, bounded)
            self._created.append(series)
        if not over:
            # Sets past a bound are not remembered: their number has none.
            self._known[metric, labels] = series
        for name in over:
            self._over_now[metric.prometheus, name] += 1
        return series

    def _bound(self, metric: Metric, labels: tuple[str, ...]) -> tuple[tuple[str, ...], list[str]]:
        """The labels with values past a bound replaced, and the names of those labels."""
        bounded, over = list(labels), []
        for place, (room, value) in enumerate(zip(self._rooms(metric), labels, strict=True)):
            if value in room.admitted or value == OTHER:
                continue
            if len(room.admitted) < room.limit:
                room.admitted.add(value)
                self._let_in.append((room.admitted, value))
            else:
                bounded[place] = OTHER
                over.append(metric.label_names[place])
        return tuple(bounded), over

    def _rooms(self, metric: Metric) -> list[_Room]:
        """The room of each of a metric's labels; metrics that share a label share its room."""
        rooms = self._metric_rooms.get(metric)
        if rooms is None:
            rooms = self._metric_rooms[metric] = [self._room(label) for label in metric.labels]
        return rooms

    def _room(self, label: Label) -> _Room:
        room = self._label_rooms.get(label)
        if room is None:
            # A closed list has no room for others.
            limit = 0 if label.one_of else self._limits.get(label.name, label.at_most)
            room = self._label_rooms[label] = _Room(set(label.one_of), limit)
        return room

    def _drop(self) -> None:
        dropped = set(self._dropped)
        for series in dropped:
            self._metrics[series.metric].pop(series.labels, None)
        self._fresh = [series for series in self._fresh if series not in dropped]
        self._known.clear()
        for label in {label for series in dropped for label in series.metric.labels if not label.one_of}:
            places = [(m.labels.index(label), family) for m, family in self._metrics.items() if label in m.labels]
            shown = {labels[place] for place, family in places for labels in family}
            self._room(label).admitted.intersection_update(shown)

    def _touch(self, series: _Series) -> None:
        series.is_touched = True
        self._touched.append(series)

    def _mark_fresh(self, series: _Series) -> None:
        if not series.is_fresh:
            series.is_fresh = True
            self._fresh.append(series)

    def _forget_transaction(self) -> None:
        self._touched = []
        self._created = []
        self._dropped = []
        self._let_in = []
        self._over_now = Counter()
