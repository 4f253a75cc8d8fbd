"""The OpenTelemetry SDK's own exporters against the receiver: what they repeat, what they give up, and TLS."""

from __future__ import annotations

import http.client
import ssl
import time
from pathlib import Path
from typing import Any

import grpc
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcExporter
from opentelemetry.exporter.otlp.proto.http import Compression
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpExporter
from opentelemetry.sdk.trace import ReadableSpan, TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor, SpanExportResult
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from fleetwatch.receive import BadRequest, Throttled, Tls, TokenFile, TooLarge, Unavailable
from support_http import self_signed
from support_receive import Receiver

OK, FAILED = SpanExportResult.SUCCESS, SpanExportResult.FAILURE


@pytest.fixture(scope="module")
def spans() -> tuple[ReadableSpan, ...]:
    kept = InMemorySpanExporter()
    provider = TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(kept))
    for name in ("one", "two"):
        with provider.get_tracer("test").start_as_current_span(name):
            pass
    return tuple(kept.get_finished_spans())


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> Tls:
    return self_signed(tmp_path_factory.mktemp("tls"))


def exporter_of(receiver: Receiver, transport: str, **more: Any) -> HttpExporter | GrpcExporter:
    if transport == "http":
        return HttpExporter(endpoint=f"http://{receiver.http.address}/v1/traces", **more)
    return GrpcExporter(endpoint=f"http://{receiver.grpc.address}", insecure=True, **more)


@pytest.fixture(params=["http", "grpc"])
def transport(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.mark.parametrize("failure", [Throttled(0.3), Unavailable(0.3)], ids=["throttled", "unavailable"])
def test_what_can_be_taken_later_is_sent_again(
    spans: tuple[ReadableSpan, ...], transport: str, failure: Exception
) -> None:
    with Receiver() as receiver:
        receiver.failures.append(failure)
        exporter = exporter_of(receiver, transport)
        begun = time.monotonic()
        assert exporter.export(spans) is OK
        waited = time.monotonic() - begun
        exporter.shutdown()
    assert receiver.seen == 2
    assert receiver.records == ["one", "two"]
    # HTTP knows whole seconds only; gRPC's RetryInfo is exact.
    assert waited > (0.9 if transport == "http" else 0.25)


@pytest.mark.parametrize("failure", [BadRequest("no"), TooLarge("no")], ids=["bad", "too large"])
def test_what_can_never_be_taken_is_sent_once(
    spans: tuple[ReadableSpan, ...], transport: str, failure: Exception
) -> None:
    with Receiver() as receiver:
        receiver.failures.append(failure)
        exporter = exporter_of(receiver, transport)
        assert exporter.export(spans) is FAILED
        exporter.shutdown()
    assert receiver.seen == 1
    assert receiver.records == []


def test_the_token_is_shown_as_a_header(spans: tuple[ReadableSpan, ...], transport: str, tmp_path: Path) -> None:
    (tmp_path / "token").write_text("secret")
    with Receiver(token=TokenFile(tmp_path / "token")) as receiver:
        good = exporter_of(receiver, transport, headers={"authorization": "Bearer secret"})
        bad = exporter_of(receiver, transport, headers={"authorization": "Bearer terces"})
        assert (good.export(spans), bad.export(spans)) == (OK, FAILED)
        good.shutdown()
        bad.shutdown()
    assert [status for _, _, status in receiver.requests] == ["ok", "unauthorized"]


@pytest.mark.parametrize("compression", list(Compression))
def test_each_compression_of_the_sdk_is_read(spans: tuple[ReadableSpan, ...], compression: Compression) -> None:
    with Receiver() as receiver:
        exporter = exporter_of(receiver, "http", compression=compression)
        assert exporter.export(spans) is OK
        exporter.shutdown()
    assert receiver.records == ["one", "two"]


@pytest.mark.parametrize("compression", [grpc.Compression.Gzip, grpc.Compression.Deflate])
def test_each_compression_of_grpc_is_read(spans: tuple[ReadableSpan, ...], compression: grpc.Compression) -> None:
    with Receiver() as receiver:
        exporter = exporter_of(receiver, "grpc", compression=compression)
        assert exporter.export(spans) is OK
        exporter.shutdown()
    assert receiver.records == ["one", "two"]


def test_tls(spans: tuple[ReadableSpan, ...], transport: str, tls: Tls, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)  # they would win over the certificate given
    with Receiver(tls=tls) as receiver:
        exporter: HttpExporter | GrpcExporter
        if transport == "http":
            address = f"https://{receiver.http.address}/v1/traces"
            exporter = HttpExporter(endpoint=address, certificate_file=str(tls.cert_file))
        else:
            credentials = grpc.ssl_channel_credentials(tls.cert_file.read_bytes())
            exporter = GrpcExporter(endpoint=f"https://{receiver.grpc.address}", credentials=credentials)
        assert exporter.export(spans) is OK
        exporter.shutdown()
    assert receiver.records == ["one", "two"]


def test_a_sender_without_tls_is_not_heard_where_tls_is_on(tls: Tls) -> None:
    with Receiver(tls=tls) as receiver, pytest.raises((ConnectionError, http.client.HTTPException)):
        receiver.post("/v1/traces", b"")


def test_a_bad_certificate_stops_the_start(tmp_path: Path) -> None:
    (tmp_path / "cert.pem").write_text("no PEM")
    for tls in (Tls(tmp_path / "cert.pem", tmp_path / "cert.pem"), Tls(tmp_path / "none.pem", tmp_path / "none.pem")):
        with pytest.raises((ssl.SSLError, FileNotFoundError)):
            Receiver(tls=tls).__enter__()
