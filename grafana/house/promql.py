"""Catalogue metrics as PromQL, so that a wrong name, label or kind raises while the board is built.

A Scope is a board's set of variables: every selector is narrowed by those of them that the metric has as labels.
    scope = Scope(llm.TEAM, llm.AGENT)
    scope.increase(llm.COST, by=llm.AGENT).text
    -> sum by (agent) (max_over_time(llm_cost_usd_total{agent=~"$agent",team=~"$team"}[$__range]) - min_over_time(…))
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from grafana.house.matchers import Choice, Matcher, Matches, matcher
from grafana.house.recorded import Recorded

from fleetwatch.catalogue import exporter
from fleetwatch.catalogue.metric import Label, Metric

Gauge = Metric | Recorded
Counter = Metric | Recorded
By = Label | Sequence[Label]
"""The labels that a result keeps."""

RATE = "$__rate_interval"
RANGE = "$__range"
STEP = "$__interval"
EXACT = "max_over_time({0}) - min_over_time({0})"
"""Growth of series that never go back."""

# Series of Prometheus, Alertmanager and Grafana's own making: name -> labels. The catalogue does not own these.
OUTSIDE: dict[str, frozenset[str]] = {
    name: frozenset(labels)
    for name, labels in {
        "up": ("job", "instance"),
        "scrape_duration_seconds": ("job", "instance"),
        "scrape_samples_scraped": ("job", "instance"),
        "ALERTS": ("alertname", "alertstate", "severity", "domain", "agent", "pipeline", "phase", "slot"),
        "prometheus_notifications_errors_total": ("alertmanager",),
        "prometheus_rule_evaluation_failures_total": ("rule_group",),
        "alertmanager_notifications_total": ("integration",),
        "alertmanager_notifications_failed_total": ("integration",),
    }.items()
}


@dataclass(frozen=True)
class Expr:
    """A PromQL expression.

    by: the labels that its series carry. unscoped: variables of the board that its metrics cannot be narrowed by.
    name: what the legend says besides the labels. infix: must be put in brackets before it is combined.
    """

    text: str
    by: tuple[str, ...] = ()
    unscoped: frozenset[str] = frozenset()
    name: str = ""
    infix: bool = False

    def __truediv__(self, other: Expr | float) -> Expr:
        return _infix(self, "/", other)

    def __mul__(self, other: Expr | float) -> Expr:
        return _infix(self, "*", other)

    def __add__(self, other: Expr | float) -> Expr:
        return _infix(self, "+", other)

    def __sub__(self, other: Expr | float) -> Expr:
        return _infix(self, "-", other)

    def __rsub__(self, other: float) -> Expr:
        return _infix(Expr(f"{other:g}"), "-", self)

    def __gt__(self, other: float) -> Expr:
        return _infix(self, ">", other)

    def __lt__(self, other: float) -> Expr:
        return _infix(self, "<", other)

    def where(self, other: Expr) -> Expr:
        """Only the series that the other has too, by all of the other's labels."""
        matched = f"and on ({', '.join(other.by)})"
        return replace(_infix(self, matched, other), by=self.by)

    def without(self, other: Expr) -> Expr:
        """Only the series that the other has not, by all of the other's labels."""
        return replace(_infix(self, f"unless on ({', '.join(other.by)})", other), by=self.by)

    def scaled(self, other: Expr) -> Expr:
        """Times the one value that the other has for its labels."""
        matched = f"* on ({', '.join(other.by)}) group_left ()"
        return replace(_infix(self, matched, other), by=self.by)

    def before(self, days: int) -> Expr:
        """As it stood so many days before. For a single selector, aggregated or not."""
        return self._selected(f"offset {days}d")

    def _selected(self, modifier: str) -> Expr:
        """With a modifier behind its only selector."""
        text, selectors = re.subn(r"([\w:]+(?:\{[^}]*\})?)(?=\)*$)", rf"\1 {modifier}", self.text)
        if selectors != 1 or self.infix:
            raise ValueError(f"{self.text}: expected one selector")
        return replace(self, text=text)

    def otherwise(self, other: Expr | float) -> Expr:
        """The other's series where this one has none; a number stands for one series without labels."""
        return _infix(self, "or", Expr(f"vector({other:g})") if isinstance(other, (int, float)) else other)

    def over(self, other: Expr) -> Expr:
        """Each series over the one value that the other has for its labels."""
        matched = f"/ on ({', '.join(other.by)}) group_left ()"
        return replace(_infix(self, matched, other), by=self.by)

    def plus(self, other: Expr) -> Expr:
        """Each series and the one value that the other has for its labels."""
        matched = f"+ on ({', '.join(other.by)}) group_left ()"
        return replace(_infix(self, matched, other), by=self.by)

    def since(self, other: Expr) -> Expr:
        """Each series less the one value that the other has for its labels."""
        matched = f"- on ({', '.join(other.by)}) group_left ()"
        return replace(_infix(self, matched, other), by=self.by)

    def same_as(self, other: Expr) -> Expr:
        """Only the series whose value the other has too, at the same time."""
        return _infix(self, "==", other)

    def labelled(self, info: Expr, *names: str) -> Expr:
        """With labels more, of an info series (always 1) that shares the others."""
        shared = [label for label in info.by if label not in names]
        matched = f"* on ({', '.join(shared)}) group_left ({', '.join(names)})"
        return replace(_infix(self, matched, info), by=(*self.by, *names))

    def at_end(self) -> Expr:
        """As it stands at the end of the time range, at every time of it. For a single selector."""
        return self._selected("@ end()")

    def at_least(self, least: float) -> Expr:
        return replace(self, text=f"clamp_min({self.text}, {least:g})", infix=False)

    def rounded(self) -> Expr:
        """As a whole number."""
        return replace(self, text=f"round({self.text})", infix=False)

    def size(self) -> Expr:
        """Without its sign."""
        return replace(self, text=f"abs({self.text})", infix=False)

    def share_of(self, whole: Expr) -> Expr:
        """The part as a ratio: 0 where there is a whole and no part, nothing where the whole is 0."""
        return self.otherwise(whole * 0) / (whole > 0)

    def named(self, name: str) -> Expr:
        return replace(self, name=name)

    @property
    def legend(self) -> str:
        """Grafana's legend: the name, then the labels."""
        return " · ".join(filter(None, [self.name, *(f"{{{{{label}}}}}" for label in self.by)])) or "all"


def _infix(left: Expr, operator: str, right: Expr | float) -> Expr:
    if not isinstance(right, Expr):
        right = Expr(f"{right:g}")
    text = f"{_bracketed(left)} {operator} {_bracketed(right)}"
    return Expr(text, left.by or right.by, left.unscoped | right.unscoped, left.name, infix=True)


def _bracketed(expr: Expr) -> str:
    return f"({expr.text})" if expr.infix else expr.text


def top(count: int, expr: Expr) -> Expr:
    """The largest series, largest first. For instant queries: over time, topk picks anew at each step."""
    return replace(expr, text=f"sort_desc(topk({count}, {expr.text}))", infix=False)


def first(expr: Expr, *, by: By) -> Expr:
    """The series with the largest value of each group. For instant queries, like `top`."""
    return replace(expr, text=f"{_grouped('topk', _names(by))}(1, {expr.text})", infix=False)


def joined(expr: Expr, name: str, whole: str, part: str, separator: str = " / ") -> Expr:
    """The largest value by one label, made of two: WHOLE, or WHOLE / PART where there is a part."""
    both = f'label_join({expr.text}, "{name}", "{separator}", "{whole}", "{part}")'
    text = f'max by ({name}) (label_replace({both}, "{name}", "$1", "{name}", "(.*){separator}"))'
    return replace(expr, text=text, by=(name,), infix=False)


def total(expr: Expr, *, by: By = (), how: Literal["sum", "min", "max", "count"] = "sum") -> Expr:
    """Aggregated over all labels but `by`."""
    names = _names(by)
    if unknown := set(names) - set(expr.by):
        raise ValueError(f"{expr.text}: has no label {', '.join(sorted(unknown))}")
    return replace(expr, text=f"{_grouped(how, names)}({expr.text})", by=names, infix=False)


Part = Literal["sum", "count"]


class Scope:
    """A board's variables, and the expressions that they narrow. one: each variable has exactly one value."""

    def __init__(self, *labels: Label, one: bool = False) -> None:
        self.labels = labels
        self.one = one

    def increase(
        self,
        metric: Counter,
        *,
        by: By = (),
        window: str = RANGE,
        part: Part | None = None,
        **match: Matcher,
    ) -> Expr:
        """Growth of a counter, or of a histogram's sum or count, over the window; by default the screen's range.

        Over the screen's range a durable metric is shown as an exact difference: its series are born at zero and never
        go back. `increase` would guess what lies between the first sample and the edge, some percent of a short range.
        """
        form = EXACT if metric.durable and window == RANGE else "increase({})"
        return self._grown(form, metric, by, window, part=part, match=match)

    def grown(self, metric: Metric, recorded: Recorded, *, by: By = ()) -> Expr:
        """Growth of a durable counter over the screen's range, without reading all that lies between its ends.

        A series that was not there at the beginning has grown from nothing where its exporter was. Where neither was
        there, what is recorded of it must do.
        """
        _expect(metric, "counter")
        names = _names(by)
        _check_labels(metric, names)
        selector, unscoped = self._selector(metric, "", {})
        before = f"offset {RANGE}"
        new = f"{selector} and on (job, instance) {exporter.BUILD_INFO.prometheus} {before}"
        text = f"{_grouped('sum', names)}({selector} - {selector} {before} or {new})"
        return Expr(text, names, unscoped).otherwise(self.increase(recorded, by=by))

    def rate(
        self,
        metric: Metric,
        *,
        by: By = (),
        window: str = RATE,
        part: Part | None = None,
        **match: Matcher,
    ) -> Expr:
        """Growth per second of a counter, or of a histogram's sum or count."""
        return self._grown("rate({})", metric, by, window, part=part, match=match)

    def counted(self, metric: Counter, *, by: By = (), **match: Matcher) -> Expr:
        """Growth of a durable counter from step to step of a chart: no step counts what another one has.

        A window of `increase` is wider than a step, so that the same run would stand in several bars. The difference of
        two readings is exact; only where there is one reading does `increase` guess. Of buckets: with label le.
        """
        _expect(metric, "counter")
        if not metric.durable:
            raise ValueError(f"{metric.name}: is not durable: its steps can go back")
        names = _with_le(metric, by)
        selector, unscoped = self._selector(metric, "", match)
        return Expr(f"{_grouped('sum', names)}({_stepped(selector, metric)})", names, unscoped)

    def quantile(self, q: float, metric: Counter, *, by: By = (), window: str = RATE, **match: Matcher) -> Expr:
        """Quantile of a histogram, interpolated inside its buckets, in the metric's unit."""
        names = _names(by)
        inner = self.buckets(metric, by=by, window=window, **match)
        return replace(inner, text=f"histogram_quantile({q:g}, {inner.text})", by=names, name=f"p{q * 100:g}")

    def buckets(self, metric: Counter, *, by: By = (), window: str = RATE, **match: Matcher) -> Expr:
        """Growth per second of a histogram's buckets, with label le."""
        is_recorded = isinstance(metric, Recorded) and metric.buckets
        _expect(metric, "counter" if is_recorded else "histogram")
        names = (*_names(by), "le")
        _check_labels(metric, names[:-1])
        selector, unscoped = self._selector(metric, "" if is_recorded else "_bucket", match)
        return Expr(f"{_grouped('sum', names)}(rate({selector}[{window}]))", names, unscoped)

    def last(
        self,
        metric: Gauge,
        *,
        by: By = (),
        how: Literal["max", "min", "sum", "count"] = "max",
        **match: Matcher,
    ) -> Expr:
        """A gauge as it stands. `max` by default: two exporters that watch the same thing are not added up."""
        _expect(metric, "gauge")
        names = _names(by)
        _check_labels(metric, names)
        selector, unscoped = self._selector(metric, "", match)
        return Expr(f"{_grouped(how, names)}({selector})", names, unscoped)

    def slope(self, metric: Gauge, *, by: By = (), window: str = RANGE, **match: Matcher) -> Expr:
        """Change per second of a gauge: the straight line through the window; by default the screen's range."""
        _expect(metric, "gauge")
        names = _names(by)
        _check_labels(metric, names)
        selector, unscoped = self._selector(metric, "", match)
        return Expr(f"{_grouped('max', names)}(deriv({selector}[{window}]))", names, unscoped)

    def age(self, metric: Gauge, *, by: By = ()) -> Expr:
        """Seconds since the Unix time that a gauge holds."""
        return Expr("time()") - self.last(metric, by=by)

    def _grown(
        self, form: str, metric: Counter, by: By, window: str, *, part: Part | None, match: dict[str, Matcher]
    ) -> Expr:
        _expect(metric, "histogram" if part else "counter")
        names = _names(by)
        _check_labels(metric, names)
        selector, unscoped = self._selector(metric, f"_{part}" if part else "", match)
        inner = form.format(f"{selector}[{window}]")
        return Expr(f"{_grouped('sum', names)}({inner})", names, unscoped)

    def _selector(self, metric: Gauge, suffix: str, match: dict[str, Matcher]) -> tuple[str, frozenset[str]]:
        _check_labels(metric, match)
        matchers: dict[str, Matcher] = {}
        for label in self.labels:
            if label in metric.labels:
                matchers[label.name] = Choice(label.name) if self.one else Matches(f"${label.name}")
        matchers |= match
        known = {label.name: label for label in metric.labels}
        inner = ",".join(matcher(known[name], value) for name, value in sorted(matchers.items()))
        unscoped = frozenset(label.name for label in self.labels if label not in metric.labels)
        return f"{metric.prometheus}{suffix}{{{inner}}}" if inner else metric.prometheus + suffix, unscoped


def outside(name: str, *, by: Sequence[str] = (), function: str = "", how: str = "sum", **match: str) -> Expr:
    """A series that the catalogue does not own, of the short list OUTSIDE. function: for example `increase`."""
    if name not in OUTSIDE:
        raise ValueError(f"{name}: expected a catalogue metric or one of {', '.join(sorted(OUTSIDE))}")
    if unknown := {*by, *match} - OUTSIDE[name]:
        raise ValueError(f"{name}: has no label {', '.join(sorted(unknown))}")
    matchers = ",".join(f'{key}="{value}"' for key, value in sorted(match.items()))
    selector = f"{name}{{{matchers}}}" if matchers else name
    if function:
        selector = f"{function}({selector}[{RANGE if function == 'increase' else RATE}])"
    return Expr(f"{_grouped(how, by)}({selector})", tuple(by))


def _stepped(selector: str, metric: Counter) -> str:
    new = metric.born_at_zero if isinstance(metric, Recorded) else ""
    whole = f" or {selector} {new}" if new else ""
    return f"{selector} - {selector} offset {STEP}{whole} or increase({selector}[{RATE}])"


def _with_le(metric: Counter, by: By) -> tuple[str, ...]:
    names = _names(by)
    _check_labels(metric, names)
    return (*names, "le") if isinstance(metric, Recorded) and metric.buckets else names


def _names(by: By) -> tuple[str, ...]:
    return tuple(label.name for label in ((by,) if isinstance(by, Label) else by))


def _grouped(how: str, names: Sequence[str]) -> str:
    return f"{how} by ({', '.join(names)}) " if names else how


def _expect(metric: Gauge, kind: str) -> None:
    if metric.kind != kind:
        raise TypeError(f"{metric.name}: is a {metric.kind}; this expression needs a {kind}")


def _check_labels(metric: Gauge, names: object) -> None:
    asked = set(names) if isinstance(names, (tuple, dict)) else set()
    if unknown := asked - set(metric.label_names):
        has = ", ".join(metric.label_names) or "none"
        raise ValueError(f"{metric.name}: has no label {', '.join(sorted(unknown))}; it has {has}")
