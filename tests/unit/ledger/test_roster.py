"""The roster outlives the exporter, and other processes may ask for changes while it runs."""

from __future__ import annotations

import gzip
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger, LedgerError, schema
from fleetwatch.ledger.query import Reader
from fleetwatch.ledger.roster import Changes, ask, is_waiting
from fleetwatch.records.hosts import Host
from support_ledger import BOOK, requests_and_cost
from support_llm import call

VERSION_1 = Path(__file__).parents[2] / "fixtures" / "ledger" / "version-1.db.gz"
"""Written by the program whose files had this format: four calls, the last one after the checkpoint."""

NODE = Host("node-1", 1, 2, 3, 4, -5, 6, 7, None, 9, None, "p5.48xlarge", "eu-central-1", "spot")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "odd #name?" / "ledger.db"


@pytest.fixture
def ledger(path: Path) -> Iterator[Ledger]:
    opened = Ledger(path, BOOK)
    yield opened
    opened.close()


def old_file(path: Path) -> Path:
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.decompress(VERSION_1.read_bytes()))
    return path


def test_the_roster_is_read_as_it_was_written(path: Path) -> None:
    ledger = Ledger(path, BOOK)
    other = NODE._replace(name="node-2", goodbye_at=8)
    ledger.checkpoint(hosts=Changes([other, NODE]))
    ledger.checkpoint(hosts=Changes([NODE._replace(last_report=10)], ["node-2"]))
    ledger.close()
    again = Ledger(path, BOOK)
    assert again.hosts() == [NODE._replace(last_report=10)]
    again.close()


def test_a_checkpoint_that_fails_leaves_the_roster_as_it_was(ledger: Ledger) -> None:
    ledger.checkpoint(hosts=Changes([NODE]))
    with pytest.raises(OverflowError):
        ledger.checkpoint(hosts=Changes([NODE._replace(sent=1 << 70)], ["node-1"]))
    assert ledger.hosts() == [NODE]


def test_another_process_asks_and_hears_when_it_is_done(ledger: Ledger, path: Path) -> None:
    first, second = ask(path, "node-1", "confirm"), ask(path, "node-2", "forget")
    assert [(item.host, item.wish) for item in ledger.host_requests()] == [("node-1", "confirm"), ("node-2", "forget")]
    ledger.checkpoint(hosts=Changes(done=first))
    assert (is_waiting(path, first), is_waiting(path, second)) == (False, True)
    ledger.checkpoint(hosts=Changes(done=second))
    assert ledger.host_requests() == []
    assert ask(path, "node-1", "confirm") > second, "a number never comes again"


def test_who_asks_does_not_stop_the_writer(ledger: Ledger, path: Path) -> None:
    for _ in range(20):
        ask(path, "node-1", "confirm")
        ledger.commit([call()])
    assert requests_and_cost(ledger)[0] == 20


def test_there_is_nothing_to_ask_where_no_ledger_is(path: Path) -> None:
    with pytest.raises(LedgerError, match="the exporter makes it when it starts"):
        ask(path, "node-1", "forget")
    assert not path.exists()


def test_a_file_of_the_first_format_keeps_its_calls_and_gains_a_roster(path: Path) -> None:
    old_file(path)
    for _ in range(2):
        ledger = Ledger(path, BOOK)
        assert requests_and_cost(ledger)[0] == 4
        assert {labels.agent for labels, _ in ledger.totals()} == {"triage", "search"}
        assert ledger.released() == frozenset({("llm_requests_total", ("triage",))})
        ledger.checkpoint(hosts=Changes([NODE]))
        assert ledger.hosts() == [NODE]
        ledger.close()
    with Reader(path) as reader:
        assert reader.verify() == []
        assert reader.hosts() == [NODE]


def test_a_migrated_file_has_the_tables_of_a_new_one(path: Path, tmp_path: Path) -> None:
    def tables(file: Path) -> set[tuple[str, str]]:
        db = sqlite3.connect(file)
        found = set(db.execute("SELECT name, sql FROM sqlite_master"))
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        db.close()
        return found

    Ledger(old_file(path), BOOK).close()
    Ledger(tmp_path / "new.db", BOOK).close()
    assert tables(path) == tables(tmp_path / "new.db")


def test_a_migration_that_is_cut_off_is_done_again(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old_file(path)
    with monkeypatch.context() as cut:
        cut.setitem(schema.MIGRATIONS, 1, schema.MIGRATIONS[1] + "SELECT no_such_thing;")
        with pytest.raises(LedgerError):
            Ledger(path, BOOK)
    assert sqlite3.connect(path).execute("PRAGMA user_version").fetchone() == (1,)
    Ledger(path, BOOK).close()


def test_a_file_that_was_not_migrated_yet_says_so(path: Path) -> None:
    old_file(path)
    with pytest.raises(LedgerError, match="its format is 1; an exporter of this version makes it 2 when it starts"):
        ask(path, "node-1", "forget")
    with pytest.raises(LedgerError, match="its format is 1"), Reader(path) as reader:
        reader.hosts()
    with Reader(path) as reader:
        assert sum(item.requests for item in reader.spending(["model"])) == 4


def test_a_file_of_a_later_program_is_left_alone(path: Path) -> None:
    Ledger(path, BOOK).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(LedgerError, match="its format is 99; this program knows up to 2: run the newer one"):
        Ledger(path, BOOK)
