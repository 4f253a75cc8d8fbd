"""The calls that are spread over a trace."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.demo import trace
from fleetwatch.demo.calls import MODELS, spread, truth

ROWS = trace.read()


def test_the_bundled_trace_is_whole() -> None:
    assert len(ROWS) == 8819
    assert ROWS[0].at == 0
    assert 3400 < ROWS[-1].at < 3500


def test_the_same_seed_and_run_give_the_same_calls() -> None:
    assert list(spread(ROWS, 1, "a")) == list(spread(ROWS, 1, "a"))


def test_another_run_changes_ids_and_nothing_else() -> None:
    one, two = list(spread(ROWS, 1, "a")), list(spread(ROWS, 1, "b"))
    assert not {call.seed for call in one} & {call.seed for call in two}
    assert [call._replace(seed=0) for call in one] == [call._replace(seed=0) for call in two]


def test_ids_are_unique_in_a_run() -> None:
    assert len({call.seed for call in spread(ROWS, 1, "a")}) == len(ROWS)


def test_the_demo_shows_every_case_that_a_bill_can_have() -> None:
    calls = list(spread(ROWS, 1, "a"))
    assert {call.outcome for call in calls} == {"ok", "error", "timeout", "refused"}
    assert {call.service_tier for call in calls} == {"", "default", "flex", "priority"}
    assert {call.model for call in calls} == set(MODELS)
    for what in ("cache_read", "cache_write", "reasoning", "first_token"):
        assert sum(bool(getattr(call, what)) for call in calls) > 100, what


def test_parts_never_exceed_their_whole() -> None:
    for call in spread(ROWS, 1, "a"):
        assert call.cache_read + call.cache_write <= call.input
        assert call.reasoning <= call.output


def test_the_truth_adds_up_to_the_calls() -> None:
    calls = list(spread(ROWS[:500], 1, "a"))
    told = truth(calls, "a")
    requests, tokens = told["requests"], told["tokens"]
    assert isinstance(requests, list)
    assert isinstance(tokens, list)
    assert sum(row["value"] for row in requests) == 500
    assert sum(row["value"] for row in tokens) == sum(call.input + call.output for call in calls)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "expected the columns"),
        ("TIMESTAMP,ContextTokens\n", "GeneratedTokens is missing"),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n", "expected at least one call"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,many,1\n",
            ":2: expected a time and two",
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,1\n", ":2: expected a time and two"),
        (
            "TIMESTAMP,ContextTokens,GeneratedTokens\n2023-11-16 18:17:03.9799600,-1,1\n",
            ":2: expected numbers of tokens",
        ),
        ("TIMESTAMP,ContextTokens,GeneratedTokens\nsoon,1,1\n", ":2: expected a time and two"),
    ],
)
def test_a_wrong_trace_is_named_with_its_line(tmp_path: Path, text: str, complaint: str) -> None:
    file = tmp_path / "trace.csv"
    file.write_text(text)
    with pytest.raises(trace.TraceError, match=complaint) as error:
        trace.read(file)
    assert str(file) in str(error.value)


def test_a_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(trace.TraceError, match="cannot be read"):
        trace.read(tmp_path / "none.csv")
