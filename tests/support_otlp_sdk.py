"""The meter in the SDK's own objects: the oracle of our OTLP encoder, and its peer in the benchmark."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.common.metrics_encoder import encode_metrics
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from fleetwatch.catalogue.metric import Metric
from fleetwatch.meter import Meter, Series
from fleetwatch.meter.store import Reported, shown, shown_histogram

_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


def sdk_request(meter: Meter, resource: Mapping[str, str], now: int, version: str) -> ExportMetricsServiceRequest:
    """All series by way of the SDK's MetricsData and the official exporter's encoder. now: Unix nanoseconds."""
    metrics = []
    for metric, series, reported in meter.snapshot():
        data: sdk.Sum | sdk.Gauge | sdk.Histogram
        if metric.kind == "histogram":
            data = sdk.Histogram([_histogram_point(item, now) for item in series], _CUMULATIVE)
        elif metric.kind == "counter":
            points = [_counter_point(item, now) for item in series] + [_reported_point(item, now) for item in reported]
            data = sdk.Sum(points, _CUMULATIVE, is_monotonic=True)
        else:
            data = sdk.Gauge([_reported_point(item, now) for item in reported])
        metrics.append(sdk.Metric(metric.name, metric.help, metric.unit, data))
    scope = sdk.ScopeMetrics(InstrumentationScope("fleetwatch", version), metrics, "")
    return encode_metrics(sdk.MetricsData([sdk.ResourceMetrics(Resource(dict(resource)), [scope], "")]))


def _attributes(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    # protobuf takes no lone surrogates.
    return {
        name: value.encode("utf-8", "replace").decode() for name, value in zip(metric.label_names, labels, strict=True)
    }


def _counter_point(series: Series, now: int) -> sdk.NumberDataPoint:
    value, scale = shown(series), series.metric.scale
    start = int(series.born * 1e9)
    return sdk.NumberDataPoint(
        _attributes(series.metric, series.labels), start, now, value if scale == 1 else value / scale
    )


def _reported_point(item: Reported, now: int) -> sdk.NumberDataPoint:
    return sdk.NumberDataPoint(_attributes(item.metric, item.labels), 0, now, item.value)


def _histogram_point(series: Series, now: int) -> sdk.HistogramDataPoint:
    histogram = shown_histogram(series)
    # The store keeps no extremes: None leaves the optional fields off the wire, though the annotation wants a float.
    extremes: Any = {"min": None, "max": None}
    return sdk.HistogramDataPoint(
        attributes=_attributes(series.metric, series.labels),
        start_time_unix_nano=int(series.born * 1e9),
        time_unix_nano=now,
        count=sum(histogram.counts),
        sum=histogram.total / series.metric.scale,
        bucket_counts=list(histogram.counts),
        explicit_bounds=list(series.metric.buckets),
        **extremes,
    )
