"""Spans are remembered by trace, for a time."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from fleetwatch.ledger import Ledger, schema, traces
from fleetwatch.ledger.traces import AGAIN, DOUBTFUL, KEPT, SpanRow, Traces
from fleetwatch.reckon.span_tree import CALL, STEP, WAITING
from support_ledger import BOOK
from support_tasks import Clock, llm, span_id, trace_id

T = b"one trace's name"
U = b"the other trace's name"[:16]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "ledger.db"
    with closing(opened(path)) as db:
        db.executescript(f"BEGIN; {schema.SCHEMA} COMMIT;")
    return path


def opened(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path, isolation_level=None)


@pytest.fixture
def db(path: Path) -> Iterator[sqlite3.Connection]:
    with closing(opened(path)) as db:
        yield db


def row(number: int, trace: bytes = T, kind: str = STEP, seen: int = 0) -> SpanRow:
    return SpanRow(trace, number.to_bytes(8, "big"), b"", kind, 1, 2, seen)


def test_a_span_is_inserted_once(db: sqlite3.Connection) -> None:
    table = Traces(db)
    assert table.add([row(1), row(2), row(1, U)]) == [row(1), row(2), row(1, U)]
    assert table.add([row(2, kind=CALL), row(3), row(3)]) == [row(3)]
    assert table.of(T) == [row(1), row(2), row(3)]
    assert table.find(T, row(2).span) == row(2)
    assert (table.find(U, row(2).span), table.of(b"?" * 16)) == (None, [])


def test_many_traces_are_read_at_once(db: sqlite3.Connection) -> None:
    table = Traces(db)
    names = [number.to_bytes(16, "little") for number in range(1, 600)]
    table.add(row(number, name) for name in names for number in (1, 2))
    assert table.of_many([*names, T]) == {name: [row(1, name), row(2, name)] for name in names}


def test_only_what_waits_is_decided(db: sqlite3.Connection) -> None:
    table = Traces(db)
    waiting = row(1, kind=WAITING)._replace(flags=DOUBTFUL, what="key")
    table.add([waiting, row(2, kind=CALL)._replace(call=7)])
    table.decide(row(1, kind=CALL)._replace(call=8))
    table.decide(row(2, kind=AGAIN))
    table.decide(row(3, kind=AGAIN))
    assert [(item.kind, item.call, item.flags) for item in table.of(T)] == [(CALL, 8, 0), (CALL, 7, 0), (AGAIN, 0, 0)]


def test_flags_are_set(db: sqlite3.Connection) -> None:
    table = Traces(db)
    table.add([row(1), row(2)])
    table.set_flags([(5, T, row(2).span)])
    assert [item.flags for item in table.of(T)] == [0, 5]


def test_what_another_process_wrote_is_found(path: Path) -> None:
    with closing(opened(path)) as db:
        Traces(db).add([row(1), row(1, U)])
    with closing(opened(path)) as db:
        table = Traces(db)
        assert table.of(T) == [row(1)]
        assert table.add([row(1)]) == []


def test_a_transaction_that_is_undone_leaves_nothing(db: sqlite3.Connection) -> None:
    table = Traces(db)
    db.execute("BEGIN")
    table.add([row(1)])
    db.execute("ROLLBACK")
    assert table.of(T) == []
    assert table.add([row(1)]) == [row(1)]


def test_spans_are_forgotten_after_a_day_some_at_a_time(
    db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "PRUNE_SPANS", 3)
    table = Traces(db)
    table.add(row(number, seen=number) for number in range(10))
    assert [table.prune(KEPT + 5) for _ in range(3)] == [3, 2, 0]
    assert [item.seen for item in table.of(T)] == [5, 6, 7, 8, 9]
    assert db.execute("SELECT count(*) FROM temp.trace_index").fetchone() == (5,)


def test_more_spans_than_memory_is_meant_for_are_forgotten_sooner(
    path: Path, db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(traces, "MOST_INDEXED", 4)
    table = Traces(db)
    table.add(row(number) for number in range(10))
    with closing(opened(path)) as after_a_restart:
        assert len(Traces(after_a_restart).of(T)) == 4
    assert (table.prune(0), len(table.of(T))) == (6, 4)


def test_where_all_are_forgotten_numbers_begin_anew(db: sqlite3.Connection) -> None:
    table = Traces(db)
    table.add(row(number) for number in range(10))
    assert table.prune(KEPT + 1) == 10
    assert table.add([row(1)]) == [row(1)]
    assert table.of(T) == [row(1)]


class TestIndex:
    """The index may lag behind; nobody notices."""

    @pytest.fixture
    def ledger(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Ledger]:
        monkeypatch.setattr(traces, "LATE", 5)
        ledger = Ledger(tmp_path / "of-calls.db", BOOK, clock=Clock())
        yield ledger
        ledger.close()

    def test_calls_are_found_whether_or_not_it_has_them(self, ledger: Ledger) -> None:
        for number in range(12):
            ledger.commit([llm("call", "root", trace=f"t{number}")])
            table = ledger._traces
            assert [item.kind for item in table.of(trace_id(f"t{number // 2}"))] == [CALL]
        assert ledger.commit([llm("call", "root", trace="t11"), llm("root", trace="t11")]).calls == 0

    def test_what_is_undone_was_never_there_and_what_was_there_stays(self, ledger: Ledger) -> None:
        for number in range(40):
            ledger.commit([llm("call", "root", trace=f"t{number}")])
            # The first makes the index be read; the second cannot be stored.
            bad = [llm(f"c{number}", "root", trace=f"t{number}"), llm("x", trace=f"u{number}", duration=1 << 70)]
            with pytest.raises(OverflowError):
                ledger.commit(bad)
            assert ledger._traces.find(trace_id(f"t{number}"), span_id(f"c{number}")) is None
        for number in range(40):
            assert ledger.commit([llm("root", trace=f"t{number}")]).duplicates == {"enclosing": 1}
        found = ledger.query("SELECT count(*) FROM temp.trace_index"), ledger.query("SELECT count(*) FROM trace_spans")
        assert found == ([(80,)], [(80,)])
