"""Data points of OTLP metrics that can be summed: which there are, and what they count."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Final

from opentelemetry.proto.metrics.v1.metrics_pb2 import (
    AggregationTemporality,
    ExponentialHistogramDataPoint,
    HistogramDataPoint,
    Metric,
    NumberDataPoint,
)

from fleetwatch.dialects.parts.dialect import EARLIEST, MAX_LEAD, Batch

MAX_POINT: Final = 10**12
"""Tokens of one point: 30,000 a second for a year. A cumulative point holds its process's whole life."""

Point = HistogramDataPoint | ExponentialHistogramDataPoint | NumberDataPoint
NO_VALUE: Final = 1
"""OTLP data point flag: the stream has no value at this time."""


def points_of(metric: Metric, batch: Batch) -> Iterator[tuple[Point, bool]]:
    """(point, cumulative) of a histogram or sum; those without a temporality cannot be summed and are rejected."""
    kind = metric.WhichOneof("data")
    if kind is None:
        return
    data = getattr(metric, kind)
    if kind not in {"histogram", "exponential_histogram", "sum"} or (
        data.aggregation_temporality
        not in {
            AggregationTemporality.AGGREGATION_TEMPORALITY_DELTA,
            AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE,
        }
    ):
        batch.reject("bad_point", len(data.data_points))
        return
    cumulative = data.aggregation_temporality == AggregationTemporality.AGGREGATION_TEMPORALITY_CUMULATIVE
    for point in data.data_points:
        yield point, cumulative


def value_of(point: Point, batch: Batch) -> tuple[int, int] | None:
    """(sum, observations) of a point, the latter 0 for a plain number; None for a point without value or refused.

    Refused are a time that cannot be, and what is no count: no sum, not whole, negative, NaN or absurd.
    """
    return _checked(point, _counted(point), batch)


def observations_of(point: Point, batch: Batch) -> int | None:
    """How often something was observed: the number itself, or the count of a histogram, whatever it measures."""
    value: tuple[int, int] | None
    value = _counted(point) if isinstance(point, NumberDataPoint) else (min(point.count, MAX_POINT + 1), 0)
    found = _checked(point, value if value is None or value[0] <= MAX_POINT else None, batch)
    return found[0] if found is not None else None


def _checked(point: Point, value: tuple[int, int] | None, batch: Batch) -> tuple[int, int] | None:
    if point.flags & NO_VALUE:
        return None
    start, at = point.start_time_unix_nano, point.time_unix_nano
    batch.newest = max(batch.newest, at)
    # A start of 0 means unknown.
    if not EARLIEST <= at <= batch.now + MAX_LEAD or start > at:
        batch.reject("bad_time")
        return None
    if value is None:
        batch.reject("bad_point")
    return value


def _counted(point: Point) -> tuple[int, int] | None:
    if isinstance(point, NumberDataPoint):
        number = point.as_double if point.WhichOneof("value") == "as_double" else point.as_int
        count = 0
    else:
        if not point.HasField("sum") and point.count:
            return None
        number, count = point.sum, point.count
    if not math.isfinite(number) or number != int(number) or not 0 <= number <= MAX_POINT or count > MAX_POINT:
        return None
    return int(number), count
