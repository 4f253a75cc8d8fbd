"""Counters that are kept here: a new series is shown as 0 first, lest `increase()` miss its first event."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from fleetwatch.catalogue.metric import Metric, Sample

BIRTH_CYCLES = 4
"""For so long a new series is shown as 0: a minute, which is two slow scrapes."""


class Counted:
    """Shows counts, each from 0 on."""

    def __init__(self) -> None:
        self._ages: dict[tuple[Metric, tuple[str, ...]], int] = {}

    def samples(self, metric: Metric, counts: Mapping[tuple[str, ...], int]) -> Iterator[Sample]:
        """counts: labels in the metric's order -> what was counted so far."""
        for labels, value in counts.items():
            age = self._ages.get((metric, labels), 0)
            if age < BIRTH_CYCLES:
                self._ages[metric, labels] = age + 1
            yield Sample(metric, labels, value if age >= BIRTH_CYCLES else 0)
