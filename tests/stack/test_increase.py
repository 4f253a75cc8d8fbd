"""`increase()` sees the first event of a new series, on every supported Prometheus, without feature flags."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from support import wait_for
from support_house import House
from support_prometheus import Prometheus, prometheus_program, running_prometheus
from support_sdk import chat, send

pytestmark = pytest.mark.stack

AGENTS = 200
SCRAPE = 0.25
"""Seconds between scrapes: short, so that series soon are a hundred scrapes old."""


@pytest.fixture(scope="module")
def house(tmp_path_factory: pytest.TempPathFactory) -> Iterator[House]:
    settings = {"labels": {"limits": {"agent": 4 * AGENTS}}, "web": {"scrape_interval": SCRAPE}}
    with House(tmp_path_factory.mktemp("exporter"), settings) as running:
        yield running


@pytest.fixture(scope="module", params=["2.42", "3."])
def prometheus(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, house: House
) -> Iterator[Prometheus]:
    program = prometheus_program(request.param)
    folder = tmp_path_factory.mktemp("prometheus")
    with running_prometheus(program, folder, {"fleetwatch": house.web}, interval=SCRAPE) as server:
        wait_for(lambda: server.value("up") == 1, 15, "the first scrape")
        yield server


class Fleet:
    """Agents with one call each, as one Prometheus sees them. name: their team."""

    def __init__(self, name: str, house: House, prometheus: Prometheus) -> None:
        self.name, self._house, self._prometheus = name, house, prometheus
        self.series = f'llm_requests_total{{team="{name}"}}'

    def call(self, first: int, last: int) -> None:
        calls = (chat(f"{self.name}-{number}") for number in range(first, last))
        assert send(calls, self._house.http, {"team": self.name})

    def ask(self, expression: str, at: float | None = None) -> float | None:
        """An expression in which SERIES stands for the fleet's requests."""
        return self._prometheus.value(expression.replace("SERIES", self.series), at)


def test_two_hundred_agents_with_one_call_each_are_two_hundred_calls(
    request: pytest.FixtureRequest, house: House, prometheus: Prometheus
) -> None:
    fleet = Fleet(f"calm-{request.node.callspec.id}", house, prometheus)
    fleet.call(0, AGENTS)
    _check_increase(fleet)


def test_a_crash_in_the_middle_loses_no_call_and_counts_none_twice(
    request: pytest.FixtureRequest, house: House, prometheus: Prometheus
) -> None:
    """Half of the series have shown their value when the exporter is killed, the others still wait at zero."""
    fleet = Fleet(f"crash-{request.node.callspec.id}", house, prometheus)
    half = AGENTS // 2
    fleet.call(0, half)
    wait_for(lambda: fleet.ask("sum(SERIES)") == half, 15, "the first half")
    fleet.call(half, AGENTS)
    wait_for(lambda: fleet.ask("count(SERIES)") == AGENTS, 15, "the birth of the second half")
    assert fleet.ask("sum(SERIES)") == half
    house.kill9()
    wait_for(lambda: prometheus.value("up") == 0, 15, "a failed scrape")
    house.start()
    _check_increase(fleet)


def _check_increase(fleet: Fleet) -> None:
    """`increase` stretches what it saw to the end of its range, by at most one scrape interval; to the start it does
    not, because the series begin at zero. So it is exact at the moment of a scrape, and between scrapes it is too large
    by at most interval/age: less than 1 % once a series is older than 110 scrapes.
    """
    wait_for(lambda: fleet.ask("sum(SERIES)") == AGENTS, 20, "all calls in Prometheus")
    increase = "sum(increase(SERIES[1h]))"
    last = fleet.ask("max(timestamp(SERIES))")
    assert last is not None
    assert fleet.ask(increase, last) == pytest.approx(AGENTS, rel=1e-9)
    wait_for(lambda: (fleet.ask("min(count_over_time(SERIES[1h]))") or 0) > 112, 90, "112 scrapes", interval=1)
    for _ in range(20):
        assert fleet.ask(increase) == pytest.approx(AGENTS, rel=0.01)
