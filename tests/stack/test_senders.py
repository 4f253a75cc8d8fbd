"""What real senders send is counted once and right: the stock SDK, and a public instrumentation of a vendor's SDK."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import openai
import pytest
from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter as GrpcSpanExporter
from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter
from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter as HttpSpanExporter
from opentelemetry.instrumentation.genai.openai import OpenAIInstrumentor
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import NoOpTracerProvider

from support import wait_for
from support_house import House, nano
from support_openai import CHAT_MODEL, EMBEDDING_MODEL, openai_stub
from support_program import labels
from support_sdk import chat, send

pytestmark = pytest.mark.stack

RESOURCE = Resource({"service.name": "triage", "service.instance.id": "pod-1", "team": "support"})
# US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10.00 out; text-embedding-3-small 0.02.
PLAIN = 86 * 2_500 + 1_920 * 1_250 + 300 * 10_000
PLAIN_WITHOUT_CACHE = 2_006 * 2_500 + 300 * 10_000
STREAM = 100 * 2_500 + 20 * 10_000
EMBEDDING = 8 * 20
"""Nano-USD."""


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, {"receive": {"usage_metrics_grace": 2}}) as running:
        yield running


@pytest.mark.parametrize("transport", ["HTTP", "gRPC"])
def test_the_stock_sdk_is_counted_right(house: House, transport: str) -> None:
    exporter: SpanExporter = (
        HttpSpanExporter(f"http://{house.http}/v1/traces")
        if transport == "HTTP"
        else GrpcSpanExporter(endpoint=house.grpc, insecure=True)
    )
    # More than one batch of the SDK's.
    assert send((chat(attributes={"gen_ai.usage.cache_read.input_tokens": 400}) for _ in range(1000)), exporter)
    wait_for(lambda: house.value("llm_requests_total") == 1000, 15, "all calls on /metrics")
    assert house.value("llm_tokens_total", kind="input") == 600_000
    assert house.value("llm_tokens_total", kind="cache_read") == 400_000
    assert house.value("llm_tokens_total", kind="output") == 100_000
    assert nano(house.value("llm_cost_usd_total", confidence="priced")) == 1000 * (
        600 * 2_500 + 400 * 1_250 + 100 * 10_000
    )
    assert house.value("llm_duplicate_calls_total") == 0
    assert house.value("fleetwatch_receiver_rejected_total") == 0


class Telemetry(NamedTuple):
    """The OpenTelemetry set-up of an application. traces: None for one that has turned them off."""

    traces: TracerProvider | None
    metrics: MeterProvider

    def flush(self) -> None:
        assert self.traces is None or self.traces.force_flush()
        assert self.metrics.force_flush()


@contextmanager
def application(house: House, *, with_traces: bool) -> Iterator[Telemetry]:
    """The openai SDK instrumented as its users do it, sending to the exporter."""
    reader = PeriodicExportingMetricReader(
        OTLPMetricExporter(f"http://{house.http}/v1/metrics"), export_interval_millis=3_600_000
    )
    telemetry = Telemetry(
        TracerProvider(resource=RESOURCE, shutdown_on_exit=False) if with_traces else None,
        MeterProvider([reader], resource=RESOURCE, shutdown_on_exit=False),
    )
    if telemetry.traces is not None:
        telemetry.traces.add_span_processor(BatchSpanProcessor(HttpSpanExporter(f"http://{house.http}/v1/traces")))
    instrumentor = OpenAIInstrumentor()
    instrumentor.instrument(tracer_provider=telemetry.traces or NoOpTracerProvider(), meter_provider=telemetry.metrics)
    try:
        yield telemetry
    finally:
        instrumentor.uninstrument()
        telemetry.metrics.shutdown()
        if telemetry.traces is not None:
            telemetry.traces.shutdown()


def use_openai() -> None:
    """A plain chat, a streamed one, one that is refused, and an embedding."""
    with openai_stub() as url, openai.OpenAI(base_url=url, api_key="none", max_retries=0) as client:
        hello: openai.types.chat.ChatCompletionUserMessageParam = {"role": "user", "content": "Good morning!"}
        client.chat.completions.create(model="gpt-4o", messages=[hello])
        stream = client.chat.completions.create(
            model="gpt-4o", messages=[hello], stream=True, stream_options={"include_usage": True}
        )
        assert "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices) == "Good morning."
        with pytest.raises(openai.RateLimitError):
            client.chat.completions.create(model="busy", messages=[hello])
        client.embeddings.create(model="text-embedding-3-small", input="Good morning!")


def test_an_instrumented_openai_sdk_is_billed_by_its_spans_and_not_again_by_its_metrics(house: House) -> None:
    with application(house, with_traces=True) as telemetry:
        use_openai()
        telemetry.flush()
        use_openai()
        telemetry.flush()
        wait_for(lambda: _sighted_twice(house) >= 6, 15, "the metrics of six answered calls to be recognised")
        who = {"agent": "triage", "team": "support", "provider": "openai"}
        expected = {
            labels(**who, model=CHAT_MODEL, operation="chat", outcome="ok"): 4,
            labels(**who, model="busy", operation="chat", outcome="error"): 2,
            labels(**who, model=EMBEDDING_MODEL, operation="embeddings", outcome="ok"): 2,
        }
        wait_for(lambda: house.metrics("llm_requests_total") == expected, 10, f"{expected} on /metrics")
    assert {key: nano(value) for key, value in house.metrics("llm_cost_usd_total").items() if value} == {
        labels(**who, model=CHAT_MODEL, confidence="priced"): 2 * (PLAIN + STREAM),
        labels(**who, model=EMBEDDING_MODEL, confidence="priced"): 2 * EMBEDDING,
    }
    assert house.value("llm_tokens_total", kind="cache_read") == 2 * 1920
    assert house.value("llm_time_to_first_token_seconds_count", model=CHAT_MODEL) == 2
    assert house.value("llm_errors_total", error_type="openai.RateLimitError") == 2
    assert house.value("llm_duplicate_calls_total") == _sighted_twice(house)


def _sighted_twice(house: House) -> float:
    return house.value("llm_duplicate_calls_total", reason="metrics_of_spans")


def test_a_sender_with_metrics_only_is_billed_by_estimate(house: House) -> None:
    """Its metrics do not tell cached tokens, so they cost what fresh ones cost, and that is said."""
    with application(house, with_traces=False) as telemetry:
        use_openai()
        telemetry.flush()
        use_openai()
        telemetry.flush()
        telemetry.flush()  # cumulative points: the same sums again
        wait_for(lambda: house.value("llm_requests_total") == 6, 15, "six answered calls on /metrics")
    who = {"agent": "triage", "team": "support", "provider": "openai"}
    wait_for(lambda: house.value("llm_cost_usd_total") > 0, 10, "the cost")
    assert {key: nano(value) for key, value in house.metrics("llm_cost_usd_total").items() if value} == {
        labels(**who, model=CHAT_MODEL, confidence="estimated"): 2 * (PLAIN_WITHOUT_CACHE + STREAM),
        labels(**who, model=EMBEDDING_MODEL, confidence="estimated"): 2 * EMBEDDING,
    }
    assert house.value("llm_tokens_total", kind="input") == 2 * (2006 + 100 + 8)
