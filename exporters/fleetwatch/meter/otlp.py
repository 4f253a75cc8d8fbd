"""The store as an OTLP request, cumulative, written without the SDK and protobuf's library.

Both are the oracles of this encoder in its tests. It is ours because a sidecar has no room for them, and because they
build several objects per series (`scripts/bench export`). Field numbers: opentelemetry-proto,
`collector/metrics/v1/metrics_service.proto`, `metrics/v1/metrics.proto`.

All numbers of a point have a fixed size on the wire. So what stands before time and value, its length included, is the
same in every request, and is kept with the series.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Iterator, Mapping
from functools import lru_cache

from fleetwatch.catalogue.metric import Metric
from fleetwatch.meter.store import Meter, Reported, Series, shown, shown_histogram
from fleetwatch.wire import field, text, varint

_SCOPE = "fleetwatch"
_GAUGE, _SUM, _HISTOGRAM = 5, 7, 9
_CUMULATIVE = b"\x10\x02"  # field 2: AGGREGATION_TEMPORALITY_CUMULATIVE
_MONOTONIC = b"\x18\x01"  # field 3 of a Sum

# Fields of fixed size, as tag and value: start (2), time (3); as_double (4) or as_int (6) of a number.
_START, _TIME, _DOUBLE, _INT = 2 << 3 | 1, 3 << 3 | 1, 4 << 3 | 1, 6 << 3 | 1
_pack_double = struct.Struct("<BQBd").pack
_pack_int = struct.Struct("<BQBq").pack
_NUMBER_SIZE = 18
_INT64 = range(-(1 << 63), 1 << 63)


def export_request(meter: Meter, resource: Mapping[str, str], now_ns: int, version: str) -> bytes:
    """A serialized ExportMetricsServiceRequest of all series. now_ns: Unix nanoseconds of the points."""
    metrics = b"".join(_metrics(meter, now_ns))
    scope = field(1, text(1, _SCOPE) + text(2, version))
    attributes = field(1, _attributes(1, resource.items()))
    return field(1, attributes + field(2, scope + metrics))


def _metrics(meter: Meter, now: int) -> Iterator[bytes]:
    for metric, series, reported in meter.snapshot():
        parts: list[bytes] = []
        if metric.kind == "histogram":
            _histogram_points(metric, series, now, parts)
            kind = _HISTOGRAM
        elif metric.kind == "counter":
            _counter_points(metric.scale, series, now, parts)
            _reported_points(reported, now, parts)
            kind = _SUM
        else:
            _reported_points(reported, now, parts)
            kind = _GAUGE
        if kind != _GAUGE:
            parts.append(_CUMULATIVE)
        if kind == _SUM:
            parts.append(_MONOTONIC)
        names = text(1, metric.name) + text(2, metric.help) + text(3, metric.unit)
        yield field(2, names + field(kind, b"".join(parts)))


def _counter_points(scale: int, series: Iterable[Series], now: int, parts: list[bytes]) -> None:
    for item in series:
        head = item.point or _number_head(item, item.born)
        value = shown(item)
        if scale == 1 and value in _INT64:
            parts += (head, _pack_int(_TIME, now, _INT, value))
        else:
            parts += (head, _pack_double(_TIME, now, _DOUBLE, value / scale))


def _reported_points(reported: Iterable[Reported], now: int, parts: list[bytes]) -> None:
    for item in reported:
        # When a source's counter began, nobody said: no start.
        head = item.point or _number_head(item, 0.0)
        value = item.value
        if type(value) is float or value not in _INT64:
            parts += (head, _pack_double(_TIME, now, _DOUBLE, value))
        else:
            parts += (head, _pack_int(_TIME, now, _INT, int(value)))


def _histogram_points(metric: Metric, series: Iterable[Series], now: int, parts: list[bytes]) -> None:
    numbers = _histogram_numbers(len(metric.buckets) + 1)
    for item in series:
        histogram = shown_histogram(item)
        counts = histogram.counts
        total = histogram.total / metric.scale
        tail = numbers.pack(*counts, _TIME, now, 4 << 3 | 1, sum(counts), 5 << 3 | 1, total)
        parts += (item.point or _histogram_head(item, numbers.size), tail)


@lru_cache
def _histogram_numbers(buckets: int) -> struct.Struct:
    """What follows a histogram's head: counts per bucket (6, packed), time (3), count (4), sum (5)."""
    return struct.Struct(f"<{buckets}QBQBQBd")


def _number_head(item: Series | Reported, born: float) -> bytes:
    content = _attributes(7, zip(item.metric.label_names, item.labels, strict=True)) + _start(born)
    item.point = _head(content, _NUMBER_SIZE)
    return item.point


def _histogram_head(item: Series, following: int) -> bytes:
    buckets = item.metric.buckets
    content = _attributes(9, zip(item.metric.label_names, item.labels, strict=True)) + _start(item.born)
    content += field(7, struct.pack(f"<{len(buckets)}d", *buckets))
    # The tag and size of the counts; they themselves come first in what follows.
    content += varint(6 << 3 | 2) + varint(8 * (len(buckets) + 1))
    item.point = _head(content, following)
    return item.point


def _head(content: bytes, following: int) -> bytes:
    """A data point (field 1 of all kinds) up to the part that changes, which is `following` bytes long."""
    return b"\x0a" + varint(len(content) + following) + content


def _start(born: float) -> bytes:
    """Start of a series, Unix seconds; nothing where it is not known."""
    return struct.pack("<BQ", _START, int(born * 1e9)) if born else b""


def _attributes(number: int, pairs: Iterable[tuple[str, str]]) -> bytes:
    """Texts as repeated KeyValue fields."""
    return b"".join([_attribute(number, name, value) for name, value in pairs])


@lru_cache(2048)  # most labels have few values
def _attribute(number: int, name: str, value: str) -> bytes:
    return field(number, text(1, name) + field(2, text(1, value)))
