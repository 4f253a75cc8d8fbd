"""Sightings of gateways that were acknowledged survive the exporter, and no call is billed twice for it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pytest

from support import wait_for
from support_house import House, nano
from support_sdk import Attributes, chat, send

pytestmark = pytest.mark.stack

GATEWAY = {"service.name": "gateway"}
COST = 3_500_000
"""Of one call of support_sdk.chat, nano-USD."""


def by_agent(house: House) -> dict[str, tuple[int, int]]:
    return {item.group[0]: (item.requests, item.cost) for item in house.spending("agent")}


def duplicates(house: House) -> dict[str, float]:
    series = house.metrics("llm_duplicate_calls_total")
    return {dict(labels)["reason"]: value for labels, value in series.items() if value}


def at_the_gateway(calls: Sequence[Attributes]) -> list[Attributes]:
    """The same calls as the gateway tells them: it does not know the agent."""
    return [{**call, "gen_ai.agent.name": "gateway"} for call in calls]


def test_what_waits_for_its_caller_survives_kill_9(tmp_path: Path) -> None:
    both = [chat("triage") for _ in range(30)]
    alone = [chat("nobody") for _ in range(20)]
    settings = {"receive": {"proxies": ["gateway"], "proxy_grace": 4}}
    with House(tmp_path, settings) as house:
        assert send(at_the_gateway([*both, *alone]), house.http, GATEWAY)
        assert by_agent(house) == {}
        house.kill9()
        house.start()
        assert send(both, house.http)
        assert by_agent(house) == {"triage": (30, 30 * COST)}
        house.kill9()
        house.start()
        expected = {"triage": (30, 30 * COST), "gateway": (20, 20 * COST)}
        wait_for(lambda: by_agent(house) == expected, 20, "the calls that no caller told of")
        wait_for(lambda: duplicates(house) == {"proxy": 30}, 10, "the others among the duplicates")
        # Both again, as senders do that did not hear the answer.
        assert send(at_the_gateway([*both, *alone]), house.http, GATEWAY)
        assert send(both, house.http)
        told = {"proxy": 80, "other_instrumentation": 30}
        wait_for(lambda: duplicates(house) == told, 10, "what was sent again among the duplicates")
        assert by_agent(house) == expected
        wait_for(lambda: nano(house.value("llm_cost_usd_total")) == 50 * COST, 10, "the cost on /metrics")
        assert house.stop() == 0
        assert house.run("ledger", "verify").returncode == 0
