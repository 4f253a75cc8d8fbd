"""What real senders of OpenTelemetry's vocabulary become; tests/fixtures/dialects/otel tells how they were taken."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

from fleetwatch.dialects import Translation, translate_logs, translate_traces
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, Tokens
from support_genai import DIALECTS, captured, lines
from support_otlp import NOW

FILES = sorted(file.stem for file in (DIALECTS / "otel").glob("*.json"))
CACHED = Tokens(input=86, cache_read=1920, output=172, reasoning=128)
CLAUDE = Tokens(input=86, cache_read=1900, cache_write=20, output=300)


def translated(name: str) -> Translation:
    if name.endswith("-logs"):
        return translate_logs(captured(f"otel/{name}", ExportLogsServiceRequest), NOW)
    return translate_traces(captured(f"otel/{name}", ExportTraceServiceRequest), NOW)


@pytest.mark.parametrize("name", FILES)
def test_records(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"dialects/otel/{name}.txt", lines(translated(name)))


@pytest.mark.parametrize("name", FILES)
def test_nothing_is_refused_and_every_answered_call_has_its_tokens(name: str) -> None:
    found = translated(name)
    assert (found.rejected, found.unknown_versions) == ({}, {})
    for call in found.records:
        if isinstance(call, LlmCall) and call.outcome == "ok":
            strands = CACHED._replace(output=300, reasoning=0)  # it does not tell reasoning tokens
            claude = call.provider in {"anthropic", "aws.bedrock"}
            assert call.tokens == (CLAUDE if claude else strands if name.startswith("strands") else CACHED)


@pytest.mark.parametrize("name", [name for name in FILES if not name.endswith("-logs") and "bedrock" not in name])
def test_the_tool_that_is_called_twice_has_equal_digests(name: str) -> None:
    tools = [record for record in translated(name).records if isinstance(record, ToolCall) and record.tool == "lookup"]
    told = {(tool.arguments, tool.result) for tool in tools}
    keeps_them_to_itself = {"mcp-spans", "strands-old-spans"}
    assert (told <= {(b"", b"")}) == (name in keeps_them_to_itself or not tools)
    # One agent each; the sub-agents of some frameworks get the result in another form.
    assert len(told) <= 2


def test_why_the_runs_ended() -> None:
    def reasons(name: str) -> Counter[tuple[str, str]]:
        return Counter((r.outcome, r.exit_reason) for r in translated(name).records if isinstance(r, AgentRun))

    assert reasons("openai-agents-spans") == {
        ("ok", "completed"): 5,
        ("error", "tool_error"): 1,
        ("error", "max_turns"): 1,
        ("error", "error"): 1,
    }
    assert reasons("langchain-spans") == {
        ("ok", "completed"): 3,
        ("error", "RuntimeError"): 1,
        ("error", "max_turns"): 1,
        ("error", "OpenAIRateLimitError"): 1,
    }


def test_events_beside_spans_are_echoes_of_the_same_calls() -> None:
    spans = [r for r in translated("openai-agents-spans").records if isinstance(r, LlmCall) and r.outcome == "ok"]
    events = [record for record in translated("openai-agents-logs").records if isinstance(record, LlmCall)]
    assert {event.key for event in events} == {span.key for span in spans}
    assert {event.point for event in events} == {"echo"}
    assert {event.parent for event in events} == {span.span[16:] for span in spans}


def test_events_of_a_sender_without_spans_are_its_calls() -> None:
    calls = [record for record in translated("openai-unsampled-logs").records if isinstance(record, LlmCall)]
    assert [(call.tokens, call.point, call.temperature) for call in calls] == [(CACHED, "", 0.0), (CACHED, "", None)]


def test_a_vendor_s_sdk_and_its_instrumentation_tell_one_call() -> None:
    inner, outer = (record for record in translated("anthropic-spans").records if isinstance(record, LlmCall))
    assert inner.key == outer.key
    assert inner.parent == outer.span[16:]
