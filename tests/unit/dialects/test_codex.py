from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest

from fleetwatch.catalogue import agents
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, UsagePoint
from support_coding_agents import NOW, Figures, Recording, translate
from support_otlp import key_values

COMPLETED = {
    "event.name": "codex.sse_event",
    "event.kind": "response.completed",
    "event.timestamp": "2026-11-21T08:14:26.388Z",
    "conversation.id": "c1",
    "model": "gpt-5.5",
    "input_token_count": "9100",
    "output_token_count": "65",
    "cached_token_count": 4097,
    "reasoning_token_count": 21,
    "tool_token_count": "9165",
}


def logs(*events: dict[str, Any], at: int = 0, seen: int = NOW) -> ExportLogsServiceRequest:
    request = ExportLogsServiceRequest()
    group = request.resource_logs.add()
    group.resource.attributes.extend(key_values({"service.name": "codex_cli_rs", "service.version": "0.169.0"}))
    scope = group.scope_logs.add()
    scope.scope.name = "codex_otel.log_only"
    for event in events:
        scope.log_records.add(time_unix_nano=at, observed_time_unix_nano=seen, attributes=key_values(event))
    return request


def calls(*events: dict[str, Any], **times: int) -> list[LlmCall]:
    found = translate("logs", logs(*events, **times))
    assert not found.rejected
    return [record for record in found.records if isinstance(record, LlmCall)]


def test_of_two_ends_of_a_call_the_one_with_tokens_counts() -> None:
    events = (Recording("codex", "plain").folder / "logs.jsonl").read_text().split('"observedTimeUnixNano"')
    assert sum("response.completed" in event for event in events) == 2
    assert len([record for record in Recording("codex", "plain").records("logs") if isinstance(record, LlmCall)]) == 1


def test_the_total_of_the_call_is_no_further_kind_of_token() -> None:
    """`tool_token_count` repeats all the others."""
    (call,) = calls(COMPLETED)
    assert sum(call.tokens) == 9165
    (without,) = calls({key: value for key, value in COMPLETED.items() if key != "tool_token_count"})
    assert without.tokens == call.tokens


def test_an_event_has_the_time_at_which_it_was_seen_or_that_of_its_attribute() -> None:
    assert calls(COMPLETED, at=NOW - 5)[0].at == NOW - 5
    assert calls(COMPLETED)[0].at == NOW
    assert calls(COMPLETED, seen=0)[0].at == 1_795_248_866_388_000_000
    found = translate("logs", logs(COMPLETED | {"event.timestamp": "yesterday"}, seen=0))
    assert (found.records, found.rejected) == ([], {"bad_time": 1})


def test_a_call_is_the_same_when_it_is_sent_again_though_a_collector_saw_it_later() -> None:
    assert calls(COMPLETED)[0].key == calls(COMPLETED, seen=NOW + 1)[0].key


@pytest.mark.parametrize(
    "other",
    [
        {"conversation.id": "c2"},
        {"event.timestamp": "2026-11-21T08:14:26.389Z"},
        {"model": "gpt-5.5-mini"},
        {"output_token_count": "66"},
    ],
)
def test_calls_that_differ_in_anything_are_two(other: dict[str, Any]) -> None:
    assert calls(COMPLETED)[0].key != calls(COMPLETED | other)[0].key


REQUEST = {
    "event.name": "codex.api_request",
    "conversation.id": "c1",
    "model": "gpt-5.5",
    "endpoint": "/responses",
    "duration_ms": "30",
}
BROKEN = {"event.name": "codex.sse_event", "conversation.id": "c1", "model": "gpt-5.5", "duration_ms": "7"}


@pytest.mark.parametrize(
    ("event", "outcome"),
    [
        (REQUEST | {"http.response.status_code": 529, "error.message": "http 529"}, ("error", "529")),
        (REQUEST | {"http.response.status_code": 504}, ("timeout", "504")),
        (REQUEST | {"error.message": "error sending request for url (secret)"}, ("error", "connection_error")),
        (
            REQUEST | {"event.name": "codex.websocket_request", "success": "false", "error.message": "secret"},
            ("error", "connection_error"),
        ),
        (BROKEN | {"error.message": "idle timeout waiting for SSE"}, ("timeout", "timeout")),
        (BROKEN | {"event.kind": "response.failed", "error.message": "secret"}, ("error", "stream_error")),
    ],
)
def test_an_attempt_that_fails_is_a_failed_call_without_its_message(
    event: dict[str, Any], outcome: tuple[str, str]
) -> None:
    (call,) = calls(event)
    assert (call.outcome, call.error_type) == outcome
    assert not any(call.tokens)
    assert "secret" not in repr(call)


@pytest.mark.parametrize(
    "event",
    [
        REQUEST | {"http.response.status_code": 200},
        REQUEST | {"http.response.status_code": 500, "endpoint": "/models"},
        REQUEST | {"event.name": "codex.websocket_request", "success": "true"},
        BROKEN | {"event.kind": "response.output_text.delta"},
        {"event.name": "codex.tool_decision", "tool_name": "exec_command", "decision": "approved"},
    ],
)
def test_other_events_are_no_calls(event: dict[str, Any]) -> None:
    assert translate("logs", logs(event)).records == []


def test_each_attempt_counts(tmp_path: Path) -> None:
    with Figures(tmp_path, Recording("codex", "overloaded").records("logs")) as figures:
        assert figures.requests(outcome="error", error_type="529") == figures.requests() == 2


def test_of_fifty_metrics_two_are_read() -> None:
    """190 kB for one question: usage of tokens by whole, and attempts."""
    sent = Recording("codex", "plain")
    (request,) = sent.requests("metrics")
    names = {
        metric.name for group in request.resource_metrics for scope in group.scope_metrics for metric in scope.metrics
    }
    assert len(names) > 50
    records = sent.records("metrics")
    assert [type(record) for record in records] == [UsagePoint] * 3
    assert len(repr(records)) < 3_000


def test_a_tool_s_arguments_and_output_are_digests() -> None:
    """The program tells the output even where prompts are not to be logged."""
    (tool,) = [record for record in Recording("codex", "tool").records("logs") if isinstance(record, ToolCall)]
    assert (len(tool.arguments), len(tool.result), len(tool.call_id)) == (8, 8, 8)
    assert "hello" not in repr(tool)


def test_a_tool_that_fails_has_no_type_of_error_but_its_outcome() -> None:
    def failed(line: str) -> str:
        return re.sub(
            r'{"key":"success","value":{[^}]*}}',
            json.dumps({"key": "success", "value": {"stringValue": "false"}}),
            line,
        )

    records = Recording("codex", "tool").records("logs", change=failed)
    assert [record.outcome for record in records if isinstance(record, ToolCall)] == ["error"]


def test_a_turn_finds_its_calls_by_conversation_and_time(tmp_path: Path) -> None:
    """No event says in which span it was sent, or another one than its turn's."""
    sent = Recording("codex", "tool")
    with Figures(tmp_path, sent.records("logs"), sent.records("traces")) as figures:
        assert figures.counted(agents.TASKS) == {("codex", "ok", "completed"): 1}
        assert figures.counted(agents.TASK_SPENT) == {("codex", "unknown", "ok"): figures.cost()}
        assert figures.cost() > 0
        assert figures.edges() == {("codex", "exec_command", "tool", "ok"): 1}


def test_a_turn_without_a_conversation_is_none() -> None:
    def unknown(line: str) -> str:
        return line.replace('"conversation.id"', '"conversation"')

    records = Recording("codex", "tool").records("traces", change=unknown)
    assert not [record for record in records if isinstance(record, AgentRun)]
