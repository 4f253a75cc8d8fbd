"""From CloudWatch's values to facts: counters per period, gauges, and how the calls of the past minutes went.

All that depends on the service is in its Namespace; see _table.py.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from typing import NamedTuple

from fleetwatch.catalogue import ai_services
from fleetwatch.catalogue.metric import NANO, Metric, Sample
from fleetwatch.collect.ai_services._cloudwatch import PERCENTILE_PERIOD, PERIOD, Query
from fleetwatch.collect.ai_services._counts import Key
from fleetwatch.collect.ai_services._health import Window
from fleetwatch.collect.ai_services._table import Meaning, Namespace, Statistic

SCALES: Mapping[Metric, int] = {
    ai_services.COST: NANO,
    ai_services.DURATION: 10**6,  # CloudWatch has milliseconds, with fractions
    ai_services.ITEMS: 1000,  # inference units have fractions
}
"""Parts of a unit in which these are counted; all others are whole."""

Tokens = Mapping[str, int]
"""Kind -> tokens, of one model in one period."""

Price = Callable[[str, str, Tokens, int, int], "int | None"]
"""(provider, model, tokens, calls, start of the period) -> nano-USD; None for a model without a known price."""

Sums = dict[int, float]
"""Start of a period, Unix seconds -> sum."""


class Where(NamedTuple):
    account: str
    region: str


class Span(NamedTuple):
    """until: periods before it are old enough to be counted; window: start of the one whose calls make the health."""

    until: int
    window: int


class Facts(NamedTuple):
    """counters: key -> start of the period -> sum, in parts of 1/SCALES."""

    counters: dict[Key, dict[int, int]]
    gauges: list[Sample]
    windows: dict[str, Window]


def facts(
    namespace: Namespace, values: Mapping[Query, Mapping[int, float]], where: Where, span: Span, price: Price
) -> Facts:
    """All that the values of one service in one account and region say."""
    view = _View(namespace, where, span)
    for query, points in values.items():
        view.take(query, points)
    view.requests()
    view.simple()
    view.cost(price)
    view.latest(values)
    return Facts(view.counters, view.gauges, view.windows)


Place = tuple[str, str]
"""Resource and operation."""


class _View:
    def __init__(self, namespace: Namespace, where: Where, span: Span) -> None:
        self._namespace = namespace
        self._where = where
        self._span = span
        self._sums: dict[tuple[str, str, str], dict[Place, Sums]] = defaultdict(dict)
        """(kind, part, statistic) -> place -> sums."""
        self._models: dict[str, str] = {}
        self.counters: dict[Key, dict[int, int]] = {}
        self.gauges: list[Sample] = []
        self.windows: dict[str, Window] = {}

    def take(self, query: Query, points: Mapping[int, float]) -> None:
        column, series = query.series.column, query.series
        if column.kind == "level" or query.statistic == "p95":
            return
        sums = self._sums[column.kind, column.part, query.statistic].setdefault((series.resource, series.operation), {})
        self._models[series.resource] = series.model
        for period, value in points.items():
            if period < self._span.until:
                sums[period] = sums.get(period, 0.0) + value

    def requests(self) -> None:
        """Counters by outcome, and the windows."""
        parts = {part: places for (kind, part, _), places in self._sums.items() if kind == "requests"}
        told = {column.part for column in self._namespace.columns if column.kind == "requests"}
        outcomes = [item for item in ai_services.OUTCOME.one_of if item in told or (item == "ok" and "total" in told)]
        for place in sorted({place for places in parts.values() for place in places}):
            sums = {part: places.get(place, {}) for part, places in parts.items()}
            sums["ok"] = _ok(sums, self._namespace.invocations)
            for outcome in outcomes:
                self._count(ai_services.REQUESTS, place, sums.get(outcome, {}), outcome=outcome)
            failed = [sums.get(part, {}) for part in ("client_error", "server_error", "error")]
            self._add_window(place[0], sums["ok"], failed, sums.get("throttled", {}))
        if self._namespace.capacity is not None:
            self._windows_of_capacity(*self._namespace.capacity)

    def simple(self) -> None:
        """Counters that are CloudWatch's sums as they stand."""
        for (kind, part, statistic), places in sorted(self._sums.items()):
            for place, sums in places.items():
                if kind == "tokens":
                    self._count(ai_services.TOKENS, place, sums, kind=part)
                elif kind == "items":
                    self._count(ai_services.ITEMS, place, sums, item=part)
                elif kind == "duration" and statistic == "Sum":
                    seconds = {period: value / 1000 for period, value in sums.items()}
                    self._count(ai_services.DURATION, place, seconds, stage=part)
                elif kind == "duration":
                    self._count(ai_services.DURATION_SAMPLES, place, sums, stage=part)

    def cost(self, price: Price) -> None:
        """What the tokens cost: each model and period as a whole, so that what comes late changes its price rightly."""
        provider = self._namespace.provider
        if not provider:
            return
        tokens: dict[tuple[str, int], dict[str, int]] = defaultdict(dict)
        calls: dict[tuple[str, int], int] = defaultdict(int)
        for (kind, part, _), places in self._sums.items():
            for (resource, _operation), sums in places.items():
                for period, value in sums.items():
                    if kind == "tokens":
                        known = tokens[resource, period]
                        known[part] = known.get(part, 0) + round(value)
                    elif kind == "requests" and part == "total":
                        calls[resource, period] += round(value)
        for (resource, period), kinds in sorted(tokens.items()):
            if not any(kinds.values()):
                continue
            cost = price(provider, self._models[resource], kinds, calls[resource, period], period)
            if cost is None:
                key = self._key(ai_services.UNPRICED, resource)
                self.counters.setdefault(key, {})[period] = sum(kinds.values())
            else:
                key = self._key(ai_services.COST, resource, confidence="estimated")
                self.counters.setdefault(key, {})[period] = cost

    def latest(self, values: Mapping[Query, Mapping[int, float]]) -> None:
        """Gauges. Where several series are one to us: of percentiles the worst, of levels the sum."""
        worst: dict[tuple[str, ...], float] = {}
        levels: dict[tuple[str, ...], float] = {}
        for query, points in values.items():
            series, column = query.series, query.series.column
            labels = (self._namespace.service, series.resource, series.operation, *self._where, column.part)
            whole = {period for period in points if period + query.period <= self._span.until}
            if query.statistic == "p95" and whole:
                worst[labels] = max(worst.get(labels, 0.0), points[max(whole)] / 1000)
            elif column.kind == "level" and points:
                levels[labels] = levels.get(labels, 0.0) + points[max(points)] * column.scale
        self.gauges += (Sample(ai_services.LATENCY_P95, labels, value) for labels, value in sorted(worst.items()))
        self.gauges += (Sample(ai_services.LEVELS, labels, value) for labels, value in sorted(levels.items()))

    def _windows_of_capacity(self, asked: str, granted: str) -> None:
        """Units that were asked for and not granted stand for calls that were turned away."""
        wanted, given = self._sums["items", asked, "Sum"], self._sums["items", granted, "Sum"]
        for place in sorted({*wanted, *given}):
            ok = given.get(place, {})
            refused = {period: max(0.0, value - ok.get(period, 0.0)) for period, value in wanted.get(place, {}).items()}
            self._add_window(place[0], ok, (), refused)

    def _add_window(self, resource: str, ok: Sums, failed: Iterable[Sums], throttled: Sums) -> None:
        recent = Window(self._recent(ok), sum(map(self._recent, failed)), self._recent(throttled))
        self.windows[resource] = self.windows.get(resource, Window()).plus(recent)

    def _recent(self, sums: Sums) -> float:
        return sum(value for period, value in sums.items() if period >= self._span.window)

    def _count(self, metric: Metric, place: Place, sums: Sums, **more: str) -> None:
        scale = SCALES.get(metric, 1)
        key = self._key(metric, place[0], operation=place[1], **more)
        self.counters[key] = {period: round(value * scale) for period, value in sums.items()}

    def _key(self, metric: Metric, resource: str, **more: str) -> Key:
        sample = metric(0, service=self._namespace.service, resource=resource, **self._where._asdict(), **more)
        return Key(metric, sample.labels)


def _ok(sums: Mapping[str, Sums], meaning: Meaning) -> Sums:
    """Calls that went well in each period."""
    if "total" not in sums:
        return sums.get("ok", {})
    less = {"successful": (), "accepted": ("client_error", "server_error")}.get(
        meaning, ("client_error", "server_error", "throttled")
    )
    return {
        period: max(0.0, value - sum(sums.get(part, {}).get(period, 0.0) for part in less))
        for period, value in sums["total"].items()
    }


def statistics(stage: str) -> tuple[tuple[Statistic, int], ...]:
    """(statistic, period) that are asked of a duration: a mean over any time, and a percentile of the whole call."""
    both: tuple[tuple[Statistic, int], ...] = (("Sum", PERIOD), ("SampleCount", PERIOD))
    return (*both, ("p95", PERCENTILE_PERIOD)) if stage in ("whole", "chat", "first_token") else both
