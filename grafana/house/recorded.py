"""Series that rules of prometheus/rules make of others."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from fleetwatch.catalogue.metric import Label


@dataclass(frozen=True, eq=False)
class Recorded:
    """What a rule of prometheus/rules records, with the labels that the rule keeps. A counter: a total of counters."""

    prometheus: str
    labels: tuple[Label, ...] = ()
    kind: Literal["gauge", "counter"] = "gauge"
    durable: bool = True
    """Of a counter: never goes back."""
    buckets: bool = False
    """Of a counter: the buckets of a histogram, with label le besides."""
    born_at_zero: str = ""
    """Of a counter: condition under which a series that was not there a step ago has grown from nothing since. A total
    is recorded seldom, and may have missed the zero that a new series begins with.
    """

    @property
    def name(self) -> str:
        return self.prometheus

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(label.name for label in self.labels)
