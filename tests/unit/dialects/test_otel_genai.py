from __future__ import annotations

from hashlib import blake2b
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.proto.trace.v1.trace_pb2 import Span, Status

from fleetwatch.dialects import translate_traces
from fleetwatch.records.llm import LlmCall, Tokens
from support_genai import CHAT, USED, VALUES, call, read
from support_otlp import NOW, SECOND, any_value, fixture, key_values, span, traces_of


def test_a_call_of_the_newest_generation_is_read_whole() -> None:
    response_id = "chatcmpl-0123456789abcdef"
    attributes = {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "openai",
        "gen_ai.request.model": "gpt-4o",
        "gen_ai.response.model": "gpt-4o-2024-08-06",
        "gen_ai.response.id": response_id,
        "gen_ai.response.finish_reasons": ["stop"],
        "gen_ai.usage.input_tokens": 2006,
        "gen_ai.usage.output_tokens": 300,
        "gen_ai.usage.cache_read.input_tokens": 1920,
        "gen_ai.usage.cache_write.input_tokens": 6,
        "gen_ai.usage.reasoning.output_tokens": 128,
        "gen_ai.response.time_to_first_chunk": 0.35,
        "gen_ai.agent.name": "planner",
        "openai.response.service_tier": "flex",
        "gen_ai.request.temperature": 0.7,
        "server.address": "api.openai.com",
        "server.port": 443,
    }
    assert call(attributes, parent_span_id=b"p" * 8) == LlmCall(
        key=blake2b(response_id.encode(), digest_size=16).digest(),
        span=b"t" * 16 + b"s" * 8,
        at=NOW,
        agent="planner",
        team="support",
        provider="openai",
        model="gpt-4o-2024-08-06",
        operation="chat",
        outcome="ok",
        error_type="",
        tokens=Tokens(input=80, cache_read=1920, cache_write=6, output=172, reasoning=128),
        duration=2 * SECOND,
        first_token=350_000_000,
        service_tier="flex",
        service="support\x1ftriage\x1fpod-1",
        asked="gpt-4o",
        parent=b"p" * 8,
        temperature=0.7,
    )


NEWEST = CHAT | USED | {"gen_ai.usage.cache_write.input_tokens": 40, "openai.request.service_tier": "priority"}


@pytest.mark.parametrize(
    "older",
    [
        pytest.param({"gen_ai.provider.name": "gen_ai.system"}, id="system, to 1.36"),
        pytest.param(
            {
                "gen_ai.provider.name": "gen_ai.system",
                "gen_ai.usage.input_tokens": "gen_ai.usage.prompt_tokens",
                "gen_ai.usage.output_tokens": "gen_ai.usage.completion_tokens",
                "openai.request.service_tier": "gen_ai.openai.request.service_tier",
            },
            id="prompt and completion tokens, to 1.26",
        ),
        pytest.param(
            {"gen_ai.usage.cache_write.input_tokens": "gen_ai.usage.cache_creation.input_tokens"},
            id="cache creation, to 1.41",
        ),
    ],
)
def test_each_generation_gives_the_same_record(older: dict[str, str]) -> None:
    attributes = {older.get(name, name): value for name, value in NEWEST.items()}
    assert attributes != NEWEST
    assert call(attributes) == call(NEWEST)


@pytest.mark.parametrize("order", [1, -1])
def test_the_newest_name_wins_over_an_older_one(order: int) -> None:
    both = {**CHAT, **USED, "gen_ai.system": "az.ai.openai", "gen_ai.usage.prompt_tokens": 7}
    assert call(dict(list(both.items())[::order])) == call(CHAT | USED)


@pytest.mark.parametrize(
    "operation",
    [
        "invoke_agent",
        "invoke_workflow",
        "create_agent",
        "execute_tool",
        "plan",
        "retrieval",
        "fetch_response",
        "search_memory",
        "invoke_swarm",
        "execute_event_loop_cycle",
    ],
)
@pytest.mark.parametrize("tokens", [100, -1])
def test_a_wrapper_that_repeats_the_tokens_of_its_calls_is_no_call(operation: str, tokens: int) -> None:
    """Nor are its counts looked at."""
    sent = CHAT | USED | {"gen_ai.operation.name": operation, "gen_ai.usage.input_tokens": tokens}
    found = read(span(sent))
    assert found.rejected == {}
    assert not [record for record in found.records if isinstance(record, LlmCall)]


@pytest.mark.parametrize(
    ("sent", "operation"),
    [
        ({"gen_ai.operation.name": "chat"}, "chat"),
        ({"gen_ai.operation.name": "generate_content"}, "generate_content"),
        ({"gen_ai.operation.name": "text_completion"}, "text_completion"),
        ({"gen_ai.operation.name": "embeddings"}, "embeddings"),
        ({"gen_ai.operation.name": "transcribe"} | USED, "other"),
        ({"gen_ai.operation.name": "invoke_model"} | USED, "other"),
        ({"gen_ai.operation.name": "transcribe"}, None),
        ({"gen_ai.request.model": "gpt-4o"} | USED, "chat"),
        ({"gen_ai.response.model": "gpt-4o"} | USED, "chat"),
        ({"gen_ai.request.model": "gpt-4o"}, None),
        (USED, None),
        ({"http.request.method": "POST", "server.address": "api.openai.com"}, None),
    ],
)
def test_what_counts_as_a_call(sent: dict[str, Any], operation: str | None) -> None:
    found = read(span(sent))
    assert found.rejected == {}
    assert [record.operation for record in found.records if isinstance(record, LlmCall)] == [operation] * bool(
        operation
    )


@pytest.mark.parametrize(
    ("attributes", "status", "outcome", "error_type"),
    [
        ({}, 0, "ok", ""),
        ({}, 1, "ok", ""),
        ({"error.type": "openai.RateLimitError"}, 2, "error", "openai.RateLimitError"),
        ({"error.type": "500"}, 0, "error", "500"),
        ({"error.type": "retried"}, 1, "ok", ""),
        ({}, 2, "error", "_OTHER"),
        ({"error.type": "openai.APITimeoutError"}, 2, "timeout", "openai.APITimeoutError"),
        ({"error.type": "DEADLINE_EXCEEDED"}, 2, "timeout", "DEADLINE_EXCEEDED"),
        ({"error.type": "504"}, 2, "timeout", "504"),
        ({"error.type": "asyncio.exceptions.CancelledError"}, 2, "cancelled", "asyncio.exceptions.CancelledError"),
        ({"error.type": "499"}, 2, "cancelled", "499"),
        ({"error.type": "content_filter"}, 2, "refused", "content_filter"),
        ({"gen_ai.response.finish_reasons": ["content_filter"]}, 0, "refused", "content_filter"),
        ({"gen_ai.response.finish_reasons": ["SAFETY"]}, 0, "refused", "safety"),
        ({"gen_ai.response.finish_reasons": "refusal"}, 0, "refused", "refusal"),
        ({"gen_ai.response.finish_reasons": '["content_filter"]'}, 0, "refused", "content_filter"),
        ({"gen_ai.response.finish_reasons": '["stop'}, 0, "ok", ""),
        ({"gen_ai.response.finish_reasons": ["stop"]}, 0, "ok", ""),
        ({"gen_ai.response.finish_reasons": []}, 0, "ok", ""),
    ],
)
def test_how_a_call_ended(attributes: dict[str, Any], status: int, outcome: str, error_type: str) -> None:
    found = call(CHAT | attributes, status=Status(code=status))  # type: ignore[arg-type]  # an enum's number
    assert (found.outcome, found.error_type) == (outcome, error_type)


def test_a_failed_call_without_a_type_takes_that_of_its_exception() -> None:
    event = Span.Event(name="exception", attributes=key_values({"exception.type": "TimeoutError"}))
    found = call(CHAT, status=Status(code=Status.STATUS_CODE_ERROR), events=[event])
    assert (found.outcome, found.error_type) == ("timeout", "TimeoutError")


@pytest.mark.parametrize(
    ("sent", "tier", "batch"),
    [
        ({"openai.request.service_tier": "auto", "openai.response.service_tier": "default"}, "default", False),
        ({"openai.request.service_tier": "auto"}, "", False),
        ({"gen_ai.openai.response.service_tier": "Priority"}, "priority", False),
        ({"gen_ai.openai.request.service_tier": "flex"}, "flex", False),
        ({"gen_ai.response.service_tier": "batch"}, "batch", True),
    ],
)
def test_the_service_tier_that_answered_wins(sent: dict[str, str], tier: str, batch: bool) -> None:
    found = call(CHAT | sent)
    assert (found.service_tier, found.batch) == (tier, batch)


@pytest.mark.parametrize(
    ("name", "field"),
    [
        ("team", "team"),
        ("team.id", "team"),
        ("team.name", "team"),
        ("aws.region", "region"),
        ("cloud.region", "region"),
    ],
)
def test_a_span_s_own_team_and_region_win_over_its_resource_s(name: str, field: str) -> None:
    (record,) = read(span(CHAT | {name: "own"}), **{"team": "theirs", "cloud.region": "theirs"}).records
    assert isinstance(record, LlmCall)
    assert getattr(record, field) == "own"


def test_a_long_response_id_is_one_call_wherever_it_is_seen() -> None:
    seen = CHAT | {"gen_ai.response.id": "chatcmpl-0123456789"}
    other = {"gen_ai.operation.name": "chat", "gen_ai.system": "azure", "gen_ai.response.id": "chatcmpl-0123456789"}
    assert call(seen).key == call(other | USED, trace_id=b"x" * 16).key


def test_a_short_response_id_is_one_call_only_within_its_trace_and_usage() -> None:
    short = CHAT | USED | {"gen_ai.response.id": "chatcmpl-1"}
    key = call(short).key
    assert len(key) == 16
    assert call(short | {"gen_ai.system": "other"}, span_id=b"12345678").key == key
    assert call(short, trace_id=b"x" * 16).key != key
    assert call(short | {"gen_ai.usage.output_tokens": 11}).key != key
    assert call(short | {"gen_ai.response.model": "other"}).key != key


@pytest.mark.parametrize(
    "ids", [{"trace_id": b""}, {"span_id": bytes(8)}, {"trace_id": bytes(16)}, {"span_id": b"short"}]
)
def test_a_span_without_ids_counts_only_with_a_response_id(ids: dict[str, bytes]) -> None:
    assert read(span(CHAT, **ids)).rejected == {"no_id": 1}
    found = call(CHAT | {"gen_ai.response.id": "chatcmpl-0123456789"}, **ids)
    assert (len(found.key), found.span) == (16, bytes(24))


def test_a_span_without_a_response_id_is_known_by_its_own_ids() -> None:
    assert call(CHAT).key == b"t" * 16 + b"s" * 8


@pytest.mark.parametrize("parent", [b"", bytes(8), b"short", b"s" * 8])
def test_a_root_has_no_parent_and_nothing_is_its_own(parent: bytes) -> None:
    assert call(CHAT, parent_span_id=parent).parent == b""


def test_a_provider_that_is_a_framework_is_unknown() -> None:
    assert call(CHAT | {"gen_ai.provider.name": "strands-agents"}).provider == "unknown"


@pytest.mark.parametrize(
    "times",
    [
        {"end_time_unix_nano": NOW - 3 * SECOND},
        {"start_time_unix_nano": 0},
        {"end_time_unix_nano": 0},
        {"start_time_unix_nano": NOW // 1000, "end_time_unix_nano": NOW // 1000},
        {"end_time_unix_nano": NOW + 601 * SECOND},
        {"end_time_unix_nano": 2**64 - 1},
    ],
)
def test_an_impossible_time_is_refused(times: dict[str, int]) -> None:
    assert read(span(CHAT, **times), span(CHAT)).rejected == {"bad_time": 1}


def test_the_lead_of_a_sender_s_clock_is_told() -> None:
    found = read(span(CHAT, end_time_unix_nano=NOW + 90 * SECOND), span(CHAT, end_time_unix_nano=NOW + 30 * SECOND))
    assert (len(found.records), found.skew) == (2, 90 * SECOND)
    assert read(span(CHAT)).skew == 0


def test_a_hostile_name_comes_out_harmless_and_short() -> None:
    name = "a\nb\x00c\x1b[31m\x85\u202e<b>\u2028" + "x" * 300
    found = call(CHAT | {"gen_ai.agent.name": name, "gen_ai.request.model": "\n\t "})
    assert found.agent == "a\ufffdb\ufffdc\ufffd[31m\ufffd\ufffd<b>\ufffd" + "x" * 184
    assert found.model == "unknown"


def test_remembered_labels_do_not_leak_between_resources() -> None:
    request = traces_of([span(CHAT)])
    request.MergeFrom(traces_of([span(CHAT)], {"service.name": "billing"}))
    labels = [(r.agent, r.team) for r in translate_traces(request, NOW).records if isinstance(r, LlmCall)]
    assert labels == [("triage", "support"), ("billing", "unknown")]


def test_hostile_variety_does_not_grow_the_memory_of_labels(monkeypatch: pytest.MonkeyPatch) -> None:
    from fleetwatch.dialects import otel_genai

    monkeypatch.setattr(otel_genai, "_MOST_KNOWN", 10)
    known: dict[tuple[str | int, ...], Any] = {}
    monkeypatch.setattr(otel_genai, "_known", known)
    found = read(*(span(CHAT | {"gen_ai.agent.name": f"agent-{number}"}) for number in range(35)))
    assert [r.agent for r in found.records if isinstance(r, LlmCall)] == [f"agent-{number}" for number in range(35)]
    assert len(known) <= 10
    read(span(CHAT | {"gen_ai.agent.name": "x" * 5000}))
    assert all("x" * 5000 not in key for key in known)


KEYS = st.sampled_from(
    [
        *CHAT,
        *USED,
        "gen_ai.system",
        "gen_ai.usage.prompt_tokens",
        "gen_ai.usage.cost",
        "gen_ai.usage.cost.amount",
        "gen_ai.usage.cost.currency",
        "gen_ai.response.id",
        "gen_ai.response.finish_reasons",
        "gen_ai.response.time_to_first_chunk",
        "gen_ai.agent.name",
        "gen_ai.request.temperature",
        "gen_ai.server.time_to_first_token",
        "error.type",
        "server.address",
        "team",
    ]
)


@given(st.lists(st.dictionaries(KEYS, VALUES), max_size=5), st.integers(0, 2**64 - 1), st.integers(0, 2))
def test_any_attributes_become_a_good_record_a_refusal_or_nothing(many: list[Any], end: int, status: int) -> None:
    spans = [span(a, end_time_unix_nano=end, status=Status(code=status)) for a in many]  # type: ignore[arg-type]  # as above
    found = read(*spans, span(CHAT | USED))
    assert len(found.records) + sum(found.rejected.values()) <= len(many) + 1
    assert set(found.rejected) <= {"bad_tokens", "bad_time", "no_id"}
    calls = [record for record in found.records if isinstance(record, LlmCall)]
    for record in calls:
        assert min(record.tokens) >= 0
        assert record.temperature is None or 0 <= record.temperature <= 100
        for text in (record.agent, record.team, record.provider, record.model, record.error_type):
            assert len(text) <= 200
            assert text.isprintable() or all(c.isprintable() or c.isspace() for c in text)
    assert Tokens(input=100, output=10) in [record.tokens for record in calls]


def test_a_real_round_of_the_official_instrumentation() -> None:
    request = fixture("openai-genai-1.3b0-spans", ExportTraceServiceRequest)
    found = translate_traces(request, NOW)
    assert found.rejected == {}
    calls = [record for record in found.records if isinstance(record, LlmCall)]
    cached = Tokens(input=86, cache_read=1920, output=172, reasoning=128)
    assert [(c.operation, c.model, c.tokens, c.outcome, c.error_type, c.service_tier) for c in calls] == [
        ("chat", "gpt-4o-2024-08-06", cached, "ok", "", "default"),
        ("chat", "gpt-4o-2024-08-06", cached, "ok", "", "default"),
        ("embeddings", "text-embedding-3-small", Tokens(input=8), "ok", "", ""),
        ("chat", "gpt-limited", Tokens(), "error", "openai.RateLimitError", ""),
    ]
    assert {(c.agent, c.team, c.provider, c.service) for c in calls} == {
        ("triage", "support", "openai", "support\x1ftriage\x1fpod-1")
    }
    plain, streamed, *_ = calls
    assert plain.first_token is None
    assert streamed.first_token is not None
    assert streamed.duration is not None
    assert 0 < streamed.first_token <= streamed.duration
    assert len({c.key for c in calls}) == 4


def test_a_real_round_of_an_older_instrumentation() -> None:
    found = translate_traces(fixture("openai-v2-2.1b0-spans", ExportTraceServiceRequest), NOW)
    assert found.rejected == {}
    assert [(c.provider, c.tokens, c.outcome) for c in found.records if isinstance(c, LlmCall)] == [
        ("openai", Tokens(input=2006, output=300), "ok"),
        ("openai", Tokens(input=2006, output=300), "ok"),
        ("openai", Tokens(), "error"),
    ]


def test_the_fixtures_are_built_of_what_this_file_builds() -> None:
    """A list is a list in both: the helper's attribute and the SDK's."""
    request = fixture("openai-genai-1.3b0-spans", ExportTraceServiceRequest)
    values = {a.key: a.value for a in request.resource_spans[0].scope_spans[0].spans[0].attributes}
    assert values["gen_ai.response.finish_reasons"] == any_value(["stop"])
