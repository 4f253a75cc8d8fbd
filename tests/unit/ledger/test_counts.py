"""Durable counts: what the file holds is what was committed, and its series are bounded."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Iterator, Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.catalogue.metric import NANO, OTHER, counter, histogram, label
from fleetwatch.ledger import counts, schema
from fleetwatch.ledger.counts import Change, Counts
from fleetwatch.meter import Meter

WHO = label("who", "Anybody.", at_most=3)
HOW = label("how", "How it went.", one_of=("ok", "error"))
DONE = counter("test.done", unit="{task}", help="Tasks.", labels=(WHO, HOW), durable=True)
COST = histogram("test.cost.usd", unit="{USD}", help="Cost.", labels=(WHO,), buckets=(0.001, 0.3, 1), durable=True)


@pytest.fixture
def db() -> Iterator[sqlite3.Connection]:
    opened = sqlite3.connect(":memory:", isolation_level=None)
    opened.executescript(schema.SCHEMA)
    yield opened
    opened.close()


def of(db: sqlite3.Connection, limits: Mapping[str, int] | None = None) -> Counts:
    return Counts(db, [DONE, COST], limits or {})


def commit(held: Counts) -> None:
    held.write()
    held.committed()


def taken(held: Counts) -> dict[tuple[str, ...], tuple[int, list[int] | None]]:
    return {(change.metric.name, *change.labels): (change.amount, change.buckets) for change in held.take()}


def test_what_was_committed_is_taken_once_and_found_again_at_start(db: sqlite3.Connection) -> None:
    held = of(db)
    held.add(DONE, ("a", "ok"), 2)
    held.observe(COST, ("a",), 1_000_000)
    assert held.take() == []
    commit(held)
    held.add(DONE, ("a", "ok"))
    held.observe(COST, ("a",), 1_000_001)
    commit(held)
    truth = {("test.done", "a", "ok"): (3, None), ("test.cost.usd", "a"): (2_000_001, [1, 1, 0, 0])}
    assert taken(held) == truth
    assert held.take() == []
    assert taken(of(db)) == truth


def test_a_value_on_a_bound_is_in_its_bucket(db: sqlite3.Connection) -> None:
    """0.3 USD is 300,000,000 nano-USD to the last one, whatever a double makes of it."""
    held = of(db)
    for nano in (300_000_000, 300_000_001, NANO + 1):
        held.observe(COST, ("a",), nano)
    commit(held)
    assert held.take() == [Change(COST, ("a",), 1_600_000_002, [0, 1, 1, 1])]


def test_an_undone_transaction_leaves_nothing_and_takes_no_room(db: sqlite3.Connection) -> None:
    held = of(db)
    held.add(DONE, ("a", "ok"))
    commit(held)
    held.take()
    for who in "abcd":
        held.add(DONE, (who, "ok"))
    held.undo()
    assert (held.take(), held.overflows(), len(held)) == ([], {}, 1)
    for who in "xy":
        held.add(DONE, (who, "ok"))
    commit(held)
    assert [change.labels for change in held.take()] == [("x", "ok"), ("y", "ok")]


def test_values_past_a_bound_are_other_on_disk_and_after_a_restart(db: sqlite3.Connection) -> None:
    held = of(db)
    for who in "abcde":
        held.add(DONE, (who, "ok"))
        held.observe(COST, (who,), 5)
        commit(held)
    held.add(DONE, ("a", "never heard of"))
    commit(held)
    again = of(db)
    again.add(DONE, ("d", "ok"), 10)
    again.add(DONE, ("a", "ok"), 10)
    commit(again)
    assert {labels[1:]: value for labels, (value, _) in taken(again).items() if labels[0] == "test.done"} == {
        ("a", "ok"): 11,
        ("b", "ok"): 1,
        ("c", "ok"): 1,
        ("a", OTHER): 1,
        (OTHER, "ok"): 12,
    }
    assert held.overflows() == {
        ("test_done_total", "who"): 2,
        ("test_cost_usd", "who"): 2,
        ("test_done_total", "how"): 1,
    }
    assert held.overflows() == {}


def test_a_bound_of_the_settings_replaces_the_catalogue_s(db: sqlite3.Connection) -> None:
    held = of(db, {"who": 1})
    for who in "ab":
        held.add(DONE, (who, "ok"))
    commit(held)
    assert [change.labels for change in held.take()] == [("a", "ok"), (OTHER, "ok")]


def test_a_meter_with_the_same_bounds_shows_after_a_restart_what_it_showed_before(db: sqlite3.Connection) -> None:
    """`_other` sorts before small letters; let in first it would take a name's place."""
    held = of(db)
    for who in "abcd":
        held.add(DONE, (who, "ok"))
    commit(held)
    shown = []
    for source in (held, of(db)):
        meter = Meter()
        for metric, labels, amount, _ in source.take():
            meter.add(metric, labels, amount)
        shown.append({series.labels: series.value for _, all_series, _ in meter.snapshot() for series in all_series})
    assert shown[0] == shown[1]
    assert shown[0].keys() == {("a", "ok"), ("b", "ok"), ("c", "ok"), (OTHER, "ok")}


def test_series_past_the_most_are_counted_together(db: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(counts, "MOST_SERIES", 2)
    held = of(db)
    for who, how in [("a", "ok"), ("a", "error"), ("b", "ok"), ("b", "error"), ("a", "ok")]:
        held.add(DONE, (who, how))
    commit(held)
    assert {change.labels: change.amount for change in held.take()} == {
        ("a", "ok"): 2,
        ("a", "error"): 1,
        (OTHER, "ok"): 1,
        (OTHER, "error"): 1,
    }


def test_sums_outgrow_what_sqlite_holds(db: sqlite3.Connection) -> None:
    held = of(db)
    for _ in range(3):
        held.add(DONE, ("a", "ok"), 2**62)
        commit(held)
    again = of(db)
    again.add(DONE, ("a", "ok"))
    commit(again)
    assert taken(of(db)) == {("test.done", "a", "ok"): (3 * 2**62 + 1, None)}


def test_series_of_other_versions_are_left_alone(db: sqlite3.Connection, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    rows = [
        ("test.gone", "[]", 5, None),
        ("test.done", '["a"]', 5, None),
        ("test.cost.usd", '["a"]', 5, "[1, 0]"),
        ("test.cost.usd", '["b"]', 5, "[1, 0, 0, 0]"),
    ]
    db.executemany("INSERT INTO counts VALUES (?, ?, ?, ?)", rows)
    assert taken(of(db)) == {("test.cost.usd", "b"): (5, [1, 0, 0, 0])}
    assert len(caplog.records) == 3
    assert db.execute("SELECT count(*) FROM counts").fetchone() == (4,)


steps = st.lists(
    st.tuples(st.sampled_from(["add", "observe", "commit", "undo", "take", "restart"]), st.sampled_from("abcde")),
    max_size=40,
)


@given(steps=steps)
def test_what_is_taken_is_what_was_committed_whatever_happens(steps: list[tuple[str, str]]) -> None:
    db = sqlite3.connect(":memory:", isolation_level=None)
    db.executescript(schema.SCHEMA)
    held = of(db)
    committed, pending, shown = 0, 0, 0
    for step, who in [*steps, ("commit", "a"), ("take", "a")]:
        if step == "add":
            held.add(DONE, (who, "ok"))
            pending += 1
        elif step == "observe":
            held.observe(COST, (who,), 1)
            pending += 1
        elif step == "commit":
            commit(held)
            committed, pending = committed + pending, 0
        elif step == "undo":
            held.undo()
            pending = 0
        elif step == "take":
            shown += sum(change.amount for change in held.take())
            assert shown == committed
        else:
            held, pending, shown = of(db), 0, 0
    names = {change.labels[0] for change in of(db).take()}
    assert len(names - {OTHER}) <= 3
    db.close()


def test_what_is_forgotten_makes_room_and_leaves_the_file(db: sqlite3.Connection) -> None:
    held = of(db)
    for who in ("a", "b", "c", "d"):
        held.add(DONE, (who, "ok"))
        held.observe(COST, (who,), 1)
    commit(held)
    held.take()
    assert sorted(held.forget(WHO, "a")) == [("test_cost_usd", ("a",)), ("test_done_total", ("a", "ok"))]
    commit(held)
    assert held.take() == []
    assert ("test.done", "a", "ok") not in taken(of(db))
    held.add(DONE, ("e", "ok"))
    held.add(DONE, ("f", "ok"))
    commit(held)
    assert taken(held) == {("test.done", "e", "ok"): (1, None), ("test.done", OTHER, "ok"): (1, None)}
    assert taken(of(db)).keys() == {
        (name, *labels)
        for who in ("b", "c", OTHER, "e")
        for name, labels in (("test.done", (who, "ok")), ("test.cost.usd", (who,)))
    } - {("test.cost.usd", "e")}


def test_what_is_forgotten_before_it_was_taken_is_not_taken(db: sqlite3.Connection) -> None:
    held = of(db)
    held.add(DONE, ("a", "ok"))
    commit(held)
    held.forget(WHO, "a")
    commit(held)
    assert held.take() == []
    held.add(DONE, ("a", "ok"), 5)
    commit(held)
    assert taken(held) == taken(of(db)) == {("test.done", "a", "ok"): (5, None)}


def test_forgetting_that_is_undone_forgets_nothing(db: sqlite3.Connection) -> None:
    held = of(db)
    held.add(DONE, ("a", "ok"), 2)
    commit(held)
    db.execute("BEGIN")
    held.forget(WHO, "a")
    db.execute("ROLLBACK")
    held.undo()
    held.add(DONE, ("a", "ok"))
    commit(held)
    assert taken(held) == taken(of(db)) == {("test.done", "a", "ok"): (3, None)}


def test_a_series_may_begin_at_zero(db: sqlite3.Connection) -> None:
    held = of(db)
    held.open(DONE, ("a", "ok"))
    commit(held)
    assert taken(held) == taken(of(db)) == {("test.done", "a", "ok"): (0, None)}
    held.add(DONE, ("a", "ok"))
    held.open(DONE, ("a", "ok"))
    commit(held)
    assert taken(held) == {("test.done", "a", "ok"): (1, None)}


def test_an_overflow_that_somebody_else_saw_is_told(db: sqlite3.Connection) -> None:
    held = of(db)
    held.note_overflow(DONE, "who")
    held.undo()
    held.note_overflow(DONE, "who")
    commit(held)
    assert held.overflows() == {("test_done_total", "who"): 1}
