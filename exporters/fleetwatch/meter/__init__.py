"""The series store and its ways out: Prometheus text, OpenMetrics, OTLP."""

from __future__ import annotations

from fleetwatch.meter.store import Histogram, Meter, Series

__all__ = ["Histogram", "Meter", "Series"]
