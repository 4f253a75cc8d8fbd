from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fleetwatch.dialects.otel_agents import ARGUMENTS, ARGUMENTS_DIGEST, EXIT_REASON, RESULT, RESULT_DIGEST
from fleetwatch.dialects.parts.digest import call_id_digest, digest_of, with_tool
from fleetwatch.records.agents import AgentRun, Evaluation, Step, ToolCall
from fleetwatch.records.llm import LlmCall
from support_genai import CHAT, USED, VALUES, lines, only, read
from support_otlp import NOW, SECOND, key_values, span

AGENT = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
TOOL = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup", "gen_ai.agent.name": "planner"}
CLIENT, SERVER, INTERNAL = Span.SPAN_KIND_CLIENT, Span.SPAN_KIND_SERVER, Span.SPAN_KIND_INTERNAL
FAILED = Status(code=Status.STATUS_CODE_ERROR)
CALLED = {"parent_span_id": b"p" * 8}


def run(attributes: dict[str, Any], **fields: Any) -> AgentRun:
    return only(AgentRun, read(span(attributes, **fields)).records)


def tool(attributes: dict[str, Any], **fields: Any) -> ToolCall:
    return only(ToolCall, read(span(attributes, **fields)).records)


def test_an_agent_s_run_is_read_whole() -> None:
    found = read(span(AGENT | USED, **CALLED), **{"service.name": "desk", "team": "support", "host.name": "node-1"})
    assert only(AgentRun, found.records) == AgentRun(
        span=b"t" * 16 + b"s" * 8,
        parent=b"p" * 8,
        start=NOW - 2 * SECOND,
        at=NOW,
        agent="planner",
        team="support",
        outcome="ok",
        exit_reason="completed",
        host="node-1",
    )


def test_a_tool_call_is_read_whole() -> None:
    sent = TOOL | {ARGUMENTS: '{"city": "Paris"}', RESULT: "sunny", "gen_ai.tool.call.id": "call_AbCdEfGh"}
    assert tool(sent) == ToolCall(
        span=b"t" * 16 + b"s" * 8,
        parent=b"",
        start=NOW - 2 * SECOND,
        at=NOW,
        agent="planner",
        team="support",
        tool="lookup",
        outcome="ok",
        error_type="",
        arguments=with_tool("lookup", digest_of('{"city":"Paris"}')),
        result=digest_of("sunny"),
        call_id=call_id_digest("call_AbCdEfGh"),
    )


@pytest.mark.parametrize(
    ("sent", "agent"),
    [
        ({"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}, "planner"),
        ({"gen_ai.operation.name": "invoke_agent"}, "triage"),
        ({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "nightly"}, "nightly"),
        ({"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": "x", "gen_ai.agent.name": "y"}, "y"),
        ({"gen_ai.operation.name": "invoke_workflow"}, "triage"),
        ({"gen_ai.operation.name": "Workflow", "gen_ai.workflow.name": "old"}, "old"),
        ({"gen_ai.operation.name": "invoke_swarm", "gen_ai.agent.name": "swarm"}, "swarm"),
    ],
)
def test_who_ran(sent: dict[str, Any], agent: str) -> None:
    assert run(sent).agent == agent


@pytest.mark.parametrize("name", ["Agent workflow", "LangGraph"])
def test_a_workflow_that_nobody_named_is_a_step(name: str) -> None:
    """It would be the outermost task of every trace, and ends well when the agent inside fails."""
    sent = {"gen_ai.operation.name": "invoke_workflow", "gen_ai.workflow.name": name}
    assert lines(read(span(sent, **CALLED))) == "step #1/#2\n"


@pytest.mark.parametrize(
    "operation", ["plan", "retrieval", "fetch_response", "search_memory", "execute_event_loop_cycle", "handoff"]
)
def test_any_other_operation_keeps_the_tree_whole(operation: str) -> None:
    only(Step, read(span({"gen_ai.operation.name": operation})).records)


def test_a_wrapper_without_an_operation_keeps_the_tree_whole() -> None:
    only(Step, read(span({"gen_ai.request.model": "gpt-4o"})).records)


def test_who_creates_an_agent_does_no_work() -> None:
    assert read(span(AGENT | {"gen_ai.operation.name": "create_agent"})).records == []


@pytest.mark.parametrize("kind", [CLIENT, INTERNAL, SERVER])
def test_a_remote_agent_is_told_by_its_caller_and_by_itself(kind: Any) -> None:
    """One inside the other, the ledger has them as one task."""
    assert run(AGENT, kind=kind, **CALLED).agent == "planner"


@pytest.mark.parametrize(
    ("attributes", "fields", "outcome", "reason"),
    [
        ({}, {}, "ok", "completed"),
        ({"gen_ai.response.finish_reasons": ["length"]}, {}, "ok", "max_tokens"),
        ({"gen_ai.response.finish_reasons": ["content_filter"]}, {}, "refused", "refused"),
        ({"error.type": "openai.RateLimitError"}, {"status": FAILED}, "error", "RateLimitError"),
        ({"error.type": "TimeoutError"}, {"status": FAILED}, "timeout", "timeout"),
        ({"error.type": "_OTHER"}, {"status": Status(code=2, message="Max turns exceeded")}, "error", "max_turns"),  # type: ignore[arg-type]  # an enum's number
        ({}, {"status": FAILED}, "error", "error"),
        ({EXIT_REASON: "gave_up"}, {"status": FAILED}, "error", "gave_up"),
        ({EXIT_REASON: "a sentence of somebody"}, {}, "ok", "completed"),
    ],
)
def test_how_a_run_ended(attributes: dict[str, Any], fields: dict[str, Any], outcome: str, reason: str) -> None:
    found = run(AGENT | attributes, **fields)
    assert (found.outcome, found.exit_reason) == (outcome, reason)


def test_a_run_without_a_type_takes_that_of_its_exception() -> None:
    event = Span.Event(name="exception", attributes=key_values({"exception.type": "app.QuotaError"}))
    assert run(AGENT, status=FAILED, events=[event]).exit_reason == "QuotaError"


def test_a_tool_that_says_itself_that_it_failed_has() -> None:
    assert tool(TOOL | {"gen_ai.tool.status": "error"}, status=Status(code=1)).outcome == "error"  # type: ignore[arg-type]  # an enum's number


def test_a_sender_may_keep_arguments_to_itself() -> None:
    told = tool(TOOL | {ARGUMENTS_DIGEST: digest_of('{"a": 1}').hex(), RESULT_DIGEST: digest_of("x").hex()})
    assert told == tool(TOOL | {ARGUMENTS: '{"a":1}', RESULT: "x"})
    assert tool(TOOL).arguments == tool(TOOL).result == tool(TOOL).call_id == b""


def test_what_the_collector_puts_in_place_of_arguments_tells_equal_ones() -> None:
    one, two = "ab" * 32, "cd" * 32
    assert tool(TOOL | {ARGUMENTS: one}).arguments == tool(TOOL | {ARGUMENTS: one}).arguments != b""
    assert tool(TOOL | {ARGUMENTS: one}).arguments != tool(TOOL | {ARGUMENTS: two}).arguments


MCP = {"mcp.method.name": "tools/call", "jsonrpc.request.id": "7"}


@pytest.mark.parametrize(
    ("sent", "fields", "kind"),
    [
        (MCP, {"name": "MCP send tools/call lookup", "kind": CLIENT}, ToolCall),
        (MCP, {"name": "tools/call lookup", "kind": CLIENT} | CALLED, ToolCall),
        (MCP | {"gen_ai.tool.name": "lookup"}, {"kind": INTERNAL}, ToolCall),
        (MCP | {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup"}, {"kind": SERVER}, ToolCall),
        (
            MCP | {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "lookup"},
            {"kind": SERVER} | CALLED,
            Step,
        ),
        ({"mcp.method.name": "tools/list"}, {"name": "tools/list", "kind": CLIENT}, Step),
        ({"mcp.method.name": "sampling/createMessage"}, {"kind": SERVER} | CALLED, Step),
    ],
)
def test_mcp(sent: dict[str, Any], fields: dict[str, Any], kind: type[ToolCall | Step]) -> None:
    """The server's sighting of a call that somebody made has the server's name and not the agent's: a step."""
    record = only(kind, read(span(sent, **fields)).records)
    if isinstance(record, ToolCall):
        assert (record.tool, record.agent) == ("lookup", "triage")


@pytest.mark.parametrize(
    ("name", "expected"),
    [("execute_tool lookup", "lookup"), ("execute_tool", "unknown"), ("", "unknown"), ("tools/call", "unknown")],
)
def test_a_tool_without_a_name_takes_that_of_its_span(name: str, expected: str) -> None:
    assert tool({"gen_ai.operation.name": "execute_tool"}, name=name).tool == expected


@pytest.mark.parametrize("sent", [AGENT, TOOL, {"gen_ai.operation.name": "plan"}])
def test_bad_ids_and_times_are_refused(sent: dict[str, Any]) -> None:
    assert read(span(sent, span_id=b"short")).rejected == {"no_id": 1}
    assert read(span(sent, trace_id=bytes(16))).rejected == {"no_id": 1}
    assert read(span(sent, end_time_unix_nano=NOW - 3 * SECOND)).rejected == {"bad_time": 1}
    found = read(span(sent, end_time_unix_nano=NOW + 700 * SECOND))
    assert (found.rejected, found.skew) == ({"bad_time": 1}, 700 * SECOND)


def test_spans_of_others_stay_unread() -> None:
    assert read(span({"http.request.method": "GET"}, end_time_unix_nano=0)).rejected == {}


def test_hostile_texts_come_out_harmless_and_short() -> None:
    name = "a\nb\x00\u202e" + "x" * 300
    found = tool({"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": name, "gen_ai.agent.name": name})
    assert found.tool == found.agent == "a\ufffdb\ufffd\ufffd" + "x" * 195


RARE = ("gen_ai.workflow.name", "gen_ai.tool.call.id", "gen_ai.response.finish_reasons", "gen_ai.tool.status", "team")
KEYS = {*AGENT, *TOOL, *MCP, *CHAT, *USED, ARGUMENTS, RESULT, ARGUMENTS_DIGEST, EXIT_REASON, "error.type", *RARE}
SOUP = st.dictionaries(st.sampled_from(sorted(KEYS)), VALUES)
OPERATIONS = st.sampled_from(["invoke_agent", "invoke_workflow", "create_agent", "execute_tool", "plan", "retrieval"])


@given(SOUP, OPERATIONS, st.integers(0, 5), st.binary(max_size=9), st.integers(0, 2**64 - 1))
def test_no_soup_of_attributes_makes_a_call_of_agents_work(
    soup: dict[str, Any], operation: str, kind: int, parent: bytes, end: int
) -> None:
    sent = soup | {"gen_ai.operation.name": operation}
    found = read(
        span(sent, kind=kind, parent_span_id=parent, end_time_unix_nano=end),
        span(soup | {"gen_ai.operation.name": operation}),
    )
    assert set(found.rejected) <= {"bad_time"}
    assert len(found.records) + sum(found.rejected.values()) <= 2
    for record in found.records:
        assert isinstance(record, AgentRun | ToolCall | Step)
        assert len(record.parent) in {0, 8}
        assert all(len(text) <= 200 for text in record if isinstance(text, str))
        if isinstance(record, ToolCall):
            assert {len(record.arguments), len(record.result), len(record.call_id)} <= {0, 8}


@given(SOUP, st.integers(0, 2))
def test_any_soup_becomes_at_most_one_record_or_a_refusal(soup: dict[str, Any], status: int) -> None:
    found = read(span(soup, status=Status(code=status)))  # type: ignore[arg-type]  # an enum's number
    assert len(found.records) + sum(found.rejected.values()) <= 1
    assert all(isinstance(record, LlmCall | AgentRun | ToolCall | Step) for record in found.records)
    assert not [record for record in found.records if isinstance(record, Evaluation)]
