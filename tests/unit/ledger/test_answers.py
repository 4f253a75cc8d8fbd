"""Failed calls count under the model that would have answered."""

from __future__ import annotations

from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger
from fleetwatch.reckon.price import PriceBook
from support_llm import call

BOOK = PriceBook()
ANSWERED = {"model": "gpt-4o-2024-08-06", "asked": "gpt-4o"}
FAILED = {"model": "gpt-4o", "outcome": "error", "error_type": "429"}


def models(ledger: Ledger) -> dict[tuple[str, str], int]:
    """(model, outcome) -> calls of what was committed since the last look."""
    return {(labels.model, labels.outcome): total.requests for labels, total in ledger.take()}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


def test_a_failed_call_counts_under_the_model_that_answered_to_its_name(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(**ANSWERED), call(**FAILED), call(**FAILED, provider="azure.ai.openai")])
    assert models(ledger) == {
        ("gpt-4o-2024-08-06", "ok"): 1,
        ("gpt-4o-2024-08-06", "error"): 1,
        ("gpt-4o", "error"): 1,  # nothing is known of that provider
    }
    ledger.close()


def test_what_was_learned_survives_a_restart(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(**ANSWERED)])
    ledger.close()
    ledger = Ledger(path, BOOK)
    ledger.take()
    ledger.commit([call(**FAILED)])
    assert models(ledger) == {("gpt-4o-2024-08-06", "error"): 1}
    ledger.close()


def test_the_last_answer_counts(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(**ANSWERED), call(model="gpt-4o-2024-11-20", asked="gpt-4o"), call(**FAILED)])
    assert ("gpt-4o-2024-11-20", "error") in models(ledger)
    ledger.close()


def test_what_an_undone_commit_learned_is_forgotten(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    with pytest.raises(OverflowError):
        ledger.commit([call(**ANSWERED), call(duration=1 << 70)])
    ledger.commit([call(**FAILED)])
    assert models(ledger) == {("gpt-4o", "error"): 1}
    ledger.close()


def test_a_call_that_succeeded_keeps_the_name_that_it_gave(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call(**ANSWERED), call(model="gpt-4o")])
    assert models(ledger) == {("gpt-4o-2024-08-06", "ok"): 1, ("gpt-4o", "ok"): 1}
    ledger.close()
