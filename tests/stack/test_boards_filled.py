"""Every query of every board finds numbers in the real Prometheus, and the exact ones."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from support import wait_for
from support_boards import STEMS, load, queries
from support_fleet import CALLS, OVERSPENT, Fleet, empty, numbers, running_fleet, wait_until_filled
from support_fleet_agents import NAMES
from support_house import nano
from support_prometheus import Prometheus

pytestmark = pytest.mark.stack

# Panels that would show a number, 0, if nothing had happened: what did happen must move them.
MOVED = {
    "ai-services": ["Failed calls", "Unpriced tokens"],
    "agents": ["Asking", "In circles", "Failed tasks", "Spent"],
    "exporter": [
        "Requests refused",
        "Failed commits",
        "Label overflow",
        "Requests by answer",
        "Records committed",
        "Notifications",
    ],
    "host": ["CPU waits", "RAM stalls", "Killed", "Stopped at the limit"],
    "hosts": ["Missing", "Going away", "Alerts firing"],
    "heatmap": ["Slowed most", "Prediction off by"],
    "kubernetes": ["Cannot be left", "Pods held"],
    "models": ["Failed calls", "Input from cache", "Failed calls by model"],
    "pipelines": ["Overdue", "Missed", "Failed, 7 d", "Got worse", "Alerts", "Spent, 7 d"],
    "pools": ["Taken per 100 h", "Moves advised"],
    "run": ["Overdue", "Errors", "Cost"],
    "serving": ["Silent", "Waiting", "Lost requests", "Booked at no cost", "Begun again", "Worst deployment"],
    "spot": ["Saved this month", "Coverage", "Taken, 24 h"],
    "storage": ["Unused, a month", "Lost so far", "Without a price"],
}


@pytest.fixture(scope="module", params=["2.42", "3."])
def fleet(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """With the oldest and the newest supported Prometheus."""
    with running_fleet(request.param, tmp_path_factory.mktemp("fleet")) as running:
        yield running


def panel_numbers(prometheus: Prometheus, stem: str, title: str) -> list[float]:
    """What the first query of a panel finds."""
    (target, *_) = [target for panel, target in queries(load(stem)) if panel["title"] == title]
    return numbers(prometheus, target)


@pytest.mark.parametrize("stem", STEMS)
def test_every_query_of_the_board_finds_a_number(fleet: Fleet, stem: str) -> None:
    """Without an exception."""
    assert list(queries(load(stem)))
    wait_until_filled(fleet.prometheus, load(stem))


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

        wait_for(moved, 80, f"a value above 0 in {title}", interval=0.5)


def test_the_figures_of_the_board_are_exact(fleet: Fleet) -> None:
    """Money to the nano-dollar of the ledger, calls to the one of the sender: no panel guesses at its edges."""

    def exact() -> bool:
        now = datetime.now(UTC)
        # What the ledger knows from earlier days is no growth, and counts for the month.
        ledger = fleet.house.spending("agent", since=now - timedelta(hours=1))
        replayed = sum(item.requests for item in ledger if item.group[0] not in NAMES)
        assert replayed == fleet.truth["calls"] == CALLS
        cost = sum(item.cost for item in ledger)
        assert cost > 0
        month = fleet.house.spending("model", since=now.replace(day=1, hour=0, minute=0))
        of_month = sum(item.cost for item in month)
        shown = {
            title: sum(panel_numbers(fleet.prometheus, "llm", title))
            for title in ("Calls", "Calls without a price", "Duplicates left out", "Fullest budget")
        }
        assert shown == {
            "Calls": sum(item.requests for item in ledger),
            "Calls without a price": sum(item.unpriced_requests for item in ledger),
            "Duplicates left out": fleet.truth["calls"],
            "Fullest budget": pytest.approx(of_month / 1e9 / OVERSPENT, rel=1e-9),
        }
        for title in ("Spent", "By team", "By agent", "By model"):
            assert nano(sum(panel_numbers(fleet.prometheus, "llm", title))) == cost, title
        return True

    with fleet.agents.held():
        wait_for(exact, 20, "exact figures", interval=0.5)
