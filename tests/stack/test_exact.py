"""Every call is counted once and billed once, whatever dies on the way."""

from __future__ import annotations

import itertools
import json
from collections import Counter
from collections.abc import Iterator
from decimal import ROUND_HALF_UP, Decimal
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import wait_for
from support_collector import Gateway
from support_house import House, Replay, kill_often, nano
from support_program import Series
from support_prometheus import Prometheus, prometheus_program, running_prometheus
from support_sdk import Attributes, send

pytestmark = pytest.mark.stack

# A replay of this many calls lasts ten seconds at this speed; it is followed by others until all kills are done.
CALLS, SPEED = "700", "30"
COST_LABELS = ("agent", "team", "provider", "model", "confidence")


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    with House(tmp_path / "exporter") as running:
        yield running


@pytest.mark.parametrize(("kills", "way"), [(10, "through the Collector"), (5, "straight to the exporter")])
def test_kills_while_calls_arrive_change_no_figure(tmp_path: Path, house: House, kills: int, way: str) -> None:
    """Ledger, /metrics and Prometheus end equal to the truth that the sender wrote down."""
    program = prometheus_program("3")
    with running_prometheus(program, tmp_path / "prometheus", {"fleetwatch": house.web}) as prometheus:
        if way == "through the Collector":
            gateway = Gateway(tmp_path, house.http)
            with gateway.up():
                truth = _replay_and_kill(house, gateway.http, tmp_path / "replay", kills)
        else:
            truth = _replay_and_kill(house, house.http, tmp_path / "replay", kills)
        _check_ledger(house, truth)
        wait_for(partial(_check_metrics, house, truth), 15, "the truth on /metrics")
        _check_prometheus(prometheus, house)
        resent = house.value("llm_duplicate_calls_total")
        # The calls of the first replay once more: all are recognised, none is billed.
        with Replay(tmp_path / "again", house.http, "exact-0", "--limit", "300", "--speed", "1000") as again:
            again.finish()
        wait_for(lambda: house.value("llm_duplicate_calls_total") == resent + 300, 20, "300 duplicates")
        _check_ledger(house, truth)
        wait_for(partial(_check_metrics, house, truth), 15, "the truth on /metrics")
    assert house.stop() == 0
    verified = house.run("ledger", "verify")
    assert verified.returncode == 0, verified.stderr
    assert "all sums agree" in verified.stdout


class Truth(NamedTuple):
    """What the senders sent, by labels."""

    requests: Counter[Series]
    tokens: Counter[Series]

    def add(self, told: dict[str, Any]) -> None:
        """What one replay told."""
        self.requests.update(_by_labels(told["requests"]))
        self.tokens.update(_by_labels(told["tokens"]))


def _replay_and_kill(house: House, endpoint: str, folder: Path, kills: int) -> Truth:
    """The truth, once the exporter has been killed often and all calls have arrived and are shown."""
    truth = Truth(Counter(), Counter())
    # Failed calls count under the model that answered to their name before: let each have answered once.
    with Replay(folder / "first", endpoint, "exact-first", "--limit", "100", "--speed", "1000") as replay:
        truth.add(replay.finish())
    wait_for(partial(_shows, house, 100), 20, "the first calls")
    done = 0
    for number in itertools.count():
        with Replay(folder / str(number), endpoint, f"exact-{number}", "--limit", CALLS, "--speed", SPEED) as replay:
            done += kill_often(house, kills - done, replay)
            truth.add(replay.finish())
        if done == kills:
            break
    wait_for(partial(_shows, house, truth.requests.total()), 60, "all calls on /metrics")
    return truth


def _shows(house: House, calls: int) -> bool:
    shown = house.value("llm_requests_total")
    assert shown == calls, f"{shown} of {calls} calls"
    return True


def _by_labels(rows: list[dict[str, Any]]) -> dict[Series, int]:
    return {frozenset((key, text) for key, text in row.items() if key != "value"): row["value"] for row in rows}


def _check_ledger(house: House, truth: Truth) -> None:
    names = ("agent", "team", "provider", "model", "operation", "outcome")
    requests = {frozenset(zip(names, item.group, strict=True)): item.requests for item in house.spending(*names)}
    assert requests == truth.requests
    tokens = {
        frozenset([*zip(names[:4], item.group, strict=True), ("kind", kind)]): count
        for item in house.spending(*names[:4])
        for kind, count in item.tokens.items()
        if count
    }
    assert tokens == truth.tokens


def _check_metrics(house: House, truth: Truth) -> bool:
    """True, or an AssertionError: the last series to be born may still stand at zero."""
    assert house.metrics("llm_requests_total") == truth.requests
    assert house.metrics("llm_tokens_total") == truth.tokens
    assert _nanos(house.metrics("llm_cost_usd_total")) == _ledger_cost(house)
    return True


def _check_prometheus(prometheus: Prometheus, house: House) -> None:
    for name in ("llm_requests_total", "llm_tokens_total", "llm_cost_usd_total", "llm_duplicate_calls_total"):
        shown = house.metrics(name)
        wait_for(partial(_has, prometheus, name, shown), 15, f"{name} in Prometheus")
    assert _nanos(prometheus.series("llm_cost_usd_total")) == _ledger_cost(house)


def _has(prometheus: Prometheus, name: str, series: dict[Series, float]) -> bool:
    return prometheus.series(name) == series


def _nanos(series: dict[Series, float]) -> dict[Series, int]:
    return {labels: nano(value) for labels, value in series.items()}


def _ledger_cost(house: House) -> dict[Series, int]:
    """Cost per label set of llm_cost_usd_total; the ledger's label sets are finer."""
    return {frozenset(zip(COST_LABELS, item.group, strict=True)): item.cost for item in house.spending(*COST_LABELS)}


class Sold(NamedTuple):
    """A call as its sender tells it, and US dollars per token of each kind, from the providers' lists.

    Counts as in the conventions: `input` includes cache and audio, `output` includes reasoning.
    """

    provider: str
    model: str
    attributes: dict[str, int | str]
    prices: dict[str, str]
    """Kind of token -> US dollars per million, written out by hand."""
    counts: dict[str, int]
    """Kind of token -> tokens at that price; together they are all tokens of the call."""


I, O = "gen_ai.usage.input_tokens", "gen_ai.usage.output_tokens"  # noqa: E741 - two columns of the table below
READ, WRITE = "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_write.input_tokens"
WRITE_1H = "gen_ai.usage.cache_creation.ephemeral_1h_input_tokens"
THOUGHT, AUDIO = "gen_ai.usage.reasoning.output_tokens", "gen_ai.usage.audio.input_tokens"
TIER, REQUESTED_TIER = "openai.response.service_tier", "gen_ai.request.service_tier"

SOLD = [
    # Cached input at half price; the second call has no cache.
    Sold(
        "openai",
        "gpt-4o-2024-08-06",
        {I: 2006, READ: 1920, O: 300},
        {"input": "2.50", "cached": "1.25", "output": "10.00"},
        {"input": 86, "cached": 1920, "output": 300},
    ),
    Sold(
        "openai",
        "gpt-4o-2024-08-06",
        {I: 733, O: 41},
        {"input": "2.50", "output": "10.00"},
        {"input": 733, "output": 41},
    ),
    # Priority costs 1.7 times as much.
    Sold(
        "openai",
        "gpt-4o-2024-08-06",
        {I: 1_001, O: 333, TIER: "priority"},
        {"input": "4.25", "output": "17.00"},
        {"input": 1_001, "output": 333},
    ),
    Sold(
        "openai",
        "gpt-4o-mini-2024-07-18",
        {I: 1_234_567, READ: 1_000_001, O: 77, TIER: "default"},
        {"input": "0.15", "cached": "0.075", "output": "0.60"},
        {"input": 234_566, "cached": 1_000_001, "output": 77},
    ),
    # Flex is half of everything; reasoning is output.
    Sold(
        "openai",
        "gpt-5-2025-08-07",
        {I: 10_001, READ: 4_096, O: 2_049, THOUGHT: 1_984, TIER: "flex"},
        {"input": "0.625", "cached": "0.0625", "output": "5.00"},
        {"input": 5_905, "cached": 4_096, "output": 2_049},
    ),
    Sold(
        "openai",
        "gpt-5-2025-08-07",
        {I: 503, O: 901, THOUGHT: 640},
        {"input": "1.25", "output": "10.00"},
        {"input": 503, "output": 901},
    ),
    # Batch is half.
    Sold(
        "openai",
        "gpt-4.1-2025-04-14",
        {I: 50_003, O: 7_001, REQUESTED_TIER: "batch"},
        {"input": "1.00", "output": "4.00"},
        {"input": 50_003, "output": 7_001},
    ),
    Sold("openai", "text-embedding-3-small", {I: 8_191}, {"input": "0.02"}, {"input": 8_191}),
    # Writing the cache for five minutes costs 1.25 times the input, for an hour twice.
    Sold(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {I: 60_007, READ: 40_009, WRITE: 15_013, WRITE_1H: 5_003, O: 1_999},
        {"input": "3.00", "cached": "0.30", "written": "3.75", "written 1h": "6.00", "output": "15.00"},
        {"input": 4_985, "cached": 40_009, "written": 10_010, "written 1h": 5_003, "output": 1_999},
    ),
    # Above 200,000 tokens of input every token of the call costs more, also those below.
    Sold(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {I: 200_001, READ: 150_000, O: 1_000},
        {"input": "6.00", "cached": "0.60", "output": "22.50"},
        {"input": 50_001, "cached": 150_000, "output": 1_000},
    ),
    Sold(
        "anthropic",
        "claude-sonnet-4-5-20250929",
        {I: 200_000, READ: 150_000, O: 1_000},
        {"input": "3.00", "cached": "0.30", "output": "15.00"},
        {"input": 50_000, "cached": 150_000, "output": 1_000},
    ),
    Sold(
        "anthropic",
        "claude-haiku-4-5-20251001",
        {I: 9_999, WRITE: 3_333, O: 777, REQUESTED_TIER: "batch"},
        {"input": "0.50", "written": "0.625", "output": "2.50"},
        {"input": 6_666, "written": 3_333, "output": 777},
    ),
    Sold(
        "gcp.gemini",
        "gemini-2.5-pro",
        {I: 200_001, READ: 1_001, O: 5_000, THOUGHT: 4_000},
        {"input": "2.50", "cached": "0.25", "output": "15.00"},
        {"input": 199_000, "cached": 1_001, "output": 5_000},
    ),
    Sold(
        "gcp.gemini",
        "gemini-2.5-pro",
        {I: 1_007, O: 13},
        {"input": "1.25", "output": "10.00"},
        {"input": 1_007, "output": 13},
    ),
    # Audio input has a price of its own.
    Sold(
        "gcp.gemini",
        "gemini-2.5-flash",
        {I: 4_001, AUDIO: 3_001, READ: 500, O: 29},
        {"input": "0.30", "cached": "0.03", "audio": "1.00", "output": "2.50"},
        {"input": 500, "cached": 500, "audio": 3_001, "output": 29},
    ),
    # A regional inference profile costs a tenth more than the global one.
    Sold(
        "aws.bedrock",
        "us.anthropic.claude-sonnet-4-5-20250929-v1:0",
        {I: 3_003, READ: 1_001, O: 99},
        {"input": "3.30", "cached": "0.33", "output": "16.50"},
        {"input": 2_002, "cached": 1_001, "output": 99},
    ),
    Sold(
        "x_ai",
        "grok-4-0709",
        {I: 777, READ: 333, O: 11},
        {"input": "3.00", "cached": "0.75", "output": "15.00"},
        {"input": 444, "cached": 333, "output": 11},
    ),
]


def _nano_of(call: Sold) -> int:
    """Nano-USD of one call, a whole number: providers bill a call at a time."""
    usd = sum(Decimal(call.prices[kind]) / 1_000_000 * count for kind, count in call.counts.items())
    return int((Decimal(usd) * 10**9).quantize(Decimal(1), ROUND_HALF_UP))


def test_the_bill_equals_a_sum_written_out_by_hand(house: House) -> None:
    """`fleetwatch cost --by model`, to the nano-dollar, for ten models of five providers."""
    expected: dict[str, int] = {}
    for call in SOLD:
        expected[call.model] = expected.get(call.model, 0) + _nano_of(call)
    assert len(expected) >= 8
    assert len({call.provider for call in SOLD}) >= 4
    assert send([_attributes(call) for call in SOLD], house.http)
    printed = house.run("cost", "--by", "model", "--format", "json")
    assert printed.returncode == 0, printed.stderr
    rows = {row["model"]: row for row in json.loads(printed.stdout)}
    assert {model: Decimal(row["cost_usd"]) for model, row in rows.items()} == {
        model: Decimal(cost) / 10**9 for model, cost in expected.items()
    }
    # Nothing of it is a guess.
    assert {model: Decimal(row["priced"]) for model, row in rows.items()} == {
        model: Decimal(row["cost_usd"]) for model, row in rows.items()
    }
    wait_for(lambda: nano(house.value("llm_cost_usd_total")) == sum(expected.values()), 15, "the same on /metrics")


def _attributes(call: Sold) -> Attributes:
    operation = "embeddings" if "embedding" in call.model else "chat"
    return {
        "gen_ai.operation.name": operation,
        "gen_ai.provider.name": call.provider,
        "gen_ai.request.model": call.model,
        "gen_ai.response.model": call.model,
        **call.attributes,
    }
