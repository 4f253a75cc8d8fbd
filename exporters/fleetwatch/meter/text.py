"""Prometheus text format 0.0.4 and OpenMetrics 1.0, from the store.

prometheus_client is the oracle of this module in its tests. The encoder is ours because the library builds objects per
sample and takes about forty times as long (`scripts/bench scrape`); the choice of the format, because to load the
library takes about 80 ms and 12 MB, half of what a sidecar may take to start.
"""

from __future__ import annotations

import gzip
import math

from fleetwatch.catalogue.metric import Metric
from fleetwatch.meter.store import Meter, Reported, Series, shown, shown_histogram

# Level 1 takes a quarter of the time of the default level for one and a half times the size.
GZIP_LEVEL = 1

TEXT = "text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = "application/openmetrics-text; version=1.0.0; charset=utf-8"


def render(meter: Meter, accept: str = "", accept_encoding: str = "") -> tuple[bytes, dict[str, str]]:
    """Body and headers for a scrape with these Accept and Accept-Encoding headers."""
    openmetrics = wants_openmetrics(accept)
    body = exposition(meter, openmetrics=openmetrics).encode("utf-8", "replace")
    content_type = OPENMETRICS if openmetrics else TEXT
    headers = {"content-type": content_type, "vary": "accept, accept-encoding"}
    if "gzip" in accept_encoding:
        body = gzip.compress(body, GZIP_LEVEL)
        headers["content-encoding"] = "gzip"
    return body, headers


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header asks for OpenMetrics 1 at least as much as for text; without any wish it is text.

    Quality values as in RFC 9110, 12.5.1. Versions below 1.0 (`0.0.1`, `0.0.4`) differ from what this module writes.
    """
    openmetrics = text = 0.0
    for part in accept.lower().split(","):
        kind, *parameters = (word.strip() for word in part.split(";"))
        given = dict(item.split("=", 1) for item in parameters if "=" in item)
        if kind == "application/openmetrics-text":
            if not given.get("version", "1").startswith("0"):
                openmetrics = max(openmetrics, _quality(given.get("q", "1")))
        elif kind == "text/plain":
            text = max(text, _quality(given.get("q", "1")))
    return openmetrics > 0 and openmetrics >= text


def _quality(text: str) -> float:
    """A q value; one that is none counts as not wanted."""
    try:
        quality = float(text)
    except ValueError:
        return 0.0
    return quality if 0 <= quality <= 1 else 0.0


def exposition(meter: Meter, *, openmetrics: bool) -> str:
    """The whole text of a scrape."""
    lines: list[str] = []
    for metric, series, reported in meter.snapshot():
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
        lines += [f"{item.line or _line(item)} {_number(item.value)}" for item in reported]
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


def _line(series: Series | Reported) -> str:
    series.line = series.metric.prometheus + _braces(series.metric, series.labels)
    return series.line


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
    """value/scale in decimal digits; exactly where the scale is a power of ten, else the nearest double."""
    if scale == 1:
        return str(value)
    whole, rest = divmod(value, scale)
    if not rest:
        return str(whole)
    if 10 ** (len(str(scale)) - 1) != scale:
        return repr(value / scale)
    return f"{whole}.{str(rest).zfill(len(str(scale)) - 1).rstrip('0')}"


def _number(value: float) -> str:
    # Only infinities and NaN differ from themselves here; asking once is cheaper than asking for each.
    if value - value != 0:
        if value != value:  # noqa: PLR0124 - this is what NaN is
            return "NaN"
        return "+Inf" if value > 0 else "-Inf"
    return repr(value)
