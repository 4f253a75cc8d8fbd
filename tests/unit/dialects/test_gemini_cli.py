from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import agents
from fleetwatch.dialects import Record
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, UsagePoint
from support_coding_agents import SECOND, Figures, Recording


def calls(records: list[Record]) -> list[LlmCall]:
    return [
        record.call if isinstance(record, UsagePoint) else record
        for record in records
        if isinstance(record, LlmCall | UsagePoint)
    ]


def changed(scenario: str, values: dict[str, Any], signal: str = "logs") -> list[Record]:
    """The records of a signal with some attributes set everywhere they occur, to OTLP values."""

    def change(line: str) -> str:
        for key, value in values.items():
            line = re.sub(
                rf'{{"key":"{re.escape(key)}","value":{{[^}}]*}}}}', json.dumps({"key": key, "value": value}), line
            )
        return line

    return Recording("gemini_cli", scenario).records(signal, change=change)


@pytest.mark.parametrize("scenario", ["plain", "tool", "retry"])
def test_spans_count_nothing_though_some_have_tokens(scenario: str) -> None:
    sent = Recording("gemini_cli", scenario)
    assert sent.records("traces") == []
    assert ("gen_ai.usage.input_tokens" in (sent.folder / "traces.jsonl").read_text()) == (scenario != "plain")


def test_the_conventions_events_and_metrics_beside_its_own_are_not_read() -> None:
    """Otherwise each call would count twice, and once without its thought tokens."""
    sent = Recording("gemini_cli", "plain")
    assert (sent.folder / "logs.jsonl").read_text().count("gen_ai.client.inference.operation.details") == 4
    assert "gen_ai.client.token.usage" in (sent.folder / "metrics.jsonl").read_text()
    assert [call.tokens.reasoning for call in calls(sent.records("logs"))] == [16, 17]
    assert sum(call.tokens.reasoning for call in calls(sent.records("metrics"))) == 16 + 17


def test_thought_tokens_are_outside_the_output_and_tool_tokens_are_input() -> None:
    (call, _) = calls(changed("plain", {"tool_token_count": {"intValue": 500}}))
    assert (call.tokens.input, call.tokens.cache_read) == (8100 - 3001 + 500, 3001)
    assert (call.tokens.output, call.tokens.reasoning) == (35, 16)


def test_one_question_is_two_calls_for_a_router_is_asked_first() -> None:
    assert [call.model for call in calls(Recording("gemini_cli", "plain").records("logs"))] == [
        "gemini-3.5-flash-lite",
        "gemini-3.8-flash",
    ]


@pytest.mark.parametrize(
    ("auth", "provider"),
    [("gemini-api-key", "gcp.gemini"), ("vertex-ai", "gcp.vertex_ai"), ("oauth-personal", "gcp.gemini")],
)
def test_the_way_of_signing_in_tells_the_provider(auth: str, provider: str) -> None:
    for signal in ("logs", "metrics"):
        found = calls(changed("plain", {"auth_type": {"stringValue": auth}}, signal))
        assert {call.provider for call in found} == {provider}


@pytest.mark.parametrize("signal", ["logs", "metrics"])
def test_a_failed_attempt_counts_once(signal: str, tmp_path: Path) -> None:
    """Its own counter has two points for it, with and without the error's type."""
    with Figures(tmp_path, Recording("gemini_cli", "retry").records(signal)) as figures:
        assert (figures.requests(outcome="error"), figures.requests(outcome="ok")) == (1, 2)


def test_an_answer_that_a_filter_stopped_is_refused() -> None:
    def stopped(line: str) -> str:
        return line.replace('{"stringValue":"stop"}', '{"stringValue":"safety"}')

    found = calls(Recording("gemini_cli", "plain").records("logs", change=stopped))
    assert {(call.outcome, call.error_type) for call in found} == {("refused", "safety")}


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ({}, ("ok", "")),
        ({"success": {"boolValue": False}, "decision": {"stringValue": "reject"}}, ("cancelled", "cancelled")),
        ({"success": {"boolValue": False}}, ("error", "_OTHER")),
    ],
)
def test_tools_are_told_by_events(values: dict[str, Any], expected: tuple[str, str]) -> None:
    (tool,) = [record for record in changed("tool", values) if isinstance(record, ToolCall)]
    assert (tool.tool, tool.outcome, tool.error_type) == ("run_shell_command", *expected)
    assert tool.at - tool.start == 107_000_000
    assert tool.arguments == b""  # they are not told where prompts are not


FINISHED = {
    "event.name": {"stringValue": "gemini_cli.agent.finish"},
    "agent_id": {"stringValue": "a1"},
    "agent_name": {"stringValue": "codebase_investigator"},
    "duration_ms": {"intValue": "300"},
    "turn_count": {"intValue": "1"},
}


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("GOAL", ("ok", "completed")),
        ("MAX_TURNS", ("error", "max_turns")),
        ("TIMEOUT", ("timeout", "timeout")),
        ("ABORTED", ("cancelled", "cancelled")),
        ("ERROR_NO_COMPLETE_TASK_CALL", ("error", "error_no_complete_task_call")),
    ],
)
def test_a_sub_agent_is_a_task_with_the_calls_of_its_time(
    reason: str, expected: tuple[str, str], tmp_path: Path
) -> None:
    """The event as the program's documentation has it; no recording has one."""

    def add(line: str) -> str:
        request = json.loads(line)
        records = request["resourceLogs"][0]["scopeLogs"][0]["logRecords"]
        last = max(records, key=lambda record: int(record["timeUnixNano"]))
        session = [item for item in last["attributes"] if item["key"] == "session.id"]
        told = FINISHED | {"terminate_reason": {"stringValue": reason}}
        attributes = [*session, *({"key": key, "value": value} for key, value in told.items())]
        records.append({"timeUnixNano": last["timeUnixNano"], "attributes": attributes})
        return json.dumps(request)

    records = Recording("gemini_cli", "plain").records("logs", change=add)
    (run,) = [record for record in records if isinstance(record, AgentRun)]
    assert (run.agent, run.outcome, run.exit_reason) == ("gemini-cli/codebase_investigator", *expected)
    with Figures(tmp_path, records) as figures:
        inside = [call for call in calls(records) if run.start <= call.at - (call.duration or 0)]
        assert len(inside) == 2
        assert figures.counted(agents.TASK_SPENT) == {
            ("gemini-cli/codebase_investigator", "unknown", expected[0]): figures.cost()
        }


def test_there_are_no_tasks_of_the_program_itself(tmp_path: Path) -> None:
    sent = Recording("gemini_cli", "tool")
    with Figures(tmp_path, sent.records("logs"), sent.records("traces"), sent.records("metrics")) as figures:
        assert figures.counted(agents.TASKS) == {}


def test_a_session_is_a_sender_of_its_own() -> None:
    """Metrics of one developer are not taken for those of another who sends events."""
    one = calls(Recording("gemini_cli", "plain").records("logs", "metrics"))
    other = calls(Recording("gemini_cli", "tool").records("metrics"))
    assert len({call.service for call in one}) == 1
    assert {call.service for call in one}.isdisjoint({call.service for call in other})
    assert all(call.at > SECOND for call in one)
