"""A ledger is read, verified and copied while its writer goes on."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger, LedgerError
from fleetwatch.ledger.query import Reader
from support_ledger import BOOK, COST, requests_and_cost
from support_llm import call


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path, BOOK)
    yield opened
    opened.close()


def test_a_backup_never_takes_the_place_of_the_ledger(ledger: Ledger, path: Path) -> None:
    ledger.commit([call()])
    with Reader(path) as reader, pytest.raises(LedgerError, match="the copy would take the place"):
        reader.backup(path.parent / ".." / path.parent.name / path.name)
    ledger.commit([call()])
    with Reader(path) as reader:
        assert sum(item.requests for item in reader.spending(["model"])) == 2


def test_a_backup_is_as_private_as_the_ledger(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    with Reader(path) as reader:
        reader.backup(tmp_path / "copy.db")
    assert (tmp_path / "copy.db").stat().st_mode & 0o077 == 0


def test_a_backup_that_fails_leaves_nothing_lying_about(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    (tmp_path / "target").mkdir()
    with Reader(path) as reader, pytest.raises(LedgerError):
        reader.backup(tmp_path / "target")
    assert not (tmp_path / "target.partial").exists()


def test_a_reader_names_damage(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    ledger.commit([call() for _ in range(2000)])
    ledger.close()
    with path.open("r+b") as damaged:
        damaged.seek(5 * 4096)
        damaged.write(b"\xff" * 40 * 4096)
    with pytest.raises(LedgerError) as failure, Reader(path) as reader:
        reader.spending(["model"])
    assert failure.value.reason == "damaged"


def test_a_backup_made_while_the_writer_goes_on_is_a_whole_ledger(ledger: Ledger, path: Path, tmp_path: Path) -> None:
    ledger.commit([call()])
    copy = tmp_path / "copy.db"
    with Reader(path) as reader:
        reader.backup(copy)
    ledger.commit([call()])
    restored = Ledger(copy, BOOK)
    assert requests_and_cost(restored) == (1, COST)
    restored.close()


def test_verify_names_a_label_set_whose_sums_disagree(ledger: Ledger, path: Path) -> None:
    ledger.commit([call()])
    ledger.take()
    ledger.checkpoint()
    with sqlite3.connect(path) as other:
        other.execute("UPDATE totals SET cost = cost + 1")
    other.close()
    with Reader(path) as reader:
        assert "totals say" in reader.verify()[0]
