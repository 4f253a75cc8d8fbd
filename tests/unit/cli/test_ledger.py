"""`fleetwatch ledger`: are the sums right, and a copy for bad days."""

from __future__ import annotations

import sqlite3
from pathlib import Path

from fleetwatch.ledger import Ledger
from support_cli import PRICES, ledger_of, run
from support_llm import call


def test_a_sound_ledger_is_verified(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call(), call()])
    told = run(tmp_path, "ledger", "verify")
    assert (told.exit_code, told.output) == (0, f"{tmp_path}/ledger.db: all sums agree\n")


def test_a_call_that_was_changed_behind_the_ledger_s_back_is_found(tmp_path: Path) -> None:
    path = ledger_of(tmp_path, [call(), call()])
    with sqlite3.connect(path) as other:
        other.execute("UPDATE llm_calls SET cost = cost + 1 WHERE id = 1")
    other.close()
    told = run(tmp_path, "ledger", "verify")
    assert told.exit_code == 1
    assert "its calls add up to" in told.output


def test_a_backup_is_a_ledger(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call(), call()])
    told = run(tmp_path, "ledger", "backup", str(tmp_path / "copy.db"))
    assert told.exit_code == 0, told.output
    assert "bytes" in told.output
    copy = Ledger(tmp_path / "copy.db", PRICES)
    assert [total.requests for _, total in copy.totals()] == [2]
    copy.close()


def test_a_backup_goes_where_nothing_is_in_use(tmp_path: Path) -> None:
    path = ledger_of(tmp_path, [call()])
    before = path.read_bytes()
    told = run(tmp_path, "ledger", "backup", str(path))
    assert told.exit_code == 1
    assert "take the place of the ledger in use" in told.output
    assert path.read_bytes() == before


def test_a_backup_to_a_folder_that_is_not_there_is_told_in_a_line(tmp_path: Path) -> None:
    ledger_of(tmp_path, [call()])
    told = run(tmp_path, "ledger", "backup", str(tmp_path / "missing" / "copy.db"))
    assert (told.exit_code, len(told.output.splitlines())) == (1, 1)
    assert "No such file or directory" in told.output
