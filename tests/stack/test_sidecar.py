"""The sidecar between a real OpenTelemetry application and a real sink that goes away and comes back.

FLEETWATCH_TEST_OUTAGE: seconds for which the sink is down, 120 without it.
"""

from __future__ import annotations

import os
import re
import shutil
import threading
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor
from opentelemetry.trace import SpanKind

from support import wait_for
from support_collector import Gateway
from support_house import House
from support_receive import PROTOBUF, traces
from support_sdk import chat, post_calls, send
from support_sidecar import Sidecar, hanging_sink, running_sink
from support_stack import get

OUTAGE = float(os.environ.get("FLEETWATCH_TEST_OUTAGE", "120"))
RATE = 50
HEAVY = {"pydantic", "genai_prices", "google", "grpc", "opentelemetry", "starlette", "prometheus_client", "psutil"}
HEAVY |= {"boto3", "requests"}


class Application:
    """Makes calls at a steady pace, each a span and a count, until stop()."""

    def __init__(self, to: str) -> None:
        self.sent = 0
        self._stopped = threading.Event()
        resource = Resource({"service.name": "triage", "team": "support"})
        self._traces = TracerProvider(resource=resource, shutdown_on_exit=False)
        exporter = OTLPSpanExporter(f"http://{to}/v1/traces")
        self._traces.add_span_processor(BatchSpanProcessor(exporter, schedule_delay_millis=500))
        reader = PeriodicExportingMetricReader(OTLPMetricExporter(f"http://{to}/v1/metrics"), 1000)
        self._metrics = MeterProvider([reader], resource, shutdown_on_exit=False)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        tracer = self._traces.get_tracer("test")
        calls = self._metrics.get_meter("test").create_counter("calls")
        due = time.monotonic()
        while not self._stopped.wait(max(0.0, due - time.monotonic())):
            due += 1 / RATE
            with tracer.start_as_current_span("chat gpt-4o", kind=SpanKind.CLIENT) as span:
                span.set_attributes(chat())
            calls.add(1, {"agent": "triage"})
            self.sent += 1

    def stop(self) -> None:
        """End and hand over what is in the SDK's own queues."""
        self._stopped.set()
        self._thread.join()
        self._traces.force_flush()
        self._traces.shutdown()
        self._metrics.shutdown()


@contextmanager
def application(to: str) -> Iterator[Application]:
    made = Application(to)
    try:
        yield made
    finally:
        made.stop()


def test_an_outage_with_a_kill_in_it_loses_nothing(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    with house, Sidecar(tmp_path / "sidecar", house.http) as sidecar:
        with application(sidecar.http) as calls:
            wait_for(lambda: house.value("llm_requests_total") > 0, 20, "the first calls")
            house.kill9()
            down = time.monotonic()
            wait_for(lambda: time.monotonic() - down > OUTAGE / 2, OUTAGE, "half of the outage", 0.2)
            assert sidecar.value("fleetwatch_sink_up") == 0
            waiting = sidecar.value("fleetwatch_spool_oldest_age_seconds")
            assert OUTAGE / 2 - 3 < waiting < OUTAGE
            before = sidecar.account("traces")
            sidecar.kill9()
            sidecar.start()
            after = sidecar.account("traces")
            assert after[0] >= before[0] > RATE * OUTAGE / 2 * 0.8
            assert after[1:] == before[1:]
            wait_for(lambda: time.monotonic() - down > OUTAGE, OUTAGE, "the end of the outage", 0.2)
            house.start()
        sidecar.wait_empty()
        wait_for(lambda: house.value("llm_requests_total") == calls.sent, 30, f"{calls.sent} calls")
        assert [row.requests for row in house.spending("agent")] == [calls.sent]
        assert sidecar.value("fleetwatch_sink_up") == 1
        accepted, forwarded, dropped = sidecar.account("traces")
        # A batch that was under way when the sidecar was killed came twice; the ledger knows it.
        assert accepted == forwarded >= calls.sent
        assert dropped == 0
        assert sidecar.account("metrics")[0] == sidecar.account("metrics")[1] > 0
        print(f"outage {OUTAGE:g} s: sent {calls.sent}, accepted {accepted:g}, forwarded {forwarded:g}, lost 0")  # noqa: T201 - the figures of a long run


def test_the_collector_takes_what_it_was_promised(tmp_path: Path) -> None:
    """The sink is a real Collector, that is not there at first."""
    with House(tmp_path / "house") as house:
        gateway = Gateway(tmp_path, house.http)
        with Sidecar(tmp_path / "sidecar", gateway.http) as sidecar:
            assert send([chat() for _ in range(300)], sidecar.http)
            assert post_calls(sidecar.http, 20).status == 200
            with gateway.up():
                sidecar.wait_empty()
                wait_for(lambda: house.value("llm_requests_total") == 320, 30, "320 calls")
            assert sidecar.account("traces") == (320, 320, 0)


def test_a_hanging_sink_does_not_hold_up_the_end(tmp_path: Path) -> None:
    house = House(tmp_path / "house")
    with hanging_sink(int(house.http.rpartition(":")[2])), Sidecar(tmp_path / "sidecar", house.http) as sidecar:
        assert send([chat() for _ in range(100)], sidecar.http)
        wait_for(lambda: sidecar.value("fleetwatch_spool_accepted_total", signal="traces") == 100, 5, "the calls")
        assert sidecar.stop() < 1
    with house:
        sidecar.start()
        wait_for(lambda: house.value("llm_requests_total") == 100, 30, "the calls")
        sidecar.kill9()


def test_the_exporter_shows_its_machine_and_its_goodbye(tmp_path: Path) -> None:
    with House(tmp_path / "house") as house, Sidecar(tmp_path / "sidecar", house.http) as sidecar:
        wait_for(lambda: house.value("host_state", host_name="box", state="reporting") == 1, 10, "the report")
        wait_for(lambda: house.value("system_memory_limit_bytes", host_name="box") > 0, 10, "the memory")
        assert house.value("fleetwatch_hosts_rejected_total") == 0
        sidecar.stop()
        wait_for(lambda: house.value("host_state", host_name="box", state="goodbye") == 1, 10, "the goodbye")


def test_its_last_word_reaches_a_sink_that_is_there(tmp_path: Path) -> None:
    with running_sink() as sink, Sidecar(tmp_path, sink.address) as sidecar:
        wait_for(lambda: sink.bodies("/v1/metrics"), 10, "the first report")
        assert b"host.report.interval" in sink.bodies("/v1/metrics")[0]
        assert sidecar.stop() < 1
        last = sink.bodies("/v1/metrics")[-1]
        assert b"host.goodbye.timestamp" in last
        assert b"fleetwatch-sidecar" in last


def test_its_last_word_waits_for_a_sink_that_is_not(tmp_path: Path) -> None:
    with running_sink() as sink:
        address = sink.address
    with Sidecar(tmp_path, address) as sidecar:
        assert sidecar.stop() < 1
    with running_sink() as sink, Sidecar(tmp_path / "again", sink.address) as again:
        again.kill9()
        again.data = sidecar.data
        (tmp_path / "again" / "data" / "spool").rename(tmp_path / "again" / "data" / "old")
        (sidecar.data / "spool").rename(tmp_path / "again" / "data" / "spool")
        again.start()
        wait_for(lambda: any(b"host.goodbye" in body for body in sink.bodies("/v1/metrics")), 10, "the last word")


def test_a_body_as_large_as_the_settings_allow_is_taken(tmp_path: Path) -> None:
    settings = {"max_body_bytes": 18 << 20}
    with running_sink() as sink, Sidecar(tmp_path, sink.address, receive=settings) as sidecar:
        large = traces(*[f"{number:0100000d}" for number in range(175)]).SerializeToString()
        request = urllib.request.Request(f"http://{sidecar.http}/v1/traces", large, {"content-type": PROTOBUF})
        with urllib.request.urlopen(request, timeout=10) as answer:
            assert answer.status == 200
        wait_for(lambda: large in sink.bodies(), 10, "the body")


def test_without_its_folder_it_promises_nothing(tmp_path: Path) -> None:
    """Somebody removed it, while a request to the sink is under way."""
    with hanging_sink() as address, Sidecar(tmp_path, address) as sidecar:
        assert post_calls(sidecar.http, 3).status == 200
        wait_for(lambda: sidecar.value("fleetwatch_spool_accepted_total", signal="traces") == 3, 5, "the calls")
        shutil.rmtree(sidecar.data)
        wait_for(lambda: post_calls(sidecar.http).status == 503, 30, "a refusal", 0.2)
        assert get(f"http://{sidecar.web}/readyz")[0] == 503
        assert sidecar.stop() < 1


def test_without_a_sink_it_only_shows_its_machine(tmp_path: Path) -> None:
    with Sidecar(tmp_path, "") as sidecar:
        wait_for(lambda: sidecar.value("system_memory_limit_bytes", host_name="box") > 0, 10, "the memory")
        page = get(f"http://{sidecar.web}/metrics")[1]
        assert "fleetwatch_spool" not in page
        assert not (sidecar.data / "spool").exists()
        assert get(f"http://{sidecar.web}/healthz") == (200, "ok\n")
        assert get(f"http://{sidecar.web}/nothing")[0] == 404
        assert sidecar.stop() < 1


def test_an_address_that_is_taken_is_named_with_its_setting(tmp_path: Path) -> None:
    with running_sink() as sink, Sidecar(tmp_path / "one", sink.address) as first:
        second = Sidecar(tmp_path / "two", sink.address, http=first.http)
        with pytest.raises(pytest.fail.Exception, match=r"ended with 2:\nreceive.http.listen: .* is in use by"):
            second.start()


def test_two_sidecars_on_one_spool_are_refused(tmp_path: Path) -> None:
    with running_sink() as sink, Sidecar(tmp_path, sink.address) as first:
        second = Sidecar(tmp_path, sink.address)
        with pytest.raises(pytest.fail.Exception, match="another process has this spool"):
            second.start()
        first.stop()


def test_it_loads_nothing_that_is_heavy(tmp_path: Path) -> None:
    """By what the interpreter itself says that it imported, over a whole life with a report and a forwarded request."""
    with running_sink() as sink, Sidecar(tmp_path, sink.address, options=("-X", "importtime")) as sidecar:
        assert post_calls(sidecar.http).status == 200
        wait_for(lambda: sink.bodies() and sink.bodies("/v1/metrics"), 10, "a report and the call")
        sidecar.stop()
    loaded = set(re.findall(r"^import time: .*\| +([\w.]+)$", sidecar.log.read_text(), re.MULTILINE))
    assert "fleetwatch.app.sidecar" in loaded
    assert {name for name in loaded if name.partition(".")[0] in HEAVY} == set()
