"""Several public instrumentations in one application: each call is billed once, to the nano-dollar."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from support import wait_for
from support_application import OPENINFERENCE, OPENLLMETRY, OPENTELEMETRY, run_application
from support_house import House, nano
from support_openai import CHAT_MODEL, EMBEDDING_MODEL, openai_stub
from support_program import labels

pytestmark = pytest.mark.stack

# US dollars per million tokens: gpt-4o 2.50 in, 1.25 cached, 10.00 out; text-embedding-3-small 0.02.
PLAIN = 86 * 2_500 + 1_920 * 1_250 + 300 * 10_000
STREAM = 100 * 2_500 + 20 * 10_000
EMBEDDING = 8 * 20
"""Nano-USD."""
ROUNDS = 3
WHO = {"agent": "triage", "team": "support", "provider": "openai"}


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path, {"receive": {"usage_metrics_grace": 2}}) as running:
        yield running


@pytest.mark.parametrize(
    "instrumentations",
    [
        pytest.param([OPENTELEMETRY, OPENLLMETRY], id="OpenTelemetry inside OpenLLMetry"),
        pytest.param([OPENLLMETRY, OPENTELEMETRY], id="OpenLLMetry inside OpenTelemetry"),
        pytest.param([OPENINFERENCE, OPENTELEMETRY, OPENLLMETRY], id="all three"),
        pytest.param([OPENLLMETRY, OPENINFERENCE], id="OpenInference and OpenLLMetry"),
    ],
)
def test_a_call_that_several_see_is_billed_once(house: House, instrumentations: Sequence[str]) -> None:
    with openai_stub() as api:
        run_application(house.http, api, ROUNDS, instrumentations)
    requests = {
        labels(**WHO, model=CHAT_MODEL, operation="chat", outcome="ok"): 2 * ROUNDS,
        labels(**WHO, model="busy", operation="chat", outcome="error"): ROUNDS,
        labels(**WHO, model=EMBEDDING_MODEL, operation="embeddings", outcome="ok"): ROUNDS,
    }
    others = len(instrumentations) - 1
    with_metrics = len({OPENTELEMETRY, OPENLLMETRY}.intersection(instrumentations))
    duplicates = {
        # The answer of a chat has an id; that of an embedding has none, and a refusal has no answer.
        "other_instrumentation": 2 * ROUNDS * others,
        "enclosing": 2 * ROUNDS * others,
        "metrics_of_spans": 3 * ROUNDS * with_metrics,
        "resent": 0,
        "proxy": 0,
    }
    wait_for(lambda: _duplicates(house) == duplicates, 30, f"{duplicates} on /metrics")
    wait_for(lambda: house.metrics("llm_requests_total") == requests, 10, f"{requests} on /metrics")
    assert {key: nano(value) for key, value in house.metrics("llm_cost_usd_total").items() if value} == {
        labels(**WHO, model=CHAT_MODEL, confidence="priced"): ROUNDS * (PLAIN + STREAM),
        labels(**WHO, model=EMBEDDING_MODEL, confidence="priced"): ROUNDS * EMBEDDING,
    }
    assert house.value("llm_tokens_total", kind="cache_read") == ROUNDS * 1_920
    assert house.value("fleetwatch_receiver_rejected_total") == 0


@pytest.mark.parametrize("instrumentations", [[OPENTELEMETRY, OPENLLMETRY], [OPENLLMETRY, OPENTELEMETRY]])
def test_a_call_that_two_tell_by_metrics_alone_is_billed_once(house: House, instrumentations: Sequence[str]) -> None:
    with openai_stub() as api:
        run_application(house.http, api, ROUNDS, instrumentations, signals="metrics")
    # Each tells the two chats and the embedding; a refusal has no tokens.
    counted = {
        labels(**WHO, model=CHAT_MODEL, operation="chat", outcome="ok"): 2 * ROUNDS,
        labels(**WHO, model=EMBEDDING_MODEL, operation="embeddings", outcome="ok"): ROUNDS,
    }
    wait_for(lambda: house.metrics("llm_requests_total") == counted, 30, f"{counted} on /metrics")
    assert _duplicates(house)["other_instrumentation"] == 3 * ROUNDS
    assert house.value("llm_tokens_total", kind="output", model=CHAT_MODEL) == ROUNDS * (300 + 20)


def _duplicates(house: House) -> dict[str, float]:
    """Sightings that were not counted, by reason."""
    return {dict(key)["reason"]: value for key, value in house.metrics("llm_duplicate_calls_total").items()}
