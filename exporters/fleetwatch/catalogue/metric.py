"""What a metric is: one frozen record with its name, kind, unit, help and labels.

Names are OpenTelemetry names and units are UCUM codes. The Prometheus name is computed by the rules of the
OpenTelemetry specification, "Prometheus and OpenMetrics Compatibility", as the Collector and Prometheus apply them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from types import ModuleType
from typing import Literal, NamedTuple

Kind = Literal["counter", "gauge", "histogram"]

OTHER = "_other"
"""The value that stands for all values of a label past its bound."""

NANO = 10**9
"""Scale of values that are kept as an integer count of billionths (nano-USD, nanoseconds)."""

# UCUM unit -> the word that Prometheus names carry. Units in braces are annotations and carry none.
_UNIT_WORDS = {"s": "seconds", "By": "bytes", "Cel": "celsius", "W": "watts", "J": "joules", "Hz": "hertz"}
_PLAIN_UNIT = re.compile(r"\{[^}]*\}")


@dataclass(frozen=True)
class Label:
    """A label and its bound: either a closed list of values (`one_of`) or a number of them (`at_most`)."""

    name: str
    help: str
    at_most: int
    one_of: tuple[str, ...] = ()
    implied: bool = False
    """Sources leave it out; the meter fills in its own value for it (the name of this machine)."""


class Sample(NamedTuple):
    """One value of one series. `labels` are in the order of the metric's labels."""

    metric: Metric
    labels: tuple[str, ...]
    value: float


@dataclass(frozen=True, eq=False)
class Metric:
    """A metric as users see it, everywhere: exporter, reference, boards, rules and alerts.

    durable: the ledger keeps it over restarts, so its series never go back; boards then show exact differences.
    scale: values are kept as integer counts of 1/scale units, so that sums stay exact; 1 means the unit itself.
    A histogram's scale is that of its sum.
    """

    name: str
    kind: Kind
    unit: str
    help: str
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()
    scale: int = 1
    durable: bool = False

    def __call__(self, value: float, **labels: str) -> Sample:
        """A sample in the metric's unit. Raises TypeError for an unknown or missing label."""
        names = self.label_names
        given = labels if self.implied is None else {names[self.implied]: "", **labels}
        if len(given) != len(names) or any(name not in given for name in names):
            got, want = ", ".join(sorted(labels)) or "none", ", ".join(names) or "none"
            raise TypeError(f"{self.name}: expected labels {want}; got {got}")
        return Sample(self, tuple(given[name] for name in names), value)

    @cached_property
    def implied(self) -> int | None:
        """Place of the label that the meter fills in."""
        return next((place for place, label in enumerate(self.labels) if label.implied), None)

    @cached_property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)

    @cached_property
    def prometheus(self) -> str:
        """The family's Prometheus name, with unit and `_total`; a histogram's without `_bucket`, `_sum`, `_count`."""
        words = [word for word in re.split(r"[^a-zA-Z0-9]+", self.name) if word]
        unit = _unit_word(self.unit, self.kind)
        if unit and unit not in words:
            words.append(unit)
        if self.kind == "counter":
            words = [word for word in words if word != "total"] + ["total"]
        return "_".join(words)


def _unit_word(unit: str, kind: Kind) -> str:
    plain = _PLAIN_UNIT.sub("", unit)
    if plain == "1":
        return "ratio" if kind == "gauge" else ""
    if plain and plain not in _UNIT_WORDS:
        raise ValueError(f"unit {unit!r} has no Prometheus word: use one of {', '.join(_UNIT_WORDS)}, 1 or {{…}}")
    return _UNIT_WORDS.get(plain, "")


def label(
    name: str, help: str, *, at_most: int | None = None, one_of: tuple[str, ...] = (), implied: bool = False
) -> Label:
    """A label with its bound; give exactly one of `at_most` and `one_of`."""
    if (at_most is None) != bool(one_of):
        raise ValueError(f"label {name}: give at_most or one_of")
    return Label(name, help, len(one_of) if at_most is None else at_most, one_of, implied)


def counter(
    name: str, *, unit: str, help: str, labels: tuple[Label, ...] = (), scale: int = 1, durable: bool = False
) -> Metric:
    """A monotonic sum; kept in integer counts of 1/scale units."""
    return Metric(name, "counter", unit, help, labels, scale=scale, durable=durable)


def gauge(name: str, *, unit: str, help: str, labels: tuple[Label, ...] = ()) -> Metric:
    """A value that goes up and down."""
    return Metric(name, "gauge", unit, help, labels)


def histogram(
    name: str,
    *,
    unit: str,
    help: str,
    buckets: tuple[float, ...],
    labels: tuple[Label, ...] = (),
    durable: bool = False,
) -> Metric:
    """A distribution over explicit upper bounds, in `unit`, ascending, without +Inf. Its sum is kept in billionths."""
    if list(buckets) != sorted(set(buckets)) or not buckets:
        raise ValueError(f"{name}: buckets must ascend")
    return Metric(name, "histogram", unit, help, labels, buckets, NANO, durable)


def metrics_of(module: ModuleType) -> Iterator[Metric]:
    """The metrics that a catalogue module names, in the order of the file."""
    yield from (value for value in vars(module).values() if isinstance(value, Metric))
