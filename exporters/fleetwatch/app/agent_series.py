"""Counts of the ledger as series of the meter."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from fleetwatch.catalogue import exporter
from fleetwatch.ledger.counts import Change
from fleetwatch.meter import Meter


def count(meter: Meter, changes: Iterable[Change], overflows: Mapping[tuple[str, str], int]) -> None:
    """Add what came to each series. overflows: updates past a label's bound, by (Prometheus name, label)."""
    for metric, labels, amount, buckets in changes:
        if buckets is None:
            meter.add(metric, labels, amount)
        else:
            meter.merge(metric, labels, buckets, amount)
    for labels, updates in overflows.items():
        meter.add(exporter.LABEL_OVERFLOW, labels, updates)
