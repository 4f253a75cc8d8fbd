"""The exposition means to Prometheus' own client library what the store holds."""

from __future__ import annotations

import gzip
from collections.abc import Callable, Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import Metric as PrometheusFamily
from prometheus_client.openmetrics.parser import text_string_to_metric_families as _parse_openmetrics
from prometheus_client.parser import text_string_to_metric_families as parse_text

from fleetwatch.catalogue import all_metrics
from fleetwatch.catalogue.metric import NANO, Sample, counter, gauge, label
from fleetwatch.meter import Meter
from fleetwatch.meter.text import exposition, render

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
