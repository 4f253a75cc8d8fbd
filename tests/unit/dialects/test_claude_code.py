from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest

from fleetwatch.catalogue import agents
from fleetwatch.dialects import Record
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, UsagePoint
from support_coding_agents import NOW, SECOND, Figures, Recording, translate
from support_otlp import key_values


def calls(records: list[Record]) -> list[LlmCall]:
    return [record for record in records if isinstance(record, LlmCall)]


def said_cost(sent: Recording) -> int:
    """What the program itself reckoned, nano-USD."""
    return sum(call.reported_cost or 0 for call in calls(sent.records("logs")))


@pytest.mark.parametrize("scenario", ["plain", "tool", "sub_agent"])
def test_our_price_is_the_program_s_own_when_the_event_is_known(scenario: str, tmp_path: Path) -> None:
    """The event tells how much went into the long cache, which costs more; the span does not, so it waits for it."""
    sent = Recording("claude_code", scenario)
    signals = [signal for signal in ("logs", "traces", "metrics") if (sent.folder / f"{signal}.jsonl").exists()]
    for number, order in enumerate(itertools.permutations(signals)):
        with Figures(tmp_path / str(number), *[sent.records(signal) for signal in order]) as figures:
            assert figures.cost() == said_cost(sent)
            assert figures.labels("confidence") == {"priced"}


def test_spans_alone_count_after_their_wait(tmp_path: Path) -> None:
    sent = Recording("claude_code", "tool")
    with Figures(tmp_path) as figures:
        figures.commit(sent.records("traces"))
        figures.wait(5)
        assert figures.requests() == 0
        figures.wait(30)
        assert figures.requests() == 2


def changed(scenario: str, key: str, value: Any, kind: str = "stringValue", signal: str = "logs") -> list[Record]:
    """The records of a signal with one attribute set everywhere it occurs."""

    def change(line: str) -> str:
        return re.sub(
            rf'{{"key":"{re.escape(key)}","value":{{[^}}]*}}}}', json.dumps({"key": key, "value": {kind: value}}), line
        )

    return Recording("claude_code", scenario).records(signal, change=change)


def test_fast_mode_is_a_tier_with_a_price_of_its_own() -> None:
    assert {call.service_tier for call in calls(changed("plain", "speed", "fast"))} == {"fast"}
    assert {call.service_tier for call in calls(changed("plain", "speed", "normal"))} == {""}


def test_the_mark_of_the_long_window_is_no_part_of_the_model() -> None:
    for signal in ("logs", "metrics"):
        for record in changed("plain", "model", "claude-sonnet-4-5[1m]", signal=signal):
            assert (record.call if isinstance(record, UsagePoint) else record).model == "claude-sonnet-4-5"  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("told", "provider"),
    [("firstParty", "anthropic"), ("bedrock", "aws.bedrock"), ("vertex", "gcp.vertex_ai"), ("new one", "anthropic")],
)
def test_the_provider_is_the_cloud_that_answers(told: str, provider: str) -> None:
    assert {call.provider for call in calls(changed("plain", "anthropic.provider", told))} == {provider}


def test_giving_up_is_one_failed_call_however_many_attempts_and_events_there_were(tmp_path: Path) -> None:
    sent = Recording("claude_code", "overloaded")
    with Figures(tmp_path, sent.records("traces"), sent.records("logs")) as figures:
        assert figures.requests(outcome="error", error_type="529") == figures.requests() == 1


@pytest.mark.parametrize(
    ("text", "outcome"),
    [
        ("Connection error.", ("error", "connection_error")),
        ("Request timed out.", ("timeout", "timeout")),
        ("Request was aborted.", ("cancelled", "aborted")),
    ],
)
def test_a_call_that_never_reached_the_provider_is_told_by_its_event(
    text: str, outcome: tuple[str, str], tmp_path: Path
) -> None:
    """Neither a status nor an id of the request is known; then the span says nothing that could be matched."""

    def unreached(line: str) -> str:
        line = re.sub(r'{"key":"(request_id|gen_ai.response.id|status_code)","value":{[^}]*}},?', "", line)
        return line.replace(
            '{"key":"error","value":{"stringValue":"[removed]"}}',
            json.dumps({"key": "error", "value": {"stringValue": text}}),
        )

    sent = Recording("claude_code", "overloaded")
    (call,) = calls(sent.records("logs", change=unreached))
    assert (call.outcome, call.error_type) == outcome
    assert calls(sent.records("traces", change=unreached)) == []


def test_a_tool_that_fails_is_told_by_its_event(tmp_path: Path) -> None:
    sent = Recording("claude_code", "no_session_id")
    with Figures(tmp_path, sent.records("traces"), sent.records("logs")) as figures:
        assert figures.counted(agents.TOOL_CALLS) == {("claude-code", "Bash", "error"): 1}
        (tool,) = [record for record in sent.records("logs") if isinstance(record, ToolCall)]
        assert tool.error_type == "ShellError"


def test_arguments_are_known_where_the_user_asked_for_details() -> None:
    def tools(scenario: str) -> list[ToolCall]:
        return [record for record in Recording("claude_code", scenario).records("logs") if isinstance(record, ToolCall)]

    assert [len(tool.arguments) for tool in tools("tool")] == [8]
    assert [len(tool.arguments) for tool in tools("sub_agent")] == [0, 0]


def test_a_turn_is_a_task_and_a_sub_agent_s_run_lies_in_it(tmp_path: Path) -> None:
    """The sub-agent worked on after its turn had ended, and a second turn took note of its end."""
    sent = Recording("claude_code", "sub_agent")
    with Figures(tmp_path, sent.records("logs"), sent.records("traces")) as figures:
        assert figures.counted(agents.TASKS) == {
            ("claude-code", "ok", "completed"): 2,
            ("claude-code/general-purpose", "ok", "completed"): 1,
        }
        assert figures.counted(agents.TASK_SPENT) == {("claude-code", "unknown", "ok"): said_cost(sent)}
        assert figures.edges() == {
            ("claude-code", "claude-code/general-purpose", "agent", "ok"): 1,
            ("claude-code", "Agent", "tool", "ok"): 1,
            ("claude-code", "Bash", "tool", "ok"): 1,
        }


def test_without_spans_only_sub_agents_are_tasks(tmp_path: Path) -> None:
    def no_trace(line: str) -> str:
        return re.sub(r'"(traceId|spanId)":"[0-9a-f]*",', "", line)

    sent = Recording("claude_code", "sub_agent")
    records = sent.records("logs", change=no_trace)
    with Figures(tmp_path, records) as figures:
        own = [call.reported_cost or 0 for call in calls(records) if call.parent]
        assert len(own) == 2
        assert figures.counted(agents.TASK_SPENT) == {("claude-code/general-purpose", "unknown", "ok"): sum(own)}
        assert len({record.span[:16] for record in records if isinstance(record, AgentRun | ToolCall)}) == 1


def usage(tokens: int, start: int, at: int, session: str = "") -> ExportMetricsServiceRequest:
    """A cumulative export of output tokens."""
    request = ExportMetricsServiceRequest()
    group = request.resource_metrics.add()
    group.resource.attributes.extend(key_values({"service.name": "claude-code"}))
    scope = group.scope_metrics.add()
    scope.scope.name, scope.scope.version = "com.anthropic.claude_code", "2.1.329"
    data = scope.metrics.add(name="claude_code.token.usage", unit="tokens").sum
    data.aggregation_temporality = 2  # type: ignore[assignment]  # an enum's number
    attributes = {"model": "claude-opus-5-5", "type": "output", "query_source": "main"} | (
        {"session.id": session} if session else {}
    )
    data.data_points.add(
        start_time_unix_nano=start, time_unix_nano=at, as_double=tokens, attributes=key_values(attributes)
    )
    return request


def test_two_processes_on_one_identical_stream_are_told_apart_by_their_start(tmp_path: Path) -> None:
    """Cumulative and without session ids they say 43, 46, 43, 46, 92: 135 tokens, not 92 and not 270."""
    first, second = NOW - 900 * SECOND, NOW - 899 * SECOND
    exports = [(43, first), (46, second), (43, first), (46, second), (92, second)]
    requests = [usage(tokens, start, NOW - (600 - 60 * n) * SECOND) for n, (tokens, start) in enumerate(exports)]
    with Figures(tmp_path, *[translate("metrics", request).records for request in requests]) as figures:
        assert sum(tokens.output for tokens in figures.tokens().values()) == 43 + 92


def test_one_session_s_events_do_not_hide_another_s_metrics(tmp_path: Path) -> None:
    """Developers switch on what they like; a session is one process."""
    sent = Recording("claude_code", "plain")
    other = translate("metrics", usage(500, NOW - 90 * SECOND, NOW - 60 * SECOND, session="another")).records
    with Figures(tmp_path, sent.records("logs"), sent.records("metrics"), other) as figures:
        assert figures.tokens()["claude-opus-5-5"].output == sent.truth()["claude-opus-5-5"].output + 500
