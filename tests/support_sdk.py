"""LLM calls sent as applications do: by the OpenTelemetry SDK."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping

from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import BatchSpanProcessor, SpanExporter
from opentelemetry.trace import SpanKind
from opentelemetry.util.types import AttributeValue

Attributes = Mapping[str, AttributeValue]

_numbers = itertools.count()


def chat(agent: str = "triage", **attributes: AttributeValue) -> Attributes:
    """Attributes of a chat with gpt-4o: 1,000 input and 100 output tokens, 0.0035 USD. Underscores stand for dots."""
    return {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": f"response-of-a-test-{next(_numbers)}",
        "gen_ai.agent.name": agent,
        "gen_ai.usage.input_tokens": 1000,
        "gen_ai.usage.output_tokens": 100,
        **attributes,
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
        name = f"{attributes['gen_ai.operation.name']} {attributes['gen_ai.request.model']}"
        with tracer.start_as_current_span(name, kind=SpanKind.CLIENT) as span:
            span.set_attributes(attributes)
    done = provider.force_flush()
    provider.shutdown()
    return done
