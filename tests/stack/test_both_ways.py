"""/metrics and the OTLP export are the same metrics: names, labels and values, behind the real translators."""

from __future__ import annotations

import time
import urllib.request
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import pytest
import yaml
from prometheus_client.parser import text_string_to_metric_families

from fleetwatch.catalogue import all_metrics, exporter, llm
from fleetwatch.catalogue.metric import NANO, Sample
from fleetwatch.meter import Meter
from fleetwatch.meter.otlp import export_request
from fleetwatch.meter.text import exposition
from fleetwatch.send.client import Answer, Client
from support import free_port, wait_for
from support_collector import Gateway
from support_house import House
from support_otlp import span, traces_of
from support_prometheus import Prometheus, Series, prometheus_program, running_prometheus
from support_sdk import chat, send
from support_stack import post

pytestmark = pytest.mark.stack

# What the translators add. Our own labels and names are compared; these only say where something came from.
OF_TRANSLATORS = ("job", "instance", "exported_job", "exported_instance")
SCOPE = "otel_scope_"
# What hosts, agents and clouds show depends on who is there; the last test shows all of the catalogue.
EXPECTED = {metric.prometheus for domain, metric in all_metrics() if domain in {"exporter", "llm"}} - {
    llm.BUDGET_EXHAUSTION.prometheus,  # absent when the day ends before the budget
    exporter.UNKNOWN_VERSIONS.prometheus,  # nobody sends what is newer than we are
    # No cloud is asked here.
    exporter.COLLECTOR_DENIED.prometheus,
    exporter.API_REQUESTS.prometheus,
    exporter.API_ITEMS.prometheus,
    exporter.API_COST.prometheus,
}
# Values of these move with the clock or with the process; each way shows another moment of them.
STEADY = {metric.prometheus for domain, metric in all_metrics() if domain == "llm"} - {
    llm.BUDGET_FORECAST.prometheus,
    llm.BUDGET_EXHAUSTION.prometheus,
}
SUFFIXES = ("_bucket", "_sum", "_count")


@contextmanager
def translating_collector(folder: Path) -> Iterator[tuple[str, str]]:
    """A Collector from OTLP to the Prometheus format: HOST:PORT of its receiver and of its /metrics."""
    page = f"127.0.0.1:{free_port()}"
    config = {
        "receivers": {"otlp": {"protocols": {"http": {"endpoint": "${env:FLEETWATCH_COLLECTOR_HTTP}"}}}},
        "exporters": {"prometheus": {"endpoint": page}},
        "extensions": {"health_check": {"endpoint": "${env:FLEETWATCH_COLLECTOR_HEALTH}"}},
        "service": {
            "extensions": ["health_check"],
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {"metrics": {"receivers": ["otlp"], "exporters": ["prometheus"]}},
        },
    }
    file = folder / "translate.yaml"
    file.write_text(yaml.safe_dump(config), encoding="utf-8")
    collector = Gateway(folder, "unused", file)
    with collector.up():
        yield collector.http, page


@contextmanager
def pushing_house(folder: Path, endpoint: str) -> Iterator[House]:
    """An exporter that pushes every second, and has met everything that makes a series."""
    settings = {
        "export": {"otlp": {"endpoint": endpoint, "interval": 1}},
        "budgets": [{"name": "support", "limit_usd": 1, "period": "day", "team": "support"}],
        "labels": {"limits": {"agent": 2}},
    }
    calls = [
        chat("triage", {"gen_ai.usage.cache_read.input_tokens": 300, "gen_ai.request.temperature": 0.7}),
        chat("search", {"gen_ai.request.stream": True, "gen_ai.response.time_to_first_chunk": 0.000_001}),
        chat("one agent too many", {"error.type": "timeout"}),
        chat("triage", {"gen_ai.request.model": "acme-7b", "gen_ai.response.model": "acme-7b"}),
        chat("search", {"gen_ai.usage.output_tokens": 123_457}),
    ]
    now = time.time_ns()
    long = traces_of([span(chat(), start_time_unix_nano=now - 12_345_678_901, end_time_unix_nano=now)])
    with House(folder, settings) as house:
        assert send(calls, house.http)
        for _ in range(2):  # the second time it is a duplicate
            assert post(f"http://{house.http}/v1/traces", long.SerializeToString()) == 200
        yield house


@pytest.mark.parametrize("generation", ["2.42", "3."])
def test_the_collector_gives_the_pushed_metrics_the_names_of_the_page(tmp_path: Path, generation: str) -> None:
    program = prometheus_program(generation)
    with (
        translating_collector(tmp_path) as (endpoint, page),
        pushing_house(tmp_path / "exporter", f"http://{endpoint}/v1/metrics") as house,
        running_prometheus(program, tmp_path / "prometheus", {"page": house.web, "pushed": page}) as prometheus,
    ):
        _compare(prometheus)


def test_prometheus_gives_the_pushed_metrics_the_names_of_the_page(tmp_path: Path) -> None:
    port = free_port()
    program = prometheus_program("3.")
    flags = ["--web.enable-otlp-receiver"]
    with (
        pushing_house(tmp_path / "exporter", f"http://127.0.0.1:{port}/api/v1/otlp/v1/metrics") as house,
        running_prometheus(program, tmp_path / "prometheus", {"page": house.web}, flags=flags, port=port) as prometheus,
    ):
        _compare(prometheus, pushed="fleetwatch")


def _compare(prometheus: Prometheus, page: str = "page", pushed: str = "pushed") -> None:
    # Everything has been counted, and been shown both ways, once the last births are over.
    counted = 'sum(llm_requests_total{job="JOB"}) == 6 and sum(llm_duplicate_calls_total{job="JOB"}) == 1'
    for job in (page, pushed):
        wait_for(partial(prometheus.value, counted.replace("JOB", job)), 30, f"all calls by way of {job}")
    # What the exporter collects appears a cycle later by one way than by the other.
    wait_for(lambda: _same(prometheus, page, pushed), 20, "the same metrics by both ways")
    missing = EXPECTED - {_family(name) for name in _shown(prometheus, pushed)}
    assert not missing


def _same(prometheus: Prometheus, page: str, pushed: str) -> bool:
    """True, or an AssertionError that says what differs."""
    ours = _shown(prometheus, page)
    theirs = _shown(prometheus, pushed)
    assert sorted(theirs) == sorted(ours)
    for name, series in ours.items():
        assert set(theirs[name]) == set(series), name
        if _family(name) in STEADY:
            assert theirs[name] == series, name
    return True


def _family(name: str) -> str:
    histograms = {metric.prometheus for _, metric in all_metrics() if metric.kind == "histogram"}
    plain = next((name.removesuffix(suffix) for suffix in SUFFIXES if name.endswith(suffix)), name)
    return plain if plain in histograms else name


def _number(bound: str) -> str:
    """A bucket's bound, however written: Prometheus 3 itself writes 1.0 where it scrapes and 1 where it receives OTLP,
    so no query may select buckets by text.
    """
    return repr(float(bound))


def _shown(prometheus: Prometheus, job: str) -> dict[str, dict[Series, float]]:
    """Series of the catalogue's metrics as one way brought them: name -> labels -> value."""
    known = {metric.prometheus for _, metric in all_metrics()}
    found: dict[str, dict[Series, float]] = {}
    for labels, value in prometheus.query(f'{{job="{job}"}}').items():
        name = dict(labels)["__name__"]
        if name.startswith(("target_info", "otel_scope_info", "scrape_", "up")):
            continue
        assert _family(name) in known, f"{name} by way of {job} is in no catalogue"
        ours = frozenset(
            (key, _number(text) if key == "le" else text)
            for key, text in labels
            if key != "__name__" and key not in OF_TRANSLATORS and not key.startswith(SCOPE)
        )
        found.setdefault(name, {})[ours] = value
    return found


def test_a_restart_is_no_reset_where_start_times_are_believed(tmp_path: Path) -> None:
    """Prometheus can write a zero where a series says that it began: a total that lived on must not begin again."""
    port = free_port()
    settings = {"export": {"otlp": {"endpoint": f"http://127.0.0.1:{port}/api/v1/otlp/v1/metrics", "interval": 1}}}
    flags = ["--web.enable-otlp-receiver", "--enable-feature=created-timestamp-zero-ingestion"]
    program = prometheus_program("3.")
    with (
        House(tmp_path / "exporter", settings) as house,
        running_prometheus(program, tmp_path / "prometheus", {}, flags=flags, port=port) as prometheus,
    ):
        assert send((chat() for _ in range(100)), house.http)
        wait_for(lambda: prometheus.value("llm_requests_total") == 100, 20, "all calls")
        house.kill9()
        killed = time.time()
        house.start()
        again = "count_over_time(llm_requests_total[1h]) and timestamp(llm_requests_total) > "
        wait_for(lambda: prometheus.value(f"{again}{killed + 2}"), 20, "samples after the restart")
        assert prometheus.value("resets(llm_requests_total[1h])") == 0
        assert prometheus.value("llm_requests_total") == 100


def test_the_whole_catalogue_has_the_names_of_the_page_behind_the_collector(tmp_path: Path) -> None:
    meter = Meter()
    for _, metric in all_metrics():
        labels = tuple(label.one_of[-1] if label.one_of else "some" for label in metric.labels)
        if metric.kind == "histogram":
            meter.observe(metric, labels, NANO)
        elif metric.kind == "counter":
            meter.add(metric, labels, 3)
        else:
            meter.replace(metric.name, [Sample(metric, labels, 1.5)])
    resource = {"service.name": "fleetwatch", "service.instance.id": "one"}
    with translating_collector(tmp_path) as (endpoint, page):
        client = Client(f"http://{endpoint}")
        answer = client.post("metrics", export_request(meter, resource, time.time_ns(), "1"))
        client.close()
        assert answer == Answer("accepted")

        def shown() -> str:
            with urllib.request.urlopen(f"http://{page}/metrics") as response:
                return str(response.read().decode())

        text = wait_for(shown, what="the Collector's page")
    assert _samples(text) == _samples(exposition(meter, openmetrics=False))


def _samples(text: str) -> dict[tuple[str, Series], float]:
    """Samples of a page without what translators add. An empty label is none to Prometheus."""
    return {
        (sample.name, _plain(sample.labels)): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if not sample.name.startswith(("target_info", "otel_scope_info"))
    }


def _plain(labels: Mapping[str, str]) -> Series:
    return frozenset(
        (key, _number(value) if key == "le" else value)
        for key, value in labels.items()
        if value and key not in OF_TRANSLATORS and not key.startswith(SCOPE)
    )
