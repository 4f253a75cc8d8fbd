"""What people, probes and Prometheus see of the exporter."""

from __future__ import annotations

import http.client
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from support_app import RunningExporter


@pytest.fixture(scope="module")
def exporter(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningExporter]:
    with RunningExporter(tmp_path_factory.mktemp("web")) as running:
        yield running


def test_the_landing_page_says_how_to_send_and_runs_nothing(exporter: RunningExporter) -> None:
    page = exporter.get("/")
    assert page.status_code == 200
    assert exporter.exporter.addresses()["otlp-http"] in page.text
    assert '<a href="/runbooks/ExporterDown">' in page.text
    assert page.headers["content-security-policy"].startswith("default-src 'none'")
    assert page.headers["x-content-type-options"] == "nosniff"


def test_a_runbook_is_plain_text(exporter: RunningExporter) -> None:
    page = exporter.get("/runbooks/ExporterDown")
    assert (page.status_code, page.headers["content-type"]) == (200, "text/plain; charset=utf-8")
    assert "Mitigation" in page.text


@pytest.mark.parametrize(
    "name", ["Nothing", "..%2f..%2fpyproject", "%2e%2e%2f%2e%2e%2fpyproject.toml", "ExporterDown%00", "a" * 3000]
)
def test_an_unknown_runbook_is_not_found_wherever_it_points(exporter: RunningExporter, name: str) -> None:
    assert exporter.get(f"/runbooks/{name}").status_code == 404


def test_alive_and_ready_are_told_apart(exporter: RunningExporter) -> None:
    assert exporter.get("/healthz").text == "ok\n"
    assert exporter.get("/readyz").text == "ready\n"


def test_who_cannot_take_data_is_alive_but_not_ready_and_says_why(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "ledger.db").write_bytes(b"no database" * 1000)
    with RunningExporter(tmp_path) as broken:
        assert broken.get("/healthz").status_code == 200
        ready = broken.get("/readyz")
        assert (ready.status_code, "damaged" in ready.text) == (503, True)
        assert "damaged" in broken.get("/").text
        assert 'fleetwatch_ledger_errors_total{reason="damaged"} 1' in broken.get("/metrics").text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("HEAD", "/metrics", 200), ("HEAD", "/", 200), ("POST", "/metrics", 405), ("GET", "/nothing", 404)],
)
def test_odd_requests_get_a_proper_answer(exporter: RunningExporter, method: str, path: str, status: int) -> None:
    connection = http.client.HTTPConnection(urlsplit(exporter.web).netloc, timeout=10)
    connection.request(method, path)
    answer = connection.getresponse()
    body = answer.read()
    assert answer.status == status
    assert method != "HEAD" or body == b""
    connection.close()


def test_metrics_come_in_the_format_that_is_asked_for(exporter: RunningExporter) -> None:
    plain = exporter.get("/metrics")
    assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert plain.headers["content-encoding"] == "gzip"
    assert 'fleetwatch_build_info{version="' in plain.text
    newer = exporter.get("/metrics", accept="application/openmetrics-text;version=1.0.0")
    assert newer.text.endswith("# EOF\n")
