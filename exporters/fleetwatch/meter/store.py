"""The series store: counters, gauges, histograms, label bounds, and series that are born at zero.

All values of counters and histogram sums are integers (counts of 1/scale of the metric's unit), so adding never rounds.
The store belongs to one thread, and so does what `snapshot` hands out.

Born at zero: a counter or histogram series shows 0 until two scrapes have seen it so, else `increase()` would miss
its first event. A series of a durable metric is released only after the release is on disk (`due`, `release`):
after a crash it then either shows its true value again or starts once more at zero, and is never counted twice.
"""

from __future__ import annotations

import bisect
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

from fleetwatch.catalogue.metric import NANO, OTHER, Label, Metric, Sample
from fleetwatch.meter.bounds import Bounds

STARTED_EARLIER = 0.0
"""Birth of a series that an earlier process showed: nobody knows it any more, which OTLP writes as 0."""

SCRAPER_FORGOTTEN = 3600.0
"""Seconds after which a Prometheus that stopped scraping is no longer waited for."""


@dataclass(slots=True)
class Histogram:
    """Counts per bucket (not cumulative, the last one is +Inf) and the sum in billionths of the unit."""

    counts: list[int]
    total: int = 0


@dataclass(slots=True)
class Series:
    """One series. `histogram` is None for a counter."""

    metric: Metric
    labels: tuple[str, ...]
    born: float
    born_scrape: int
    released: bool
    value: int = 0
    histogram: Histogram | None = None
    line: str = ""
    """The text before the value, made once by the exposition."""
    point: bytes = b""
    """The OTLP data point before time and value, made once by the export."""


class Reported:
    """One series that a source reports, kept as long as it does. `line` and `point` are as in Series.

    raw: the labels as the source gave them; labels: as they are shown.
    """

    __slots__ = ("labels", "line", "metric", "point", "raw", "value")

    def __init__(self, metric: Metric, raw: tuple[str, ...], labels: tuple[str, ...], value: float) -> None:
        self.metric = metric
        self.raw = raw
        self.labels = labels
        self.value = value
        self.line = ""
        self.point = b""


@dataclass(slots=True)
class _Source:
    """What a source reported last.

    families: the same by metric; plain: no value was past a bound and no two samples became one, so that the same
    label sets give the same series.
    """

    rows: list[Reported]
    families: dict[Metric, list[Reported]]
    plain: bool


class Meter:
    """The series of one process.

    limits: label name -> number of values, where it differs from the catalogue.
    most: lines that all series together may show. Past it a new series is counted where its open labels say _other:
    a Prometheus drops the whole scrape past its sample_limit.
    hold: seconds that a new series shows 0 at least; two scrape intervals.
    durable: metrics whose releases must be on disk first.
    overflow: counter with labels metric and label that counts updates past a bound.
    implied: label name -> value that stands where sources leave an implied label empty.
    """

    def __init__(
        self,
        *,
        limits: Mapping[str, int] | None = None,
        most: int = sys.maxsize,
        hold: float = 0.0,
        durable: Iterable[Metric] = (),
        overflow: Metric | None = None,
        implied: Mapping[str, str] = MappingProxyType({}),
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._limits = dict(limits or {})
        self._most = most
        self._lines = 0
        self._reserved = 0
        self._hold = hold
        self._durable = frozenset(durable)
        self._overflow = overflow
        self._implied = dict(implied)
        self._clock = clock
        self._bounds = Bounds(self._limits)
        self._series: dict[Metric, dict[tuple[str, ...], Series]] = {}
        # Raw label values -> series, so that bounds are looked at once per distinct set and not per update.
        self._known: dict[tuple[Metric, tuple[str, ...]], tuple[Series, tuple[str, ...]]] = {}
        self._waiting: list[Series] = []
        self._sources: dict[str, _Source] = {}
        self._scrapes = 0
        self._last_scrape: float | None = None
        self._released_before: frozenset[tuple[str, tuple[str, ...]]] = frozenset()

    def resume(self, released: frozenset[tuple[str, tuple[str, ...]]]) -> None:
        """Take over durable series, as (Prometheus name, labels), that an earlier process had released.

        They show their values at once and keep their places: what Prometheus has seen must not move into _other.
        """
        self._released_before = released
        sizes = {metric.prometheus: _lines(metric) for metric in self._durable}
        self._reserved = sum(sizes.get(name, 0) for name, _ in released)

    def add(self, metric: Metric, labels: tuple[str, ...], amount: int) -> None:
        """Add to a counter. amount: integer count of 1/scale units, zero (to bring the series into being) or more."""
        series, over = self._known.get((metric, labels)) or self._admit(metric, labels)
        series.value += amount
        for name in over:
            self._count_overflow(metric, name)

    def observe(self, metric: Metric, labels: tuple[str, ...], value: int) -> None:
        """Put one value, in billionths of the unit, into a histogram."""
        counts = [0] * (len(metric.buckets) + 1)
        counts[bisect.bisect_left(metric.buckets, value / NANO)] = 1
        self.merge(metric, labels, counts, value)

    def merge(self, metric: Metric, labels: tuple[str, ...], counts: Sequence[int], total: int) -> None:
        """Add counts per bucket and a sum in billionths to a histogram."""
        series, over = self._known.get((metric, labels)) or self._admit(metric, labels)
        histogram = series.histogram
        if histogram is None:
            raise TypeError(f"{metric.name} is no histogram")
        for place, count in enumerate(counts):
            histogram.counts[place] += count
        histogram.total += total
        for name in over:
            self._count_overflow(metric, name)

    def replace(self, source: str, samples: Iterable[Sample]) -> int:
        """Replace all samples of a source (gauges, or counters kept elsewhere). Returns the number of series.

        What the source no longer reports is gone, and its label values no longer count for the bounds: each source is
        bounded by itself, so devices that come and go do not use up the room of those that come later, and one host
        does not that of another. A value that counters were let in with is let in here, too, and needs no room.

        Two samples whose labels became equal by a bound are one series: the last one stays.
        """
        fresh = list(samples)
        if not fresh:
            # Sources come and go, as hosts do: what is left of those that are gone must not add up.
            self._sources.pop(source, None)
            return 0
        known = self._sources.get(source)
        if known is not None and _is_same(known, fresh):
            for row, sample in zip(known.rows, fresh, strict=True):
                row.value = sample.value
        else:
            known = self._sources[source] = self._read(fresh, known)
        return len(known.rows)

    def revalue(self, source: str, values: Sequence[float]) -> bool:
        """New values for the samples of a source, in the order of its last `replace`.

        False, and nothing is done, where samples and series are not one to one.
        """
        known = self._sources.get(source)
        if known is None or not known.plain or len(known.rows) != len(values):
            return False
        for row, value in zip(known.rows, values, strict=True):
            row.value = value
        return True

    def reported_by(self, source: str) -> list[Sample]:
        """What a source reported last, as it is shown."""
        known = self._sources.get(source)
        return [] if known is None else [Sample(row.metric, row.labels, row.value) for row in known.rows]

    def _read(self, samples: Sequence[Sample], before: _Source | None) -> _Source:
        """Samples with their bounds; texts of series that were reported before are used again."""
        earlier = {(row.metric, row.labels): row for row in before.rows} if before is not None else {}
        bounds = Bounds(self._limits, beside=self._bounds)
        kept: dict[tuple[Metric, tuple[str, ...]], Reported] = {}
        plain = True
        for metric, raw, value in samples:
            labels, over = bounds.apply(metric, self._filled(metric, raw))
            for name in over:
                self._count_overflow(metric, name)
                plain = False
            key = (metric, labels)
            row = earlier.get(key)
            if row is None:
                # A tuple that is equal is not kept twice.
                row = Reported(metric, raw, raw if raw == labels else labels, value)
            else:
                row.raw, row.value = raw if raw != row.labels else row.labels, value
            kept[key] = row
        rows = list(kept.values())
        families: dict[Metric, list[Reported]] = {}
        for row in rows:
            families.setdefault(row.metric, []).append(row)
        return _Source(rows, families, plain and len(rows) == len(samples))

    def _filled(self, metric: Metric, labels: tuple[str, ...]) -> tuple[str, ...]:
        """The labels with the value that is implied where the source left it out."""
        place = metric.implied
        if place is None or labels[place]:
            return labels
        return (*labels[:place], self._implied.get(metric.label_names[place], ""), *labels[place + 1 :])

    def snapshot(self) -> Iterator[tuple[Metric, list[Series], list[Reported]]]:
        """(metric, its series, those that sources report), each metric once, sorted by Prometheus name.

        A series that is not released must be shown as 0: see `shown`.
        """
        self._release_plain()
        reported: dict[Metric, list[Reported]] = {}
        for source in self._sources.values():
            for metric, rows in source.families.items():
                reported.setdefault(metric, []).extend(rows)
        for metric in sorted({*self._series, *reported}, key=lambda metric: metric.prometheus):
            yield metric, list(self._series.get(metric, {}).values()), reported.get(metric, [])

    def scraped(self) -> None:
        """A Prometheus has just been answered."""
        self._scrapes += 1
        self._last_scrape = self._clock()

    def due(self) -> list[Series]:
        """Durable series that may show their value as soon as that is on disk."""
        now = self._clock()
        return [series for series in self._waiting if series.metric in self._durable and self._is_due(series, now)]

    def release(self, series: Sequence[Series]) -> None:
        """Show the values of these series from now on."""
        for item in series:
            item.released = True
        self._waiting = [item for item in self._waiting if not item.released]

    def forget(self, label: Label, value: str) -> int:
        """Take out the counters and histograms with this value of a label; returns their number.

        Values that no other series has make room for new ones. A series that comes again is a new one, born at zero.
        Gauges are their source's: it no longer reports them.
        """
        places = {metric: metric.labels.index(label) for metric in self._series if label in metric.labels}
        gone = [
            series
            for metric, place in places.items()
            for labels, series in self._series[metric].items()
            if labels[place] == value
        ]
        for series in gone:
            del self._series[series.metric][series.labels]
            self._lines -= _lines(series.metric)
        self._forget_releases(label, value, {(series.metric.prometheus, series.labels) for series in gone})
        if gone:
            left = {id(series) for series in gone}
            self._known = {key: found for key, found in self._known.items() if id(found[0]) not in left}
            self._waiting = [series for series in self._waiting if id(series) not in left]
            self._make_room({label for series in gone for label in series.metric.labels})
            self._series = {metric: family for metric, family in self._series.items() if family}
        return len(gone)

    def _forget_releases(self, label: Label, value: str, shown: set[tuple[str, tuple[str, ...]]]) -> None:
        """The same for what an earlier process had released. shown: those of them that have their place no more."""
        names = {metric.prometheus: metric for metric in self._durable if label in metric.labels}
        gone = {
            item
            for item in self._released_before
            if (metric := names.get(item[0])) is not None and item[1][metric.labels.index(label)] == value
        }
        self._released_before -= gone
        self._reserved -= sum(_lines(names[name]) for name, _ in gone - shown)

    def _make_room(self, labels: Iterable[Label]) -> None:
        """Forget the values of these labels that no series has any more."""
        for label in labels:
            shown: set[str] = set()
            for metric, family in self._series.items():
                if label in metric.labels:
                    place = metric.labels.index(label)
                    shown.update(values[place] for values in family)
            self._bounds.keep(label, shown)

    def __len__(self) -> int:
        """Number of series; a histogram counts once per line that it shows."""
        return self._lines + sum(len(source.rows) for source in self._sources.values())

    def _release_plain(self) -> None:
        now = self._clock()
        self.release([item for item in self._waiting if item.metric not in self._durable and self._is_due(item, now)])

    def _is_due(self, series: Series, now: float) -> bool:
        # A clock that was set back must not hold series for as long as it was set back.
        if 0 <= now - series.born < self._hold:
            return False
        watched = self._last_scrape is not None and now - self._last_scrape < SCRAPER_FORGOTTEN
        return not watched or self._hold == 0 or self._scrapes - series.born_scrape >= 2

    def _admit(self, metric: Metric, labels: tuple[str, ...]) -> tuple[Series, tuple[str, ...]]:
        bounded, over = self._bounds.apply(metric, labels)
        family = self._series.setdefault(metric, {})
        if bounded not in family and self._is_full(metric, bounded):
            bounded, more = _other(metric, bounded)
            over += more
        series = family.get(bounded) or self._create(metric, bounded)
        if not over:
            # Sets past a bound are not remembered: their number has none.
            self._known[metric, labels] = (series, over)
        return series, over

    def _create(self, metric: Metric, labels: tuple[str, ...]) -> Series:
        before = self._was_released(metric, labels)
        histogram = Histogram([0] * (len(metric.buckets) + 1)) if metric.kind == "histogram" else None
        born = STARTED_EARLIER if before else self._clock()
        series = self._series[metric][labels] = Series(metric, labels, born, self._scrapes, before, 0, histogram)
        self._lines += _lines(metric)
        if before:
            self._reserved -= _lines(metric)
        else:
            self._waiting.append(series)
        return series

    def _was_released(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        return metric in self._durable and (metric.prometheus, labels) in self._released_before

    def _is_full(self, metric: Metric, labels: tuple[str, ...]) -> bool:
        """Whether there is no room for this series. The overflow counter itself always has some."""
        if metric is self._overflow or self._was_released(metric, labels):
            return False
        return self._lines + self._reserved + _lines(metric) > self._most

    def _count_overflow(self, metric: Metric, name: str) -> None:
        if self._overflow is not None and metric is not self._overflow:
            self.add(self._overflow, (metric.prometheus, name), 1)


def _is_same(source: _Source, samples: Sequence[Sample]) -> bool:
    """Whether these are the label sets that the source had before, in the same order: the usual case."""
    if not source.plain or len(samples) != len(source.rows):
        return False
    return all(
        row.metric is sample.metric and row.raw == sample.labels
        for row, sample in zip(source.rows, samples, strict=True)
    )


def _lines(metric: Metric) -> int:
    """Lines that one series shows."""
    return len(metric.buckets) + 3 if metric.kind == "histogram" else 1


def _other(metric: Metric, labels: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The labels with all open ones replaced, and the names of those that were."""
    replaced = tuple(value if label.one_of else OTHER for label, value in zip(metric.labels, labels, strict=True))
    names = [name for name, old, new in zip(metric.label_names, labels, replaced, strict=True) if old != new]
    return replaced, tuple(names)


def shown(series: Series) -> int:
    """The value of a counter as shown: 0 until it is released."""
    return series.value if series.released else 0


def shown_histogram(series: Series) -> Histogram:
    """The histogram as shown: empty until it is released."""
    histogram = series.histogram
    if histogram is None:
        raise TypeError(f"{series.metric.name} is no histogram")
    return histogram if series.released else Histogram([0] * len(histogram.counts))
