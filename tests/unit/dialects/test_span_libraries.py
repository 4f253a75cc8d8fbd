"""Libraries that send spans: whoever tells the scripted calls, the records are the same."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import ExportLogsServiceRequest
from opentelemetry.proto.collector.metrics.v1.metrics_service_pb2 import ExportMetricsServiceRequest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects import translate_logs, translate_metrics, translate_traces
from fleetwatch.dialects.litellm import READ as LITELLM
from fleetwatch.dialects.openinference import READ as OPENINFERENCE
from fleetwatch.dialects.openlit import READ as OPENLIT
from fleetwatch.dialects.openllmetry import READ as OPENLLMETRY
from fleetwatch.dialects.pydantic_ai import READ as PYDANTIC_AI
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.usage import Usage
from fleetwatch.records.agents import AgentRun, ToolCall
from fleetwatch.records.llm import LlmCall, UsagePoint
from support_genai import VALUES, captured, lines
from support_ledger import BOOK, requests_and_cost
from support_libraries import (
    CALLS,
    FILES,
    KEYS_NOT_TOLD,
    TOLD_OTHERWISE,
    TURNS,
    TURNS_TOLD_OTHERWISE,
    expected,
    told,
    translated,
)
from support_otlp import NOW, SECOND, key_values, span, traces_of

SPANS = [name for name in FILES if not name.endswith("logs")]


def calls_of(name: str) -> list[LlmCall]:
    """The calls of a fixture in the order in which they began."""
    found = [record for record in translated(name).records if isinstance(record, LlmCall)]
    return sorted(found, key=lambda call: call.at - (call.duration or 0))


@pytest.mark.parametrize("name", FILES)
def test_records(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"dialects/{name}.txt", lines(translated(name)))


@pytest.mark.parametrize("name", TOLD_OTHERWISE)
def test_the_four_calls_are_the_same_whoever_tells_them(name: str) -> None:
    calls = [call for call in calls_of(name) if not call.model.startswith("gpt-4.1")]
    assert [told(call) for call in calls] == list(expected(CALLS, TOLD_OTHERWISE[name]))
    assert {(call.provider, call.operation) for call in calls} == {("openai", "chat")}


@pytest.mark.parametrize("name", TURNS_TOLD_OTHERWISE)
def test_the_agent_s_work_is_the_same_whoever_tells_it(name: str) -> None:
    records = translated(name).records
    turns = [call for call in calls_of(name) if call.model.startswith("gpt-4.1")]
    assert [told(call) for call in turns] == list(expected(TURNS, TURNS_TOLD_OTHERWISE[name]))
    runs = {(run.agent, run.outcome, run.exit_reason) for run in records if isinstance(run, AgentRun)}
    assert ("weather", "ok", "completed") in runs
    (tool,) = (record for record in records if isinstance(record, ToolCall))
    assert (tool.tool, tool.outcome) == ("get_weather", "ok")


def test_every_fixture_is_compared() -> None:
    assert {*TOLD_OTHERWISE, *TURNS_TOLD_OTHERWISE} == set(SPANS)


@pytest.mark.parametrize("call", [name for name in CALLS if name != "refused"])
def test_all_sightings_of_a_response_have_one_key(call: str) -> None:
    place = list(CALLS).index(call)
    keys = {
        calls_of(name)[place].key
        for name in TOLD_OTHERWISE
        if (name, call) not in KEYS_NOT_TOLD and not name.startswith("pydantic_ai/0")
    }
    assert len(keys) == 1


def test_arguments_and_results_are_the_same_in_every_vocabulary() -> None:
    """Frameworks write messages with ids around them; OpenInference's LangChain tells the argument alone."""
    tools = {
        name: record
        for name in TURNS_TOLD_OTHERWISE
        for record in translated(name).records
        if isinstance(record, ToolCall)
    }
    alone = tools.pop("openinference/langchain-spans")
    assert alone.arguments not in {tool.arguments for tool in tools.values()} | {b""}
    assert len({tool.arguments for tool in tools.values()}) == 1
    assert len({tool.result for tool in [*tools.values(), alone]}) == 1
    assert len({tool.call_id for tool in [*tools.values(), alone]} - {b""}) == 1


@pytest.mark.parametrize("name", [name for name in SPANS if name.startswith("litellm/proxy")])
def test_what_a_proxy_saw_is_known_as_such(name: str) -> None:
    assert {call.point for call in calls_of(name)} == {"proxy"}
    assert {call.point for call in calls_of("litellm/spans")} == {""}


@pytest.mark.parametrize("name", ["litellm/spans", "litellm/proxy-spans", "pydantic_ai/spans"])
def test_costs_that_a_library_tells_are_kept(name: str) -> None:
    """Nano-USD; list prices per token of fresh input, cached input and output."""
    plain, streamed, refused, again = calls_of(name)[:4]
    assert plain.reported_cost == 86 * 2_500 + 1_920 * 1_250 + 300 * 10_000
    assert streamed.reported_cost == 476 * 1_100 + 1_024 * 275 + 700 * 4_400
    assert again.reported_cost == 100 * 150 + 20 * 600
    assert not refused.reported_cost


def test_a_cost_of_nothing_is_no_cost() -> None:
    assert {call.reported_cost for call in calls_of("openlit/spans")} == {None}
    spans = captured("openlit/spans", ExportTraceServiceRequest).resource_spans[0].scope_spans[0].spans
    costs = [item.value.int_value for one in spans for item in one.attributes if item.key == "gen_ai.usage.cost"]
    assert costs == [0, 0, 0]


def test_events_that_repeat_spans_leave_nothing() -> None:
    request = captured("openlit/logs", ExportLogsServiceRequest)
    records = request.resource_logs[0].scope_logs[0].log_records
    assert len(records) == 3
    evaluation = records.add(time_unix_nano=NOW, event_name="gen_ai.evaluation.result", trace_id=b"t" * 16)
    evaluation.attributes.extend(
        key_values({"gen_ai.evaluation.name": "toxicity", "gen_ai.evaluation.score.value": 0.1})
    )
    (found,) = translate_logs(request, NOW).records
    assert type(found).__name__ == "Evaluation"


@pytest.mark.parametrize("library", ["openllmetry", "openlit", "pydantic_ai", "litellm"])
def test_metrics_of_calls_whose_spans_come_too_are_not_billed_again(library: str, tmp_path: Path) -> None:
    """Spans and metrics of one process, both through the ledger."""
    spans = translated(f"{library}/spans").records
    calls = [record for record in spans if isinstance(record, LlmCall)]
    points = translate_metrics(captured(f"{library}/metrics", ExportMetricsServiceRequest), NOW).records
    assert points
    assert all(isinstance(point, UsagePoint) for point in points)
    alone, _ = _billed(tmp_path / "spans.db", spans)
    both, duplicates = _billed(tmp_path / "both.db", points, spans)
    assert both == alone
    assert alone[0] == len(calls)
    assert duplicates == {"metrics_of_spans": sum(call.outcome == "ok" for call in calls)}


def _billed(path: Path, *groups: Sequence[Any]) -> tuple[tuple[int, int], dict[str, int]]:
    """Requests and cost, and duplicates by reason, once nothing waits any more."""
    now = [NOW]
    with closing(Ledger(path, BOOK, usage=Usage(grace=15), clock=lambda: now[0])) as ledger:
        for group in groups:
            ledger.commit(group)
        now[0] += 60 * SECOND
        ledger.settle()
        return requests_and_cost(ledger), ledger.duplicates()


@pytest.mark.parametrize("proxy", ["litellm/proxy-spans", "litellm/proxy-2-spans"])
@pytest.mark.parametrize("first", ["caller", "proxy"])
def test_what_a_caller_and_its_proxy_tell_is_billed_once(proxy: str, first: str, tmp_path: Path) -> None:
    """By the caller's word, whichever comes first. The refusal has no response id, and the traces are not connected."""
    request = captured(proxy, ExportTraceServiceRequest)
    for one in request.resource_spans[0].scope_spans[0].spans:
        # One request to the proxy, one trace. In the fixture all are in one, of a caller that is not known.
        one.trace_id = 2 * (one.span_id if one.kind == Span.SPAN_KIND_SERVER else one.parent_span_id)
    caller, gateway = translated("openinference/spans").records, translate_traces(request, NOW).records
    alone, _ = _billed(tmp_path / "alone.db", caller)
    both, duplicates = _billed(tmp_path / "both.db", *([caller, gateway] if first == "caller" else [gateway, caller]))
    assert both == (alone[0] + 1, alone[1])
    assert duplicates == {"proxy": 3}


UNKNOWN = {
    # scope: a version that was tried, others
    "opentelemetry.instrumentation.openai.v1": ("0.62.4", "0.39.0", "0.63.0", "1.0.0"),
    "openinference.instrumentation.openai": ("0.1.66", "0.2.0", "1.0.0"),
    "openinference.instrumentation.openai_agents": ("2.6.0", "3.0.0"),
    "pydantic-ai": ("2.68.0", "0.3.9", "3.0.0"),
    "logfire.openai": ("5.2.0", "4.9.0", "6.0.0"),
    "litellm": ("1.106.2", "0.9.0", "2.0.0"),
}
OWNER = {"opentelemetry": "openllmetry", "openinference": "openinference", "pydantic-ai": "pydantic_ai"} | {
    "logfire": "pydantic_ai",
    "litellm": "litellm",
}


@pytest.mark.parametrize("scope", UNKNOWN)
def test_unknown_versions_are_counted_and_read_all_the_same(scope: str) -> None:
    tried, *others = UNKNOWN[scope]
    ours = {"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o"}
    attributes = ours if scope.startswith("openinference") else {"gen_ai.operation.name": "chat"}

    def read(version: str) -> tuple[int, dict[str, int]]:
        return _versions(attributes, scope, version)

    assert read(tried) == read("") == read("main") == (1, {})
    for version in others:
        assert read(version) == (1, {OWNER[scope.partition(".")[0]]: 1})


def test_the_version_of_an_application_s_own_tracer_says_nothing() -> None:
    assert _versions({"openinference.span.kind": "LLM", "llm.model_name": "gpt-4o"}, "an application", "9.0") == (1, {})


def _versions(attributes: dict[str, str], scope: str, version: str) -> tuple[int, dict[str, int]]:
    """Records of one span, and items of unknown versions."""
    request = traces_of([span(attributes)])
    sent = request.resource_spans[0].scope_spans[0].scope
    sent.name, sent.version = scope, version
    found = translate_traces(request, NOW)
    return len(found.records), found.unknown_versions


@pytest.mark.parametrize("name", SPANS)
def test_unknown_attributes_are_ignored(name: str) -> None:
    request = captured(name, ExportTraceServiceRequest)
    for group in request.resource_spans:
        for scope in group.scope_spans:
            for one in scope.spans:
                one.attributes.extend(key_values({"llm.token_count.moon": 5, "llm.new": "x", "traceloop.new": [1]}))
                if any(item.key.startswith("gen_ai.") for item in one.attributes):
                    one.attributes.extend(key_values({"gen_ai.usage.moon_tokens": 5}))
                one.events.add(name="something new", time_unix_nano=one.end_time_unix_nano)
    assert translate_traces(request, NOW) == translated(name)


NAMES = [*OPENLLMETRY, *OPENINFERENCE, *OPENLIT, *PYDANTIC_AI, *LITELLM]
NAMES += ["gen_ai.operation.name", "gen_ai.request.model", "gen_ai.tool.call.arguments", "gen_ai.tool.call.result"]
TEXTS = ["LLM", "TOOL", "AGENT", "agent", "tool", "workflow", "log", "chat", "execute_tool", "acompletion"]
TEXTS += ['{"output": {"kwargs": {"content": "\\ud800", "tool_call_id": "\\udc00", "status": 1}}}', '{"id": "\\ud800"}']
TEXTS += ["{'prompt_tokens_details': {'cached_tokens': -1}}", "(" * 4000, "{[]: 1}", "9" * 4000, "[" * 5000]
TEXTS += [f'{{"input_str": {"[" * deep}{"]" * deep}}}' for deep in (800, 900, 950)]
TEXTS += ['{"prompt_tokens_details": {"cached_tokens": 1e400}}', '{"id": 5}', '{"cache_read_input_tokens": true}']
ALIVE = span({"gen_ai.operation.name": "chat", "gen_ai.response.id": "a-response-of-a-test"}, span_id=b"z" * 8)


@given(
    st.sampled_from([*UNKNOWN, "openlit.x", "traceloop.tracer", "of a user"]),
    st.dictionaries(st.sampled_from(NAMES), VALUES | st.sampled_from(TEXTS), max_size=8),
)
def test_no_attributes_break_a_request(scope: str, attributes: dict[str, object]) -> None:
    request = traces_of([span(attributes), ALIVE])
    request.resource_spans[0].scope_spans[0].scope.name = scope
    assert ALIVE.span_id in {
        record.span[16:] for record in translate_traces(request, NOW).records if isinstance(record, LlmCall)
    }
