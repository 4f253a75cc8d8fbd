"""Every query of every board over what the real programs say: nothing here is made up.

A replay of a real trace goes to a real exporter, which a real Prometheus scrapes beside itself and a real Alertmanager,
with the rules as shipped. And what goes wrong in a fleet goes wrong: calls are sent twice, an item makes no sense,
there are more agents than a label may have, another program holds the ledger, a budget is overspent, a page goes out.
"""

from __future__ import annotations

import contextlib
import itertools
import math
import os
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from support import free_port, wait_for
from support_alertmanager import Alertmanager, NotificationSink, alert, newest, running_alertmanager
from support_alerts import ALERTS, RULES
from support_boards import STEMS, Json, load, queries
from support_grafana import concrete
from support_house import House, Replay, nano
from support_otlp import span, traces_of
from support_prometheus import Prometheus, prometheus_program, running_prometheus
from support_sdk import Answer, chat, post_calls
from support_stack import post

pytestmark = pytest.mark.stack

CALLS = 600
RANGE = 300
"""Seconds that the boards look back: more than the test lasts."""
OVERSPENT = 0.01
SETTINGS: dict[str, Any] = {
    "budgets": [{"name": "overspent", "limit_usd": str(OVERSPENT)}, {"name": "lasts", "limit_usd": "1000000"}],
    # The replay has twice as many.
    "labels": {"limits": {"agent": 4}},
}
# Panels that would show a number, 0, if nothing had happened: what did happen must move them.
MOVED = {
    "exporter": [
        "Requests refused",
        "Failed commits",
        "Label overflow",
        "Requests by answer",
        "Records committed",
        "Notifications",
    ],
    "models": ["Failed calls", "Input from cache", "Failed calls by model"],
}


class Fleet(NamedTuple):
    """truth: what the replay says that it sent."""

    house: House
    prometheus: Prometheus
    truth: dict[str, Any]


@pytest.fixture(scope="module", params=["2.42", "3."])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Everything has happened and has reached Prometheus, the oldest and the newest supported."""
    program, folder = prometheus_program(request.param), tmp_path_factory.mktemp("fleet")
    with (
        House(folder / "exporter", SETTINGS) as house,
        NotificationSink() as sink,
        running_alertmanager(newest(), folder / "alertmanager", sink) as alertmanager,
        scraping(program, folder / "prometheus", house, alertmanager) as prometheus,
    ):
        # What happens before the first scrape is no growth.
        wait_for(lambda: prometheus.value("sum(up)") == 3, 20, "the three targets")
        hold_the_ledger(house)
        send_nonsense(house)
        alertmanager.post([page()])
        truth = replay_twice(house, folder)
        arrived = f"sum(llm_requests_total) == {CALLS} and sum(llm_duplicate_calls_total) == {CALLS}"
        wait_for(lambda: prometheus.query(arrived), 30, "all calls in Prometheus", 0.2)
        wait_for(lambda: sink.pagerduty and not sink.rejected, 20, "the page")
        yield Fleet(house, prometheus, truth)


@contextlib.contextmanager
def scraping(program: str, folder: Path, house: House, alertmanager: Alertmanager) -> Iterator[Prometheus]:
    """A Prometheus with the shipped rules, and the job names of the shipped configuration."""
    port, alerts_to = free_port(), alertmanager.url.removeprefix("http://")
    targets = {"fleetwatch": house.web, "prometheus": f"127.0.0.1:{port}", "alertmanager": alerts_to}
    with running_prometheus(
        program, folder, targets, rules=[*RULES, *ALERTS], alertmanager=alerts_to, port=port
    ) as prometheus:
        yield prometheus


def hold_the_ledger(house: House) -> None:
    """Another program writes into it: the commit gives up, and the sender is told to come again."""
    with contextlib.closing(sqlite3.connect(house.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        assert post_calls(house.http) == Answer(503, "1")


def send_nonsense(house: House) -> None:
    """A call with less than no tokens."""
    now = time.time_ns()
    call = span(
        chat(attributes={"gen_ai.usage.input_tokens": -1}),
        trace_id=os.urandom(16),
        span_id=os.urandom(8),
        start_time_unix_nano=now,
        end_time_unix_nano=now,
    )
    assert post(f"http://{house.http}/v1/traces", traces_of([call]).SerializeToString()) == 200


def page() -> dict[str, Any]:
    return alert(
        "LedgerFailing",
        annotations={
            "summary": "The ledger cannot be written",
            "description": "3 commits failed in the past 5 minutes.",
            "runbook_url": "http://127.0.0.1:9464/runbooks/LedgerFailing",
            "dashboard_url": "http://127.0.0.1:3000/d/fw-exporter?from=now-6h&to=now",
        },
        severity="page",
        domain="exporter",
        owner="platform",
    )


def replay_twice(house: House, folder: Path) -> dict[str, Any]:
    """The second time, all calls are duplicates."""
    for turn in ("first", "again"):
        with Replay(folder / turn, house.http, "boards", "--limit", str(CALLS), "--speed", "1000") as replay:
            truth = replay.finish()
    return truth


def numbers(prometheus: Prometheus, target: Json) -> list[float]:
    """What the query of a panel finds, over all series and times; nothing that is no number or has no end."""
    expr = concrete(target["expr"], RANGE)
    if target["instant"]:
        samples = [item["value"] for item in prometheus.api("query", query=expr)["result"]]
    else:
        now = time.time()
        times = {"start": f"{now - RANGE:.3f}", "end": f"{now:.3f}", "step": "5"}
        found = prometheus.api("query_range", query=expr, **times)["result"]
        samples = [sample for item in found for sample in item["values"]]
    return [value for _, text in samples if math.isfinite(value := float(text))]


def empty(prometheus: Prometheus, board: Json) -> list[str]:
    """The queries that find no number."""
    return [
        f"{panel['title']}: query {target['refId']}"
        for panel, target in queries(board)
        if not numbers(prometheus, target)
    ]


def panel_numbers(prometheus: Prometheus, stem: str, title: str) -> list[float]:
    """What the first query of a panel finds."""
    (target, *_) = [target for panel, target in queries(load(stem)) if panel["title"] == title]
    return numbers(prometheus, target)


@pytest.mark.parametrize("stem", STEMS)
def test_every_query_of_the_board_finds_a_number(fleet: Fleet, stem: str) -> None:
    """Without an exception."""
    board = load(stem)
    assert list(queries(board))

    def all_filled() -> bool:
        found = empty(fleet.prometheus, board)
        assert not found, found
        return True

    wait_for(all_filled, 30, f"data on board {stem}", interval=1)


def test_a_query_without_a_number_is_reported(fleet: Fleet) -> None:
    """The proof that the test above can fail: a metric that nobody sends, and a division of nothing by nothing."""
    board = load("llm")
    board["panels"] = board["panels"][:4]
    (spent, spends), (calls, counts), _ = itertools.islice(queries(board), 3)
    assert empty(fleet.prometheus, board) == []
    spends["expr"], counts["expr"] = "sum(increase(llm_nobody_sends_this_total[$__range]))", "vector(0) / 0"
    assert empty(fleet.prometheus, board) == [f"{spent['title']}: query A", f"{calls['title']}: query A"]


@pytest.mark.parametrize("stem", sorted(MOVED))
def test_what_happened_moves_the_panels_that_are_never_empty(fleet: Fleet, stem: str) -> None:
    for title in MOVED[stem]:

        def moved(title: str = title) -> bool:
            return max(panel_numbers(fleet.prometheus, stem, title)) > 0

        wait_for(moved, 30, f"a value above 0 in {title}", interval=0.5)


def test_the_figures_of_the_board_are_exact(fleet: Fleet) -> None:
    """Money to the nano-dollar of the ledger, calls to the one of the sender: no panel guesses at its edges."""
    assert fleet.truth["calls"] == CALLS
    ledger = fleet.house.spending("model")
    cost = sum(item.cost for item in ledger)
    assert cost > 0

    def exact() -> bool:
        shown = {
            title: sum(panel_numbers(fleet.prometheus, "llm", title))
            for title in ("Calls", "Calls without a price", "Duplicates left out", "Fullest budget")
        }
        assert shown == {
            "Calls": fleet.truth["calls"],
            "Calls without a price": sum(item.unpriced_requests for item in ledger),
            "Duplicates left out": fleet.truth["calls"],
            "Fullest budget": pytest.approx(cost / 1e9 / OVERSPENT, rel=1e-9),
        }
        for title in ("Spent", "By team", "By agent", "By model"):
            assert nano(sum(panel_numbers(fleet.prometheus, "llm", title))) == cost, title
        return True

    wait_for(exact, 20, "exact figures", interval=0.5)
