"""A ledger of an older program goes on where it stood."""

from __future__ import annotations

import gzip
import sqlite3
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger, LedgerError, schema
from fleetwatch.ledger.query import Reader
from fleetwatch.ledger.roster import Changes, ask
from fleetwatch.ledger.usage import Usage
from fleetwatch.records.hosts import Host
from support_ledger import BOOK, requests_and_cost
from support_llm import call

FIXTURES = Path(__file__).parents[2] / "fixtures" / "ledger"
"""Files written by the programs whose files had these formats: four calls, the last one after the checkpoint."""
VERSIONS = [1, 2, 3, 4]

NODE = Host("node-1", 1, 2, 3, 4, -5, 6, 7, None, 9, None, "p5.48xlarge", "eu-central-1", "spot")
"""In the roster of the files from version 2 on."""


@pytest.fixture(params=VERSIONS)
def version(request: pytest.FixtureRequest) -> int:
    return int(request.param)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "odd #name?" / "ledger.db"


@pytest.fixture
def old(path: Path, version: int) -> Path:
    return old_file(path, version)


def old_file(path: Path, version: int) -> Path:
    path.parent.mkdir(parents=True)
    path.write_bytes(gzip.decompress((FIXTURES / f"version-{version}.db.gz").read_bytes()))
    return path


def test_every_older_format_has_a_file_here() -> None:
    assert sorted(schema.MIGRATIONS) == VERSIONS == list(range(1, schema.VERSION))


def test_an_older_file_keeps_its_calls_and_gains_what_is_new(old: Path) -> None:
    for _ in range(2):
        ledger = Ledger(old, BOOK)
        assert requests_and_cost(ledger)[0] == 4
        assert {labels.agent for labels, _ in ledger.totals()} == {"triage", "search"}
        assert ledger.released() == frozenset({("llm_requests_total", ("triage",))})
        ledger.checkpoint(hosts=Changes([NODE]))
        assert ledger.hosts() == [NODE]
        ledger.close()
    with Reader(old) as reader:
        assert reader.verify() == []
        assert reader.hosts() == [NODE]


def test_the_second_format_brings_its_roster_duplicates_and_waiting_points(path: Path) -> None:
    old_file(path, 2)
    clock = [1_790_000_000 * 10**9 + 200 * 10**9]
    ledger = Ledger(path, BOOK, usage=Usage(grace=15), clock=lambda: clock[0])
    assert ledger.hosts() == [NODE]
    assert ledger.duplicates() == {"resent": 1}
    sent = call(key=bytes([1]) * 16, span=b"trace-of-version" + bytes([1]) * 8)
    assert ledger.commit([sent]).duplicates == {"resent": 1}
    clock[0] += 16 * 10**9
    assert ledger.settle().calls == 1
    assert requests_and_cost(ledger)[0] == 5
    ledger.close()


def test_a_migrated_file_has_the_tables_of_a_new_one(old: Path, tmp_path: Path) -> None:
    def tables(file: Path) -> set[tuple[str, str]]:
        db = sqlite3.connect(file)
        found = set(db.execute("SELECT name, sql FROM sqlite_master"))
        assert db.execute("PRAGMA user_version").fetchone() == (schema.VERSION,)
        db.close()
        return found

    Ledger(old, BOOK).close()
    Ledger(tmp_path / "new.db", BOOK).close()
    assert tables(old) == tables(tmp_path / "new.db")


def test_a_migration_that_is_cut_off_is_done_again(old: Path, version: int, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as cut:
        cut.setitem(schema.MIGRATIONS, version, schema.MIGRATIONS[version] + "SELECT no_such_thing;")
        with pytest.raises(LedgerError):
            Ledger(old, BOOK)
    assert sqlite3.connect(old).execute("PRAGMA user_version").fetchone() == (version,)
    Ledger(old, BOOK).close()


def test_a_file_that_was_not_migrated_yet_says_so(old: Path, version: int) -> None:
    told = f"its format is {version}; an exporter of this version makes it {schema.VERSION} when it starts"
    with pytest.raises(LedgerError, match=told):
        ask(old, "node-1", "forget")
    with pytest.raises(LedgerError, match=f"its format is {version}"), Reader(old) as reader:
        reader.hosts()
    with Reader(old) as reader:
        assert sum(item.requests for item in reader.spending(["model"])) == 4


def test_a_file_of_a_later_program_is_left_alone(path: Path) -> None:
    Ledger(path, BOOK).close()
    db = sqlite3.connect(path)
    db.execute("PRAGMA user_version = 99")
    db.close()
    with pytest.raises(
        LedgerError, match=f"its format is 99; this program knows up to {schema.VERSION}: run the newer"
    ):
        Ledger(path, BOOK)
