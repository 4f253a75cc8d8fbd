"""Numbers of a call: tokens by kind, money, time to the first token, temperature."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from fleetwatch.records.llm import ECHO, LlmCall, Tokens
from support_coding_agents import Figures
from support_genai import CHAT, USED, call, read
from support_otlp import NOW, SECOND, span


@pytest.mark.parametrize(
    ("parts", "tokens"),
    [
        ({}, Tokens(input=100, output=10)),
        ({"cache_read.input_tokens": 60, "cache_write.input_tokens": 30}, Tokens(10, 60, 30, 10)),
        ({"reasoning.output_tokens": 4}, Tokens(input=100, output=6, reasoning=4)),
        ({"audio.input_tokens": 70, "audio.output_tokens": 8}, Tokens(input=30, output=2, audio_in=70, audio_out=8)),
        ({"image.input_tokens": 90}, Tokens(input=10, output=10, image=90)),
        (
            {"audio.input_tokens": 50, "cache_read.input_tokens": 40, "audio.cache_read.input_tokens": 30},
            Tokens(input=40, cache_read=40, audio_in=20, output=10),
        ),
        (
            {"image.input_tokens": 50, "cache_read.input_tokens": 40, "image.cache_read.input_tokens": 40},
            Tokens(input=50, cache_read=40, image=10, output=10),
        ),
        (
            {"cache_creation.input_tokens": 30, "cache_creation.ephemeral_1h_input_tokens": 20},
            Tokens(input=70, cache_write=30, output=10, cache_write_long=20),
        ),
        ({"text.input_tokens": 100, "text.output_tokens": 10}, Tokens(input=100, output=10)),
        # Parts that exceed their whole are believed.
        ({"cache_read.input_tokens": 500}, Tokens(cache_read=500, output=10)),
        ({"reasoning.output_tokens": 15}, Tokens(input=100, reasoning=15)),
    ],
)
def test_parts_are_taken_out_of_their_whole(parts: dict[str, int], tokens: Tokens) -> None:
    assert call(CHAT | USED | {f"gen_ai.usage.{name}": count for name, count in parts.items()}).tokens == tokens


@pytest.mark.parametrize("sent", [12, 12.0, "12", " 12 "])
def test_a_whole_number_counts_however_it_is_sent(sent: float | str) -> None:
    assert call(CHAT | {"gen_ai.usage.input_tokens": sent}).tokens == Tokens(input=12)


def test_an_empty_count_is_none() -> None:
    assert call(CHAT | {"gen_ai.usage.input_tokens": None}).tokens == Tokens()


@pytest.mark.parametrize(
    "sent",
    [
        -1,
        10**9 + 1,
        2**63 - 1,
        -(2**63),
        1.5,
        float("nan"),
        float("inf"),
        1e300,
        "many",
        "-3",
        "1e3",
        "٣",
        True,
        [5],
        b"5",
    ],
)
@pytest.mark.parametrize("name", ["input_tokens", "prompt_tokens", "cache_read.input_tokens"])
def test_an_impossible_count_is_refused_and_the_rest_kept(name: str, sent: Any) -> None:
    found = read(span(CHAT | {f"gen_ai.usage.{name}": sent}), span(CHAT | USED, span_id=b"other_id"))
    assert found.rejected == {"bad_tokens": 1}
    assert [record.span[16:] for record in found.records if isinstance(record, LlmCall)] == [b"other_id"]


def test_embeddings_have_input_only() -> None:
    found = call({"gen_ai.operation.name": "embeddings", "gen_ai.usage.input_tokens": 8})
    assert (found.tokens, found.model, found.provider) == (Tokens(input=8), "unknown", "unknown")


@pytest.mark.parametrize(
    ("sent", "nanoseconds"),
    [
        ({"gen_ai.response.time_to_first_chunk": 0.25}, 250_000_000),
        ({"gen_ai.response.time_to_first_chunk": 1}, SECOND),
        ({"gen_ai.response.time_to_first_token": 0.5}, SECOND // 2),
        # Seconds and milliseconds under one name.
        ({"gen_ai.server.time_to_first_token": 0.5}, SECOND // 2),
        ({"gen_ai.server.time_to_first_token": 500}, SECOND // 2),
        ({"gen_ai.server.time_to_first_token": 0}, None),
        # The stream's clock may run a little past the span's.
        ({"gen_ai.response.time_to_first_chunk": 2.0005}, 2 * SECOND),
        # Milliseconds, or nonsense.
        ({"gen_ai.response.time_to_first_chunk": 250.0}, None),
        ({"gen_ai.response.time_to_first_chunk": 0.0}, None),
        ({"gen_ai.response.time_to_first_chunk": -1.0}, None),
        ({"gen_ai.response.time_to_first_chunk": float("nan")}, None),
        ({"gen_ai.response.time_to_first_chunk": float("inf")}, None),
        ({"gen_ai.response.time_to_first_chunk": "soon"}, None),
    ],
)
def test_time_to_the_first_token_is_told_by_an_attribute(sent: dict[str, Any], nanoseconds: int | None) -> None:
    assert call(CHAT | sent).first_token == nanoseconds


def test_time_to_the_first_token_is_told_by_the_first_event() -> None:
    names = ("other", "gen_ai.content.completion.chunk", "gen_ai.content.completion.chunk")
    events = [Span.Event(name=name, time_unix_nano=NOW - SECOND + number) for number, name in enumerate(names)]
    assert call(CHAT, events=events).first_token == SECOND + 1


@pytest.mark.parametrize(
    ("sent", "nano_usd"),
    [
        ({"gen_ai.usage.cost": 0.005615}, 5_615_000),
        ({"gen_ai.usage.cost": 0.1 + 0.2}, 300_000_000),
        ({"gen_ai.usage.cost": "0.005615"}, 5_615_000),
        ({"gen_ai.usage.cost": 2}, 2_000_000_000),
        ({"gen_ai.usage.cost": 0.0}, 0),
        ({"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": "USD"}, 500_000_000),
        ({"gen_ai.usage.cost.amount": 0.5, "gen_ai.usage.cost.currency": "EUR"}, None),
        ({"gen_ai.usage.cost.amount": 0.5}, None),
        ({"gen_ai.usage.cost": -1.0}, None),
        ({"gen_ai.usage.cost": float("nan")}, None),
        ({"gen_ai.usage.cost": "1e999999999"}, None),
        ({"gen_ai.usage.cost": "9" * 1000}, None),
        ({"gen_ai.usage.cost": "free"}, None),
        ({"gen_ai.usage.cost": True}, None),
    ],
)
def test_a_cost_that_the_sender_tells_is_taken_exactly(sent: dict[str, Any], nano_usd: int | None) -> None:
    assert call(CHAT | sent).reported_cost == nano_usd


COUNT = st.integers(0, 10**9)


@given(st.tuples(*[COUNT] * 6))
def test_kinds_are_never_negative_and_add_up_when_the_parts_fit(counts: tuple[int, ...]) -> None:
    whole_in, whole_out, read_, write, image, reasoning = counts
    names = (
        "input_tokens",
        "output_tokens",
        "cache_read.input_tokens",
        "cache_write.input_tokens",
        "image.input_tokens",
        "reasoning.output_tokens",
    )
    tokens = call(CHAT | {f"gen_ai.usage.{name}": count for name, count in zip(names, counts, strict=True)}).tokens
    assert min(tokens) >= 0
    assert sum(tokens[:8]) == max(whole_in, read_ + write + image) + max(whole_out, reasoning)


@pytest.mark.parametrize(
    ("sent", "temperature"),
    [(0.2, 0.2), (0, 0.0), (0.0, 0.0), (1, 1.0), (2.0, 2.0)]
    + [(sent, None) for sent in (-0.1, 101.0, float("nan"), float("inf"), "0.2", True, None, [1.0])],
)
def test_the_temperature_is_a_number_that_can_be_one(sent: Any, temperature: float | None) -> None:
    assert call(CHAT | {"gen_ai.request.temperature": sent}).temperature == temperature


@pytest.mark.parametrize(
    ("older", "newest"),
    [
        ("cache_read_input_tokens", "cache_read.input_tokens"),
        ("cache_creation_input_tokens", "cache_write.input_tokens"),
        ("cache_write_input_tokens", "cache_write.input_tokens"),
        ("reasoning_tokens", "reasoning.output_tokens"),
    ],
)
def test_names_before_the_conventions_had_one_count_where_the_newest_is_missing(older: str, newest: str) -> None:
    sent, meant = {f"gen_ai.usage.{older}": 7}, {f"gen_ai.usage.{newest}": 7}
    tokens = call(CHAT | USED | meant).tokens
    assert tokens != call(CHAT | USED).tokens
    assert call(CHAT | USED | sent).tokens == tokens
    assert call(CHAT | USED | sent | meant).tokens == tokens


@pytest.mark.parametrize(
    ("more", "point"),
    [
        ({}, ECHO),
        ({"gen_ai.usage.input_tokens": 0, "gen_ai.usage.output_tokens": 0}, ECHO),
        (USED, ""),
        ({"gen_ai.usage.cost": 0.002}, ""),
        ({"error.type": "RateLimitError"}, ""),
    ],
)
def test_a_call_that_went_well_without_tokens_may_be_told_better_elsewhere(more: dict[str, Any], point: str) -> None:
    assert call(CHAT | more).point == point


@pytest.mark.parametrize("response", [{}, {"gen_ai.response.id": "chatcmpl-BPlain00000000000000001"}])
@pytest.mark.parametrize("inner_tells", [True, False])
@pytest.mark.parametrize("at_once", [True, False])
def test_of_two_sightings_the_one_with_tokens_counts(
    response: dict[str, Any], inner_tells: bool, at_once: bool, tmp_path: Path
) -> None:
    outer = span(CHAT | response | ({} if inner_tells else USED), span_id=b"o" * 8)
    inner = span(CHAT | response | (USED if inner_tells else {}), span_id=b"i" * 8, parent_span_id=outer.span_id)
    groups = [read(inner, outer)] if at_once else [read(inner), read(outer)]
    with Figures(tmp_path, *(group.records for group in groups)) as figures:
        assert figures.requests() == 1
        assert figures.tokens() == {"gpt-4o": Tokens(input=100, output=10)}
        assert figures.labels("confidence") == {"priced"}


@pytest.mark.parametrize("caller_first", [True, False])
def test_the_tokens_of_an_answer_that_only_a_proxy_tells_are_the_caller_s(caller_first: bool, tmp_path: Path) -> None:
    """Both sightings wait for a better one."""
    response = {"gen_ai.response.id": "chatcmpl-BPlain00000000000000001"}
    caller = read(span(CHAT | response), **{"service.name": "triage"}).records
    proxy = [
        record._replace(point="proxy")
        for record in read(span(CHAT | response | USED, span_id=b"p" * 8)).records
        if isinstance(record, LlmCall)
    ]
    groups = (caller, proxy) if caller_first else (proxy, caller)
    with Figures(tmp_path, *groups) as figures:
        assert figures.requests() == 1
        assert figures.tokens() == {"gpt-4o": Tokens(input=100, output=10)}
