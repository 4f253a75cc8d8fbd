"""What a sender's version changes."""

from __future__ import annotations

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import Translation, translate_traces
from fleetwatch.records.llm import LlmCall, Tokens
from support_genai import CHAT, only
from support_otlp import NOW, span, traces_of

CACHED = CHAT | {
    "gen_ai.usage.input_tokens": 5000,
    "gen_ai.usage.output_tokens": 10,
    "gen_ai.usage.cache_read.input_tokens": 1900,
    "gen_ai.usage.cache_write.input_tokens": 100,
}
BEDROCK = "opentelemetry.instrumentation.genai.bedrock"


def read(scope: str = "", version: str = "", schema: str = "") -> Translation:
    request: ExportTraceServiceRequest = traces_of(
        [span(CACHED), span({"gen_ai.operation.name": "invoke_agent"}, span_id=b"12345678"), span({"a": 1})]
    )
    sent = request.resource_spans[0].scope_spans[0]
    sent.scope.name, sent.scope.version, sent.schema_url = scope, version, schema
    return translate_traces(request, NOW)


@pytest.mark.parametrize("scope", [BEDROCK, "opentelemetry.instrumentation.botocore.bedrock-runtime"])
def test_bedrock_s_instrumentations_leave_cached_tokens_out_of_the_input(scope: str) -> None:
    found = only(LlmCall, read(scope).records[:1])
    assert found.tokens == Tokens(input=5000, cache_read=1900, cache_write=100, output=10)


def test_all_others_have_them_in_it_as_the_conventions_want() -> None:
    found = only(LlmCall, read("opentelemetry.instrumentation.genai.openai").records[:1])
    assert found.tokens == Tokens(input=3000, cache_read=1900, cache_write=100, output=10)


@pytest.mark.parametrize(
    "schema",
    [
        "https://opentelemetry.io/schemas/1.99.0",
        "https://opentelemetry.io/schemas/2.0.0",
        "https://opentelemetry.io/schemas/1.45",
    ],
)
def test_conventions_newer_than_any_that_was_tried_are_read_and_counted(schema: str) -> None:
    found = read(schema=schema)
    assert found.unknown_versions == {"otel_genai": 1, "otel_agents": 1}
    assert len(found.records) == 2


@pytest.mark.parametrize(
    "schema",
    [
        "",
        "https://opentelemetry.io/schemas/1.27.0",
        "https://opentelemetry.io/schemas/1.44.0",
        "https://example.com/9.9.9",
        "https://opentelemetry.io/schemas/newest",
        "https://opentelemetry.io/schemas/" + "9" * 5000,
    ],
)
def test_known_ones_and_what_tells_no_version_are_not(schema: str) -> None:
    assert read(schema=schema).unknown_versions == {}


@pytest.mark.parametrize(("version", "unknown"), [("1.3b0", False), ("1.2b0", False), ("1.4b0", True), ("", False)])
def test_a_scope_that_needs_care_is_counted_when_it_is_newer_than_tried(version: str, unknown: bool) -> None:
    """Its next version may put cached tokens into the input."""
    assert bool(read(BEDROCK, version).unknown_versions) == unknown


def test_the_version_of_a_scope_that_needs_none_does_not_matter() -> None:
    assert read("opentelemetry.instrumentation.genai.openai", "99.0").unknown_versions == {}
