"""Evaluations in spans and log records, and calls that log records tell."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.logs.v1.logs_pb2 import LogRecord
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.dialects.otel_events import DETAILS
from fleetwatch.records.agents import AgentRun, Evaluation
from fleetwatch.records.llm import LlmCall, Tokens
from support_genai import CHAT, USED, VALUES, call, only, read, read_events
from support_otlp import NOW, SECOND, key_values, span

RELEVANT = {
    "gen_ai.evaluation.name": "Relevance",
    "gen_ai.evaluation.score.value": 0.75,
    "gen_ai.evaluation.score.label": "Pass",
    "gen_ai.evaluation.explanation": "It answers what Jane asked.",
}
ANSWERED = CHAT | USED | {"gen_ai.response.id": "chatcmpl-0123456789abcdef"}
SAMPLED, PLACED = 1, {"trace_id": b"t" * 16, "span_id": b"s" * 8}


def judged(attributes: dict[str, Any], at: int = NOW) -> Span.Event:
    return Span.Event(name="gen_ai.evaluation.result", time_unix_nano=at, attributes=key_values(attributes))


def event(name: str, attributes: dict[str, Any], **fields: Any) -> LogRecord:
    values: dict[str, Any] = {"event_name": name, "time_unix_nano": NOW} | fields
    return LogRecord(**values, attributes=key_values(attributes))


def evaluation(attributes: dict[str, Any], **fields: Any) -> Evaluation:
    """The one evaluation of a log record."""
    return only(Evaluation, read_events(event("gen_ai.evaluation.result", attributes, **fields)).records)


def test_an_evaluation_of_a_call_has_the_call_s_model_and_agent() -> None:
    found = read(span(CHAT | USED | {"gen_ai.agent.name": "planner"}, events=[judged(RELEVANT)]))
    counted, result = found.records
    assert isinstance(counted, LlmCall)
    assert isinstance(result, Evaluation)
    assert result[1:] == (NOW, "planner", "support", "openai", "gpt-4o", "Relevance", 0.75, "pass")


def test_an_evaluation_of_an_agent_s_run() -> None:
    sent = {"gen_ai.operation.name": "invoke_agent", "gen_ai.agent.name": "planner"}
    kinds = {type(record): record for record in read(span(sent, events=[judged(RELEVANT)])).records}
    assert kinds.keys() == {AgentRun, Evaluation}
    assert kinds[Evaluation][1:] == (NOW, "planner", "support", "unknown", "unknown", "Relevance", 0.75, "pass")


def test_an_evaluation_inside_any_span_counts() -> None:
    records = read(span({"http.route": "/"}, events=[judged(RELEVANT)])).records
    assert [type(record) for record in records if isinstance(record, Evaluation)] == [Evaluation]


def test_an_evaluation_as_a_log_record_tells_itself_whom_it_judges() -> None:
    own = {"gen_ai.agent.name": "planner", "gen_ai.provider.name": "az.ai.openai", "gen_ai.response.model": "gpt-4o"}
    assert evaluation(RELEVANT | own | {"team": "search"})[1:] == (
        NOW, "planner", "search", "azure.ai.openai", "gpt-4o", "Relevance", 0.75, "pass"
    )  # fmt: skip
    assert evaluation(RELEVANT)[2:6] == ("triage", "support", "unknown", "unknown")


def test_the_name_of_an_event_may_be_an_attribute() -> None:
    """As SDKs sent it before log records had names."""
    assert evaluation(RELEVANT | {"event.name": "gen_ai.evaluation.result"}, event_name="").name == "Relevance"


def test_one_result_has_one_key_however_it_is_sent() -> None:
    """Again, or bridged from a log record to an event of its span."""
    as_log = evaluation(RELEVANT, **PLACED)
    assert evaluation(RELEVANT, **PLACED).key == as_log.key
    in_span = read(span(CHAT, events=[judged(RELEVANT)])).records[1]
    assert isinstance(in_span, Evaluation)
    assert in_span.key == as_log.key
    assert len(as_log.key) == 24


@pytest.mark.parametrize(
    "other",
    [
        {"attributes": RELEVANT | {"gen_ai.evaluation.name": "Fluency"}},
        {"attributes": RELEVANT | {"gen_ai.evaluation.score.value": 0.5}},
        {"attributes": RELEVANT | {"gen_ai.evaluation.score.label": "fail"}},
        {"attributes": RELEVANT | {"gen_ai.response.id": "chatcmpl-2"}},
        {"attributes": RELEVANT, "time_unix_nano": NOW - 1},
        {"attributes": RELEVANT, "trace_id": b"x" * 16},
    ],
)
def test_other_results_have_other_keys(other: dict[str, Any]) -> None:
    assert evaluation(**(PLACED | other)).key != evaluation(RELEVANT, **PLACED).key


@pytest.mark.parametrize(
    ("sent", "score", "verdict"),
    [
        ({"gen_ai.evaluation.score.value": 4}, 4.0, ""),
        ({"gen_ai.evaluation.score.label": "relevant"}, None, "relevant"),
        ({"gen_ai.evaluation.score.value": float("nan"), "gen_ai.evaluation.score.label": "x"}, None, "x"),
        ({"gen_ai.evaluation.score.label": "a\nb" + "y" * 100}, None, "a\ufffdb" + "y" * 37),
    ],
)
def test_what_an_evaluator_gave(sent: dict[str, Any], score: float | None, verdict: str) -> None:
    found = evaluation(sent)
    assert (found.score, found.verdict, found.name) == (score, verdict, "unknown")


@pytest.mark.parametrize("sent", [{}, {"error.type": "timeout"}, {"gen_ai.evaluation.score.value": float("inf")}])
def test_an_evaluator_that_failed_gave_nothing(sent: dict[str, Any]) -> None:
    assert read_events(event("gen_ai.evaluation.result", {"gen_ai.evaluation.name": "Relevance"} | sent)).records == []


def test_an_impossible_time_is_refused() -> None:
    assert read_events(event("gen_ai.evaluation.result", RELEVANT, time_unix_nano=5)).rejected == {"bad_time": 1}
    assert read_events(event(DETAILS, ANSWERED, time_unix_nano=5)).rejected == {"bad_time": 1}
    late = read_events(event("gen_ai.evaluation.result", RELEVANT, time_unix_nano=NOW + 700 * SECOND))
    assert (late.rejected, late.skew) == ({"bad_time": 1}, 700 * SECOND)


def test_an_event_without_a_span_is_a_call() -> None:
    found = only(LlmCall, read_events(event(DETAILS, ANSWERED, observed_time_unix_nano=NOW, time_unix_nano=0)).records)
    as_span = call(ANSWERED)
    assert found == as_span._replace(span=bytes(24), duration=None)
    assert found.point == ""


def test_an_event_in_a_trace_that_is_not_sent_is_a_call() -> None:
    found = only(LlmCall, read_events(event(DETAILS, ANSWERED, **PLACED)).records)
    assert (found.span, found.parent, found.point) == (b"t" * 16 + b"s" * 8, b"", "")


def test_an_event_in_a_span_that_is_sent_gives_way_to_it() -> None:
    found = only(LlmCall, read_events(event(DETAILS, ANSWERED, flags=SAMPLED, **PLACED)).records)
    as_span = call(ANSWERED)
    assert (found.key, found.point, found.parent) == (as_span.key, "echo", b"s" * 8)
    assert found.span[:16] == b"t" * 16
    assert found.span != as_span.span


def test_two_events_in_one_span_are_two_calls() -> None:
    other = ANSWERED | {"gen_ai.response.id": "chatcmpl-fedcba9876543210"}
    found = read_events(*(event(DETAILS, sent, flags=SAMPLED, **PLACED) for sent in (ANSWERED, other))).records
    assert len({record.span for record in found if isinstance(record, LlmCall)}) == 2


def test_the_time_to_the_first_token_is_known_without_a_duration() -> None:
    sent = ANSWERED | {"gen_ai.response.time_to_first_chunk": 0.25}
    found = only(LlmCall, read_events(event(DETAILS, sent)).records)
    assert (found.first_token, found.duration) == (SECOND // 4, None)


@pytest.mark.parametrize(
    "sent",
    [
        CHAT | USED,
        CHAT | {"gen_ai.response.id": "chatcmpl-0123456789abcdef"},
        CHAT | {"error.type": "openai.RateLimitError"},
        ANSWERED | {"gen_ai.operation.name": "invoke_agent"},
        {},
    ],
)
def test_an_event_that_cannot_be_counted_once_leaves_nothing(sent: dict[str, Any]) -> None:
    """Without the id of the answer or without tokens; and an agent's."""
    found = read_events(event(DETAILS, sent), event(DETAILS, sent, flags=SAMPLED, **PLACED))
    assert (found.records, found.rejected) == ([], {})


def test_a_bad_count_in_an_event_is_refused() -> None:
    assert read_events(event(DETAILS, ANSWERED | {"gen_ai.usage.input_tokens": -1})).rejected == {"bad_tokens": 1}


@pytest.mark.parametrize("name", ["gen_ai.choice", "gen_ai.user.message", "", "exception"])
def test_other_events_leave_nothing(name: str) -> None:
    assert read_events(event(name, ANSWERED | RELEVANT)).records == []


KEYS = st.sampled_from([*RELEVANT, *ANSWERED, "event.name", "team", "gen_ai.agent.name", "error.type"])


@given(
    st.sampled_from([DETAILS, "gen_ai.evaluation.result", "", "other"]),
    st.dictionaries(KEYS, VALUES),
    st.integers(0, 2**64 - 1),
    st.integers(0, 2**32 - 1),
    st.binary(max_size=17),
    st.binary(max_size=9),
)
def test_any_event_becomes_a_good_record_a_refusal_or_nothing(  # noqa: PLR0917 - what hypothesis makes
    name: str, soup: dict[str, Any], at: int, flags: int, trace: bytes, span_id: bytes
) -> None:
    fields = {"time_unix_nano": at, "flags": flags, "trace_id": trace, "span_id": span_id}
    found = read_events(event(name, soup, **fields), event(name, soup))
    assert len(found.records) + sum(found.rejected.values()) <= 2
    for record in found.records:
        assert isinstance(record, LlmCall | Evaluation)
        assert not isinstance(record, LlmCall) or (len(record.span) == 24 and record.tokens != Tokens())
