"""The store as OTLP: the SDK's MetricsData, sent by the official exporter."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import Any

from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.sdk.metrics import export as sdk
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.util.instrumentation import InstrumentationScope

from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.meter.store import Meter, Series, shown, shown_histogram

log = logging.getLogger(__name__)

_CUMULATIVE = sdk.AggregationTemporality.CUMULATIVE


def metrics_data(meter: Meter, resource: Resource, now: int, version: str) -> sdk.MetricsData:
    """All series as cumulative OTLP data. now: Unix nanoseconds of the points."""
    metrics = []
    for metric, series, gauges in meter.snapshot():
        data: sdk.Sum | sdk.Gauge | sdk.Histogram
        if metric.kind == "histogram":
            data = sdk.Histogram([_histogram_point(item, now) for item in series], _CUMULATIVE)
        elif metric.kind == "counter":
            points = [_counter_point(item, now) for item in series]
            points += [_gauge_point(metric, sample, now) for sample in gauges]
            data = sdk.Sum(points, _CUMULATIVE, is_monotonic=True)
        else:
            data = sdk.Gauge([_gauge_point(metric, sample, now) for sample in gauges])
        metrics.append(sdk.Metric(metric.name, metric.help, metric.unit, data))
    scope = sdk.ScopeMetrics(InstrumentationScope("fleetwatch", version), metrics, "")
    return sdk.MetricsData([sdk.ResourceMetrics(resource, [scope], "")])


def _attributes(metric: Metric, labels: tuple[str, ...]) -> dict[str, str]:
    return dict(zip(metric.label_names, labels, strict=True))


def _counter_point(series: Series, now: int) -> sdk.NumberDataPoint:
    value, scale = shown(series), series.metric.scale
    start = int(series.born * 1e9)
    return sdk.NumberDataPoint(
        _attributes(series.metric, series.labels), start, now, value if scale == 1 else value / scale
    )


def _gauge_point(metric: Metric, sample: Sample, now: int) -> sdk.NumberDataPoint:
    return sdk.NumberDataPoint(_attributes(metric, sample.labels), 0, now, sample.value)


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


class Pusher:
    """Sends `make()` every `interval` seconds through the official exporter, in a thread of its own."""

    def __init__(
        self, make: Callable[[], sdk.MetricsData], endpoint: str, interval: float, headers: Mapping[str, str]
    ) -> None:
        self._make = make
        self._interval = interval
        self._exporter = OTLPMetricExporter(endpoint=endpoint, headers=dict(headers))
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="otlp-export", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """End after the export in progress; a sink that hangs is not waited for."""
        self._stopped.set()
        self._thread.join(timeout=0.5)

    def _run(self) -> None:
        while not self._stopped.wait(self._interval):
            try:
                result = self._exporter.export(self._make())
            except Exception:
                log.exception("OTLP export failed")
            else:
                if result is not sdk.MetricExportResult.SUCCESS:
                    log.warning("OTLP export was not accepted; the next one carries the same totals")
