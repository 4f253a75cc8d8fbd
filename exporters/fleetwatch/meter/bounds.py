"""How many values a label may have: the first ones are let in, all others become `_other`."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field

from fleetwatch.catalogue.metric import OTHER, Label, Metric


@dataclass(slots=True)
class _Bound:
    """Values of one label that were let in; a closed list lets in nothing else.

    elsewhere: values that are let in and need no room here.
    """

    limit: int
    admitted: set[str] = field(default_factory=set)
    closed: bool = False
    elsewhere: Container[str] = ()


class Bounds:
    """Bounds of labels, shared by all metrics that have them.

    limits: label name -> number of values, where it differs from the catalogue.
    beside: other bounds; what these have let in is let in here, too.
    """

    def __init__(self, limits: Mapping[str, int], beside: Bounds | None = None) -> None:
        self._limits = limits
        self._beside = beside
        self._labels: dict[Label, _Bound] = {}
        # A label's hash is that of all its texts: it is taken once per metric, not per update.
        self._metrics: dict[Metric, list[_Bound]] = {}

    def apply(self, metric: Metric, labels: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
        """The labels with values past a bound replaced, and the names of those labels."""
        bounds = self._metrics.get(metric)
        if bounds is None:
            bounds = self._metrics[metric] = [self._bound(label) for label in metric.labels]
        over = []
        for place, (bound, value) in enumerate(zip(bounds, labels, strict=True)):
            if value in bound.admitted or value in bound.elsewhere:
                continue
            if not bound.closed and len(bound.admitted) < bound.limit:
                bound.admitted.add(value)
            elif value != OTHER:
                over.append(place)
        if not over:
            return labels, ()
        replaced = tuple(OTHER if place in over else value for place, value in enumerate(labels))
        return replaced, tuple(metric.label_names[place] for place in over)

    def keep(self, label: Label, values: Container[str]) -> None:
        """Let in anew whatever is not among these values."""
        bound = self._labels.get(label)
        if bound is not None and not bound.closed:
            bound.admitted.difference_update([value for value in bound.admitted if value not in values])

    def _bound(self, label: Label) -> _Bound:
        bound = self._labels.get(label)
        if bound is None:
            if label.one_of:
                bound = _Bound(len(label.one_of), set(label.one_of), closed=True)
            else:
                bound = _Bound(self._limits.get(label.name, label.at_most), elsewhere=self._elsewhere(label))
            self._labels[label] = bound
        return bound

    def _elsewhere(self, label: Label) -> Container[str]:
        known = None if self._beside is None else self._beside._labels.get(label)
        return () if known is None else known.admitted
