from __future__ import annotations

import itertools
import json
import re
from pathlib import Path
from typing import Any

import pytest

from fleetwatch.catalogue import agents
from fleetwatch.dialects import Record
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, Tokens
from support_coding_agents import SECOND, Figures, Recording


def calls(records: list[Record]) -> list[LlmCall]:
    return [record for record in records if isinstance(record, LlmCall)]


def changed(scenario: str, values: dict[str, Any], signal: str) -> list[Record]:
    """The records of a signal with some attributes set everywhere they occur, to OTLP values."""

    def change(line: str) -> str:
        for key, value in values.items():
            line = re.sub(
                rf'{{"key":"{re.escape(key)}","value":{{[^}}]*}}}}', json.dumps({"key": key, "value": value}), line
            )
        return line

    return Recording("qwen_code", scenario).records(signal, change=change)


def test_the_span_tells_the_provider_so_the_event_waits_for_it(tmp_path: Path) -> None:
    sent = Recording("qwen_code", "plain")
    for number, order in enumerate(itertools.permutations(["logs", "traces"])):
        with Figures(tmp_path / str(number), *[sent.records(signal) for signal in order]) as figures:
            assert figures.labels("provider") == {"openai"}
    with Figures(tmp_path / "logs", sent.records("logs")) as figures:
        assert figures.labels("provider") == {"unknown"}


def test_event_and_span_of_a_call_share_its_key() -> None:
    for scenario in ("plain", "sub_agent", "refused"):
        sent = Recording("qwen_code", scenario)
        spans, events = calls(sent.records("traces")), calls(sent.records("logs"))
        assert {call.key for call in spans} == {call.key for call in events}
        assert {call.span for call in spans}.isdisjoint({call.span for call in events})


def test_what_its_http_client_tells_is_not_read() -> None:
    """A span and a metric more for every call."""

    def http_only(line: str) -> str:
        return line.replace('"name":"qwen-code"', '"name":"new"')

    sent = Recording("qwen_code", "plain")
    assert "instrumentation-undici" in (sent.folder / "traces.jsonl").read_text()
    assert sent.records("metrics", change=http_only) == []


def test_thought_tokens_are_inside_the_output_but_for_google_s_own_interface() -> None:
    (call, _) = calls(Recording("qwen_code", "plain").records("traces"))
    assert (call.tokens.output, call.tokens.reasoning, call.operation) == (44, 11, "chat")
    (call, _) = calls(changed("plain", {"gen_ai.provider.name": {"stringValue": "gcp.gemini"}}, "traces"))
    assert (call.tokens.output, call.tokens.reasoning, call.operation) == (55, 11, "generate_content")
    (call, _) = calls(changed("plain", {"auth_type": {"stringValue": "vertex-ai"}}, "logs"))
    assert (call.tokens.output, call.provider) == (55, "gcp.vertex_ai")


def test_written_cache_tokens_are_inside_the_input() -> None:
    def written(line: str) -> str:
        told = '{"key":"gen_ai.usage.cache_creation.input_tokens","value":{"intValue":"100"}},'
        return line.replace('{"key":"gen_ai.usage.cache_read', f'{told}{{"key":"gen_ai.usage.cache_read')

    (call, _) = calls(Recording("qwen_code", "plain").records("traces", change=written))
    assert call.tokens == Tokens(input=7100 - 2049 - 100, cache_read=2049, cache_write=100, output=44, reasoning=11)


@pytest.mark.parametrize("signal", ["logs", "traces", "metrics"])
def test_a_failed_call_is_one(signal: str, tmp_path: Path) -> None:
    with Figures(tmp_path, Recording("qwen_code", "refused").records(signal)) as figures:
        assert figures.requests(outcome="error", error_type="BadRequestError") == figures.requests() == 1


def test_without_spans_a_failed_call_is_known_by_what_it_says() -> None:
    def no_trace(line: str) -> str:
        return re.sub(r'"(traceId|spanId)":"[0-9a-f]*",?', "", line).replace(",}", "}")

    first, again = (calls(Recording("qwen_code", "refused").records("logs", change=no_trace)) for _ in range(2))
    assert [call.key for call in first] == [call.key for call in again]
    assert {len(call.key) for call in first} == {16}


@pytest.mark.parametrize(
    ("status", "error", "expected"),
    [
        ("ok", "", ("ok", "completed")),
        ("cancelled", "", ("cancelled", "cancelled")),
        ("error", "unexpected_exit", ("error", "unexpected_exit")),
        ("error", "RequestTimeout", ("timeout", "timeout")),
    ],
)
def test_a_turn_ends_as_it_says(status: str, error: str, expected: tuple[str, str]) -> None:
    values = {"qwen-code.turn_status": {"stringValue": status}, "error.type": {"stringValue": error}}
    (run,) = [record for record in changed("refused", values, "traces") if isinstance(record, AgentRun)]
    assert (run.agent, run.outcome, run.exit_reason) == ("qwen-code", *expected)


def test_a_sub_agent_in_the_background_is_a_task_of_its_own(tmp_path: Path) -> None:
    """It has a trace of its own, linked to the tool that started it."""
    sent = Recording("qwen_code", "sub_agent")
    with Figures(tmp_path, sent.records("logs"), sent.records("traces")) as figures:
        assert figures.counted(agents.TASKS) == {
            ("qwen-code", "ok", "completed"): 2,
            ("qwen-code/general-purpose", "ok", "completed"): 1,
        }
        assert figures.counted(agents.TASK_LLM_CALLS) == {("qwen-code",): 2, ("qwen-code/general-purpose",): 1}
        assert figures.counted(agents.TOOL_CALLS) == {
            ("qwen-code", "agent", "ok"): 1,
            ("qwen-code", "run_shell_command", "ok"): 1,
        }


def test_tools_have_the_digest_of_their_arguments() -> None:
    tools = [record for record in Recording("qwen_code", "sub_agent").records("logs") if isinstance(record, ToolCall)]
    assert [(tool.tool, len(tool.arguments)) for tool in tools] == [("agent", 8), ("run_shell_command", 8)]
    assert "echo" not in repr(tools)


def test_two_processes_with_one_identity_are_told_apart_by_their_start(tmp_path: Path) -> None:
    """Neither points nor resource name a session, a host or a process, and every process begins at zero."""

    def later(line: str) -> str:
        return re.sub(r'"(\d{19})"', lambda found: f'"{int(found[1]) + 90 * SECOND}"', line)

    sent = Recording("qwen_code", "plain")
    first, second = sent.records("metrics"), sent.records("metrics", change=later)
    with Figures(tmp_path, first, second, first, second) as figures:
        expected = {model: Tokens(*(2 * count for count in tokens)) for model, tokens in sent.truth().items()}
        assert figures.tokens() == expected
        assert figures.requests() == 2 * sent.calls()
