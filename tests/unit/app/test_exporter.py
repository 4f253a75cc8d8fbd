"""The whole exporter in one process: data in, metrics out, a clean start and end."""

from __future__ import annotations

import asyncio
import gzip
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.app import exporter as exporter_module
from fleetwatch.app.exporter import Exporter
from fleetwatch.ledger.query import Reader
from fleetwatch.settings import SettingsError
from support import wait_for
from support_app import RunningExporter, settings
from support_otlp import span, traces_of
from support_receive import in_loop

CHAT = {
    "gen_ai.operation.name": "chat",
    "gen_ai.provider.name": "openai",
    "gen_ai.request.model": "gpt-4o",
    "gen_ai.response.model": "gpt-4o",
    "gen_ai.usage.input_tokens": 100,
    "gen_ai.usage.output_tokens": 10,
}


def chats(count: int, first: int = 1) -> Any:
    now = time.time_ns()
    return traces_of(
        span(
            CHAT,
            trace_id=b"t" * 16,
            span_id=number.to_bytes(8, "big"),
            start_time_unix_nano=now - 10**9,
            end_time_unix_nano=now,
        )
        for number in range(first, first + count)
    )


def refusal(folder: Path, **sections: Any) -> str:
    """Why an exporter with these settings does not start."""

    async def start() -> None:
        exporter = Exporter(settings(folder, **sections))
        await exporter.start()
        await exporter.stop()

    with pytest.raises(SettingsError) as told:
        in_loop(start())
    assert "\n" not in str(told.value)
    return str(told.value)


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """The exporter's regular work at the pace of tests."""
    for name in ("TICK", "CHECKPOINT", "PRUNE", "BUDGETS"):
        monkeypatch.setattr(exporter_module, name, 0.05)


@pytest.mark.usefixtures("quick")
def test_a_call_that_was_sent_is_shown_and_kept(tmp_path: Path) -> None:
    with RunningExporter(tmp_path, budgets=[{"name": "all", "limit_usd": 1}]) as exporter:
        assert exporter.post("/v1/traces", chats(3)).status_code == 200
        assert exporter.post("/v1/traces", chats(3)).status_code == 200
        expected = 'llm_cost_usd_total{agent="triage",team="support",provider="openai",model="gpt-4o",confidence="'
        wait_for(lambda: f'{expected}priced"}} 0.00105\n' in exporter.get("/metrics").text, what="the cost of three")
        text = exporter.get("/metrics").text
        assert 'llm_duplicate_calls_total{reason="resent"} 3' in text
        wait_for(lambda: 'llm_budget_spent_usd{budget="all"} 0.00105' in exporter.get("/metrics").text, what="a budget")
        assert "fleetwatch_collector_success" in text
    with Reader(tmp_path / "data" / "ledger.db") as reader:
        assert reader.verify() == []


def test_only_a_prometheus_ends_a_series_time_at_zero(tmp_path: Path) -> None:
    with RunningExporter(tmp_path) as exporter:
        meter = exporter.exporter._books.meter
        exporter.get("/metrics")
        assert meter._scrapes == 0
        exporter.get("/metrics", **{"x-prometheus-scrape-timeout-seconds": "5"})
        assert meter._scrapes == 1


def test_a_stop_in_the_middle_of_requests_ends_soon_and_keeps_what_was_acknowledged(tmp_path: Path) -> None:
    acknowledged: list[int] = []
    with RunningExporter(tmp_path) as exporter:

        def send(sender: int) -> None:
            for number in range(1000):
                first = 1 + sender * 100_000 + number * 10
                try:
                    status = exporter.post("/v1/traces", chats(10, first)).status_code
                except httpx.HTTPError:  # the receiver has gone
                    return
                if status != 200:
                    assert status == 503
                    return
                acknowledged.append(first)

        with ThreadPoolExecutor(4) as senders:
            for sender in range(4):
                senders.submit(send, sender)
            wait_for(lambda: len(acknowledged) > 20, what="some acknowledged requests")
            started = time.monotonic()
            in_loop(exporter.exporter.stop())
            assert time.monotonic() - started < 2
    with Reader(tmp_path / "data" / "ledger.db") as reader:
        keys = reader._db.execute("SELECT substr(span, 17) FROM llm_calls").fetchall()
        kept = {int.from_bytes(key, "big") for (key,) in keys}
        assert {first + place for first in acknowledged for place in range(10)} <= kept
        assert reader.verify() == []


@pytest.mark.parametrize("name", ["web", "http", "grpc"])
def test_a_port_in_use_is_named_and_everything_else_is_released(tmp_path: Path, name: str) -> None:
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        taken = {"listen": f"127.0.0.1:{other.getsockname()[1]}"}
        sections = {"web": taken} if name == "web" else {"receive": {name: taken}}
        setting = "web.listen" if name == "web" else f"receive.{name}.listen"
        assert f"{setting}: {taken['listen']} is in use by" in refusal(tmp_path, **sections)
    with RunningExporter(tmp_path) as exporter:  # the ledger is free again
        assert exporter.get("/readyz").status_code == 200


def test_settings_that_only_the_exporter_can_judge_are_one_line_too(tmp_path: Path) -> None:
    pem = tmp_path / "file.pem"
    pem.write_text("no certificate")
    missing = tmp_path / "missing"
    headers = tmp_path / "headers"
    headers.write_text("authorization\n")
    both = {"tls_cert_file": pem, "tls_key_file": pem}
    assert "collect.moon: expected one of " in refusal(tmp_path, collect={"moon": {}})
    assert "labels.limits.agnet: expected one of " in refusal(tmp_path, labels={"limits": {"agnet": 5}})
    thresholds = [{"alert": "PhaseSlow", "threshold": 2}]
    assert "alert: expected one of PhaseFailed, " in refusal(tmp_path, pipelines={"thresholds": thresholds})
    assert "expected both or none" in refusal(tmp_path, receive={"tls_cert_file": pem})
    assert "receive.tls_key_file" in refusal(tmp_path, receive={**both, "tls_key_file": missing})
    assert "no pair of PEM files" in refusal(tmp_path, receive=both)
    assert "receive.token_file" in refusal(tmp_path, receive={"token_file": missing})
    assert "export.otlp.headers_file" in refusal(tmp_path, export={"otlp": {"headers_file": missing}})
    assert "one `name: value` a line" in refusal(tmp_path, export={"otlp": {"headers_file": headers}})
    assert "export.otlp.endpoint: expected an address" in refusal(tmp_path, export={"otlp": {"endpoint": "ftp://x"}})
    assert "receive.http.listen: cannot listen" in refusal(tmp_path, receive={"http": {"listen": "192.0.2.1:0"}})


def test_metrics_go_out_as_otlp_too(tmp_path: Path) -> None:
    bodies: list[bytes] = []
    seen: list[str] = []

    class Sink(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            seen.append(self.headers.get("x-tenant", ""))
            body = self.rfile.read(int(self.headers["content-length"]))
            bodies.append(gzip.decompress(body) if self.headers["content-encoding"] == "gzip" else body)
            self.send_response(200)
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Sink)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    headers = tmp_path / "headers"
    headers.write_text("x-tenant: one\n\n")
    endpoint = f"http://127.0.0.1:{server.server_address[1]}/v1/metrics"
    with RunningExporter(
        tmp_path, export={"otlp": {"endpoint": endpoint, "interval": 0.05, "headers_file": headers}}
    ) as exporter:
        exporter.post("/v1/traces", chats(1))
        wait_for(lambda: any(b"llm.requests" in body for body in bodies), what="the call in an export")
    server.shutdown()
    server.server_close()
    request = ExportMetricsServiceRequest.FromString(bodies[-1])
    resource = {item.key: item.value.string_value for item in request.resource_metrics[0].resource.attributes}
    assert (resource["service.name"], set(seen)) == ("fleetwatch", {"one"})


@pytest.mark.usefixtures("quick")
def test_work_that_fails_is_tried_again(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with RunningExporter(tmp_path) as exporter:
        failed: list[int] = []

        def fail() -> None:
            failed.append(1)
            raise ValueError("odd")

        in_loop(_add_task(exporter.exporter, fail))
        wait_for(lambda: len(failed) > 1, what="a second attempt")
    assert "it will be tried again" in caplog.text


async def _add_task(exporter: Exporter, work: Callable[[], None]) -> None:
    exporter._tasks.append(asyncio.create_task(exporter_module._every(0.05, work)))
