"""Budgets follow the ledger, over restarts and for late calls."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger
from fleetwatch.ledger.budgets import Budget, BudgetBook
from fleetwatch.reckon.price import PriceBook
from support_llm import call

BOOK = PriceBook()
COST = 100 * 2_500 + 10 * 10_000  # nano-USD, see test_store.py
NOW = 1_795_000_000  # 2026-11-18 11:06:40 UTC, a Wednesday
SECOND = 10**9

ALL = Budget("all", 10 * COST, "month", "UTC")
SUPPORT = Budget("support", COST, "day", "Europe/Berlin", team="support")
GPT = Budget("gpt", 10**12, "month", "UTC", model="gpt-4o*")


def spent(book: BudgetBook, now: float = NOW) -> dict[str, int]:
    return {name: state.spent for name, state in book.states(now)}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_call_is_charged_to_every_budget_that_covers_it(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    book = BudgetBook([ALL, SUPPORT, GPT], ledger, NOW)
    ledger.commit([call(at=NOW * SECOND), call(at=NOW * SECOND, team="legal", model="gpt-4o-mini")])
    charged = [name for labels, total in ledger.take() for name, _ in book.add(labels, total)]
    assert sorted(charged) == ["all", "all", "gpt", "gpt", "support"]
    assert spent(book)["support"] == COST
    ledger.close()


def test_spending_is_the_same_after_a_restart(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(at=NOW * SECOND)])
    ledger.take()
    ledger.checkpoint()
    ledger.commit([call(at=NOW * SECOND)])
    ledger.close()
    ledger = Ledger(path, BOOK)
    book = BudgetBook([ALL], ledger, NOW)
    assert book.charged() == {"all": COST}
    for labels, total in ledger.take():
        assert list(book.add(labels, total)) == [("all", COST)]
    assert spent(book) == {"all": 2 * COST}
    ledger.close()


def test_a_late_call_counts_in_the_period_in_which_it_was_made(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    book = BudgetBook([ALL, SUPPORT], ledger, NOW)
    ledger.commit([call(at=(NOW - 86400) * SECOND)])
    for labels, total in ledger.take():
        list(book.add(labels, total))
    assert spent(book) == {"all": COST, "support": 0}
    ledger.close()


def test_an_overspent_budget_has_a_negative_rest_and_no_time_left(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    book = BudgetBook([SUPPORT], ledger, NOW)
    ledger.commit([call(at=NOW * SECOND) for _ in range(3)])
    for labels, total in ledger.take():
        list(book.add(labels, total))
    values = {sample.metric.prometheus: sample.value for sample in book.samples(NOW)}
    assert values["llm_budget_remaining_usd"] == pytest.approx(-2 * COST / 1e9)
    assert values["llm_budget_time_to_exhaustion_seconds"] == 0
    assert values["llm_budget_period_start_timestamp_seconds"] == 1_794_956_400  # 2026-11-18 00:00 in Berlin
    ledger.close()
