"""The exposition means to Prometheus' own client library what the store holds."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as PrometheusFamily
from prometheus_client.exposition import choose_encoder
from prometheus_client.openmetrics.parser import text_string_to_metric_families as _parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from fleetwatch.catalogue import all_metrics
from fleetwatch.catalogue.metric import NANO, Sample, counter, gauge, label
from fleetwatch.meter import Meter
from fleetwatch.meter.text import OPENMETRICS, TEXT, exposition, render, wants_openmetrics

parse_openmetrics: Callable[[str], Iterator[PrometheusFamily]] = _parse_openmetrics

NAME = label("name", "A name.", at_most=100_000)
COUNT = counter("test.count.usd", unit="{USD}", help='Odd help: \\ " and\nmore.', labels=(NAME,), scale=NANO)
LEVEL = gauge("test.level", unit="1", help="Level.", labels=(NAME,))

HOSTILE = [
    '"',
    "\\",
    "\n",
    "\r",
    "a\x00b",
    "\x1b[31m",
    "<script>",
    "<!channel>",
    "🙂",
    "\u2028",
    '\\"\n',
    " ",
    "",
    "\ud800",
]


@pytest.mark.parametrize("openmetrics", [False, True])
@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_label_value_harms_no_other_series(name: str, openmetrics: bool) -> None:
    meter = Meter()
    meter.add(COUNT, ("good",), 1)
    meter.add(COUNT, (name,), 2)
    text = exposition(meter, openmetrics=openmetrics).encode("utf-8", "replace").decode()
    parse = parse_openmetrics if openmetrics else parse_text
    samples = {sample.labels["name"]: sample.value for family in parse(text) for sample in family.samples}
    assert samples["good"] == 1e-9
    assert samples[name.encode("utf-8", "replace").decode()] == 2e-9


@given(
    name=st.text(),
    value=st.integers(min_value=0, max_value=10**24),
    level=st.floats(allow_nan=False),
)
def test_text_and_openmetrics_read_back_as_what_was_put_in(name: str, value: int, level: float) -> None:
    meter = Meter()
    meter.add(COUNT, (name,), value)
    meter.replace("s", [Sample(LEVEL, (name,), level)])
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        text = exposition(meter, openmetrics=openmetrics).encode("utf-8", "replace").decode()
        samples = {sample.name: sample for family in parse(text) for sample in family.samples}
        assert samples["test_count_usd_total"].value == pytest.approx(value / NANO, rel=1e-15)
        assert samples["test_level_ratio"].value == level
        assert samples["test_count_usd_total"].labels["name"] == name.encode("utf-8", "replace").decode()


@given(value=st.integers(min_value=0, max_value=10**24))
def test_hours_that_are_kept_in_nanoseconds_are_hours(value: int) -> None:
    hours = counter("test.hours", unit="{hour}", help="Hours.", scale=3600 * NANO)
    meter = Meter()
    meter.add(hours, (), value)
    for openmetrics, parse in ((False, parse_text), (True, parse_openmetrics)):
        (sample,) = [
            sample for family in parse(exposition(meter, openmetrics=openmetrics)) for sample in family.samples
        ]
        assert sample.value == value / (3600 * NANO)


def test_the_whole_catalogue_is_valid_in_both_formats() -> None:
    meter = Meter()
    for _, metric in all_metrics():
        labels = tuple(label.one_of[0] if label.one_of else "x" for label in metric.labels)
        if metric.kind == "histogram":
            meter.observe(metric, labels, NANO)
        elif metric.kind == "counter":
            meter.add(metric, labels, 1)
        else:
            meter.replace(metric.name, [Sample(metric, labels, 1.0)])
    families = list(parse_openmetrics(exposition(meter, openmetrics=True)))
    assert len(families) == len(list(all_metrics()))
    assert {family.name for family in parse_text(exposition(meter, openmetrics=False))} == {
        family.name for family in families
    }


def test_the_scraper_chooses_format_and_compression() -> None:
    meter = Meter()
    meter.add(COUNT, ("a",), 1)
    plain, headers = render(meter)
    assert headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"# EOF" not in plain
    body, headers = render(meter, "application/openmetrics-text;version=1.0.0,text/plain;q=0.5", "deflate, gzip")
    assert headers["content-type"].startswith("application/openmetrics-text; version=1.0.0")
    assert headers["content-encoding"] == "gzip"
    assert gzip.decompress(body).endswith(b"# EOF\n")


# Prometheus 2.42, 3.x with and without protobuf and created timestamps; vmagent; the Collector; a browser; curl.
SCRAPERS = [
    "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,text/plain;version=0.0.4;q=0.5,*/*;q=0.1",
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,"
    "text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.7,"
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,text/plain;version=0.0.4;q=0.3,*/*;q=0.2",
    "text/plain;version=0.0.4;q=1,*/*;q=0.1",
    "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
    "*/*",
    "",
    " application/openmetrics-text ; version=1.0.0 ",
    "application/openmetrics-text",
    "application/openmetrics-text; version=0.0.1",
]


@pytest.mark.parametrize("accept", SCRAPERS)
def test_the_choice_is_that_of_the_client_library(accept: str) -> None:
    assert wants_openmetrics(accept) == ("openmetrics" in choose_encoder(accept)[1])
    assert render(Meter(), accept)[1]["content-type"] == (OPENMETRICS if wants_openmetrics(accept) else TEXT)


@pytest.mark.parametrize(
    ("accept", "openmetrics"),
    [
        ("application/openmetrics-text;q=0", False),
        ("application/openmetrics-text;version=1.0.0;q=0.3,text/plain;q=0.5", False),
        ("text/plain;q=0.5,APPLICATION/OpenMetrics-Text; Version=1.0.0; Q=0.5", True),
        ("application/openmetrics-text;q=much", False),
        ("application/openmetrics-text;q=nan", False),
        ("application/openmetrics-text;version=;q", True),
    ],
)
def test_quality_values_decide_which_the_library_does_not_read(accept: str, openmetrics: bool) -> None:
    assert wants_openmetrics(accept) == openmetrics


@given(st.text(alphabet="aptex/=;,. q01version-openmetrics"))
def test_no_accept_header_is_too_odd(accept: str) -> None:
    assert wants_openmetrics(accept) in {True, False}
