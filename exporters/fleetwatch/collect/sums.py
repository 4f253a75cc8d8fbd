"""Sums that stay exact past the bounds of labels.

The meter keeps one of several series that a bound has made equal; here they are added up before, as `_other`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence

from fleetwatch.catalogue.metric import OTHER, Label, Metric, Sample


class Sums:
    """Of one source. Values of labels that were shown before stay; of new ones the largest are shown first.

    limits: label -> number of values, where it differs from the catalogue.
    """

    def __init__(self, limits: Mapping[str, int]) -> None:
        self._limits = limits
        self._shown: dict[Label, set[str]] = {}

    def of(self, samples: Iterable[Sample]) -> list[Sample]:
        """One sample for each series; for gauges that may be added up."""
        given = list(samples)
        self.admit(given)
        found: dict[tuple[Metric, tuple[str, ...]], float] = {}
        for sample in given:
            key = (sample.metric, self.labels(sample))
            found[key] = found.get(key, 0) + sample.value
        return [Sample(metric, labels, value) for (metric, labels), value in found.items()]

    def admit(self, samples: Sequence[Sample]) -> None:
        """Choose the values that are shown."""
        sizes: dict[Label, Counter[str]] = {}
        for sample in samples:
            for label, value in zip(sample.metric.labels, sample.labels, strict=True):
                sizes.setdefault(label, Counter())[value] += abs(sample.value)  # type: ignore[assignment]  # may be a float
        self._shown = {label: self._chosen(label, values) for label, values in sizes.items()}

    def labels(self, sample: Sample) -> tuple[str, ...]:
        """Those of the sample, as they are shown."""
        pairs = zip(sample.metric.labels, sample.labels, strict=True)
        return tuple(value if value in self._shown[label] else OTHER for label, value in pairs)

    def _chosen(self, label: Label, values: Mapping[str, float]) -> set[str]:
        if label.one_of:
            return set(label.one_of)
        room = self._limits.get(label.name, label.at_most)
        if len(values) <= room:
            return set(values)
        before = self._shown.get(label, set())
        ordered = sorted(values, key=lambda value: (value not in before, -values[value], value))
        # One place is kept for OTHER itself.
        return set(ordered[: max(0, room - 1)])
