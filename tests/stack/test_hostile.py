"""Hostile senders harm no other series, no target and no page, on both generations of Prometheus."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from support import wait_for
from support_house import House
from support_prometheus import Prometheus, prometheus_program, running_prometheus
from support_sdk import chat, send

pytestmark = pytest.mark.stack

AGENTS = 5000
LIMIT = 100
NAMES = {
    "quote": 'a"b',
    "backslash": "a\\b",
    "newline": 'a\nllm_requests_total{agent="forged"} 1e9',
    "nul": "a\x00b",
    "ansi": "\x1b[31mred",
    "html": "<script>alert(1)</script>",
    "slack": "<!channel> <https://evil.example|click>",
    "long": "x" * 100_000,
    "emoji": "🙂" * 300,
    "right to left": "\u202egpj.exe",
}


@pytest.fixture(params=["2.42", "3."])
def prometheus_and_house(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Prometheus, House]]:
    program = prometheus_program(request.param)
    with (
        House(tmp_path / "house", {"labels": {"limits": {"agent": LIMIT}}}) as house,
        running_prometheus(program, tmp_path / "prometheus", {"fleetwatch": house.web}) as prometheus,
    ):
        yield prometheus, house


def test_five_thousand_agents_stay_within_the_bound_and_other_labels_stay_exact(
    prometheus_and_house: tuple[Prometheus, House],
) -> None:
    """Outcomes, models and money are exact although most agents are `_other`."""
    prometheus, house = prometheus_and_house
    calls = [chat(f"agent-{n}") for n in range(AGENTS)]
    calls[::10] = [{**call, "error.type": "RateLimitError"} for call in calls[::10]]
    # The SDK's queue holds 2,048 spans and drops what comes then.
    assert all(send(calls[first : first + 1000], house.http) for first in range(0, AGENTS, 1000))
    wait_for(lambda: prometheus.value("sum(llm_requests_total)") == AGENTS, 30, "all calls in Prometheus", interval=0.3)
    agents = prometheus.query("count by (agent) (llm_requests_total)")
    assert len(agents) == LIMIT + 1
    assert prometheus.value('sum(llm_requests_total{outcome="error"})') == AGENTS / 10
    assert prometheus.value("sum(llm_cost_usd_total)") == pytest.approx(AGENTS * 0.0035)
    assert prometheus.value('sum(llm_requests_total{agent="_other"})') == AGENTS - LIMIT
    assert (prometheus.value('fleetwatch_label_overflow_total{metric="llm_requests_total"}') or 0) > 0
    assert prometheus.value('up{job="fleetwatch"}') == 1


def test_hostile_names_lose_no_scrape_and_forge_no_series(prometheus_and_house: tuple[Prometheus, House]) -> None:
    prometheus, house = prometheus_and_house
    assert send((chat(name) for name in NAMES.values()), house.http)
    wait_for(
        lambda: prometheus.value("sum(llm_requests_total)") == len(NAMES), 30, "all calls in Prometheus", interval=0.3
    )
    assert prometheus.value('up{job="fleetwatch"}') == 1
    assert prometheus.query('llm_requests_total{agent="forged"}') == {}
    shown = {dict(series)["agent"] for series in prometheus.series("llm_requests_total")}
    assert len(shown) == len(NAMES)
    for agent in shown:
        assert len(agent.encode()) <= 1024
        assert not any(char in agent for char in "\x00\x1b\n")


def test_a_bill_on_a_terminal_obeys_no_hostile_name(tmp_path: Path) -> None:
    with House(tmp_path) as house:
        assert send((chat(name) for name in NAMES.values()), house.http)
        told = house.run("cost", "--by", "agent")
    assert told.returncode == 0
    assert not any(char in told.stdout for char in "\x00\x1b\u202e")
    assert "Total 0.035" in told.stdout
