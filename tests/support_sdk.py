"""LLM calls sent as applications do: by the OpenTelemetry SDK, or as one bare request to see the answer itself."""

from __future__ import annotations

import http.client
import itertools
import os
import time
from collections.abc import Iterable, Mapping
from typing import NamedTuple

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

from support_otlp import span, traces_of

Attributes = Mapping[str, AttributeValue]

_numbers = itertools.count()


def chat(agent: str = "triage", attributes: Attributes | None = None) -> Attributes:
    """Attributes of a chat with gpt-4o: 1,000 input and 100 output tokens, 0.0035 USD. `attributes` replace its own."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": f"response-of-a-test-{next(_numbers)}",
        "gen_ai.agent.name": agent,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        **(attributes or {}),
    }


def send(calls: Iterable[Attributes], to: str | SpanExporter, resource: Attributes | None = None) -> bool:
    """Send one span per call through the SDK's batch processor; on return they are acknowledged, or given up.

    to: HOST:PORT of OTLP/HTTP, or an exporter of the SDK's.
    """
    exporter = OTLPSpanExporter(f"http://{to}/v1/traces") if isinstance(to, str) else to
    provider = TracerProvider(
        resource=Resource({"service.name": "triage", "team": "support", **(resource or {})}), shutdown_on_exit=False
    )
    provider.add_span_processor(BatchSpanProcessor(exporter))
    tracer = provider.get_tracer("test")
    for attributes in calls:
        name = f"{attributes['gen_ai.operation.name']!s} {attributes['gen_ai.request.model']!s}"
        with tracer.start_as_current_span(name, kind=SpanKind.CLIENT) as span:
            span.set_attributes(attributes)
    done = provider.force_flush()
    provider.shutdown()
    return done


class Answer(NamedTuple):
    """retry_after: the header, None without it."""

    status: int
    retry_after: str | None


def post_calls(to: str, count: int = 1) -> Answer:
    """Send so many new calls, that end now, in one request to HOST:PORT."""
    now = time.time_ns()
    ends = {"start_time_unix_nano": now, "end_time_unix_nano": now}
    spans = [span(chat(), trace_id=os.urandom(16), span_id=os.urandom(8), **ends) for _ in range(count)]
    connection = http.client.HTTPConnection(to, timeout=10)
    try:
        body = traces_of(spans).SerializeToString()
        connection.request("POST", "/v1/traces", body, {"Content-Type": "application/x-protobuf"})
        answer = connection.getresponse()
        answer.read()
        return Answer(answer.status, answer.headers.get("Retry-After"))
    finally:
        connection.close()
