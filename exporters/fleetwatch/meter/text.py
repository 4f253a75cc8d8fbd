"""Prometheus text format 0.0.4 and OpenMetrics 1.0, from the store.

prometheus_client negotiates the format and is the oracle of this encoder in its tests. The encoder is ours because the
library builds objects per sample and takes about forty times as long (`scripts/bench scrape`).
"""

from __future__ import annotations

import gzip
import math

from prometheus_client.exposition import choose_encoder

from fleetwatch.catalogue.metric import Metric, Sample
from fleetwatch.meter.store import Meter, Series, shown, shown_histogram

# Level 1 takes a quarter of the time of the default level for one and a half times the size.
GZIP_LEVEL = 1


def render(meter: Meter, accept: str = "", accept_encoding: str = "") -> tuple[bytes, dict[str, str]]:
    """Body and headers for a scrape with these Accept and Accept-Encoding headers."""
    _, content_type = choose_encoder(accept)
    body = exposition(meter, openmetrics="openmetrics" in content_type).encode("utf-8", "replace")
    if "openmetrics" in content_type:
        # The library may choose a newer version whose additions (quoted names) this encoder never needs.
        content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8"
    else:
        content_type = "text/plain; version=0.0.4; charset=utf-8"
    headers = {"content-type": content_type, "vary": "accept, accept-encoding"}
    if "gzip" in accept_encoding:
        body = gzip.compress(body, GZIP_LEVEL)
        headers["content-encoding"] = "gzip"
    return body, headers


def exposition(meter: Meter, *, openmetrics: bool) -> str:
    """The whole text of a scrape."""
    lines: list[str] = []
    for metric, series, gauges in meter.snapshot():
        lines += _head(metric, openmetrics)
        if metric.kind == "histogram":
            for item in series:
                lines += _histogram_lines(item)
        elif metric.kind == "counter":
            scale = metric.scale
            for item in series:
                value = shown(item)
                lines.append(f"{item.line or _line(item)} {value if scale == 1 else _scaled(value, scale)}")
        # Gauges, and counters that a source reads elsewhere as they stand.
        lines += [_gauge_line(sample) for sample in gauges]
    if openmetrics:
        lines.append("# EOF")
    lines.append("")
    return "\n".join(lines)


def _head(metric: Metric, openmetrics: bool) -> list[str]:
    name = metric.prometheus
    if openmetrics and metric.kind == "counter":
        name = name.removesuffix("_total")
    help_text = metric.help.replace("\\", "\\\\").replace("\n", "\\n")
    if openmetrics:
        help_text = help_text.replace('"', '\\"')
    return [f"# HELP {name} {help_text}", f"# TYPE {name} {metric.kind}"]


def _line(series: Series) -> str:
    series.line = series.metric.prometheus + _braces(series.metric, series.labels)
    return series.line


def _gauge_line(sample: Sample) -> str:
    return f"{sample.metric.prometheus}{_braces(sample.metric, sample.labels)} {_number(sample.value)}"


def _histogram_lines(series: Series) -> list[str]:
    histogram = shown_histogram(series)
    name, labels = series.metric.prometheus, series.line
    if not labels:
        # Everything inside the braces but `le`; a comma in front keeps the bucket lines regular.
        labels = series.line = _braces(series.metric, series.labels) or "{}"
    inner = labels[1:-1] + "," if labels != "{}" else ""
    lines = []
    running = 0
    for bound, count in zip((*series.metric.buckets, math.inf), histogram.counts, strict=True):
        running += count
        lines.append(f'{name}_bucket{{{inner}le="{_number(float(bound))}"}} {running}')
    outer = labels if labels != "{}" else ""
    lines.append(f"{name}_count{outer} {running}")
    lines.append(f"{name}_sum{outer} {_scaled(histogram.total, series.metric.scale)}")
    return lines


def _braces(metric: Metric, labels: tuple[str, ...]) -> str:
    if not labels:
        return ""
    pairs = (f'{name}="{_escape(value)}"' for name, value in zip(metric.label_names, labels, strict=True))
    return "{" + ",".join(pairs) + "}"


def _escape(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\n", "\\n").replace('"', '\\"')


def _scaled(value: int, scale: int) -> str:
    """value/scale in decimal digits, exactly; scale is a power of ten."""
    if scale == 1:
        return str(value)
    whole, rest = divmod(value, scale)
    if not rest:
        return str(whole)
    return f"{whole}.{str(rest).zfill(len(str(scale)) - 1).rstrip('0')}"


def _number(value: float) -> str:
    if value == math.inf:
        return "+Inf"
    if value == -math.inf:
        return "-Inf"
    if math.isnan(value):
        return "NaN"
    return repr(value)
