"""Pipelines: names, slots and what waits are bounded; what is past is forgotten; the file is exact."""

from __future__ import annotations

import json

import pytest

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO, OTHER
from fleetwatch.ledger import Ledger
from fleetwatch.ledger.pipelines import held as held_runs
from fleetwatch.ledger.pipelines import waiting as pipeline_waiting
from fleetwatch.ledger.pipelines.waiting import KEPT
from fleetwatch.ledger.query import Reader
from fleetwatch.ledger.store import Record
from fleetwatch.records.pipelines import RunWithPhases, Tally, Usage
from support_pipelines import Opened, begun, ended, lone, one_phase, phase, traced, whole
from support_tasks import SECOND, Clock, at, run, span_id
from support_tasks import Tally as Counted

DAY = 86_400


def keys(found: list[RunWithPhases]) -> set[str]:
    return {item.run.run for item in found}


# --- bounds


def test_a_phase_name_per_run_grows_neither_series_nor_memory(opened: Opened) -> None:
    ledger = opened(max_phases=3)
    for number in range(50):
        ledger.commit([phase(f"P{number}", 0, 1, run=f"r{number}"), ended(f"r{number}")])
    counted = Counted().take(ledger)
    assert {labels[1] for labels in counted.of(pipelines.PHASE_DURATION)} == {"P0", "P1", "P2", OTHER}
    assert counted.number(pipelines.PHASE_DURATION, "nightly", OTHER, "success") == 47
    assert ledger.overflows() == {("pipeline_phase_duration_seconds", "phase"): 47}
    assert [item.phase for item in ledger.pipelines.known()[0].phases] == ["P0", "P1", "P2"]
    assert one_phase(ledger, "P49", "r49").phase == "P49", "the history has the name as told"


def test_parts_have_room_for_twice_as_many_names(opened: Opened) -> None:
    ledger = opened(max_phases=2)
    parts = [phase("P01", 0, 1, execution=f"e{number}", subphase=f"s{number}") for number in range(9)]
    ledger.commit(parts)
    found = {labels[2] for labels in Counted().take(ledger).of(pipelines.SUBPHASE_DURATION)}
    assert found == {"s0", "s1", "s2", "s3", OTHER}


def test_a_pipeline_name_per_run_grows_neither_series_nor_memory(opened: Opened) -> None:
    ledger = opened(limits={"pipeline": 2})
    for number in range(20):
        ledger.commit([phase("P01", 0, 1, pipeline=f"p{number}"), ended(pipeline=f"p{number}")])
    counted = Counted().take(ledger)
    assert {labels[0] for labels in counted.of(pipelines.RUNS)} == {"p0", "p1", OTHER}
    assert counted.counts["pipeline_runs_total", OTHER, "success", "completed"] == 18
    assert counted.of(pipelines.PHASE_DURATION)[OTHER, OTHER, "success"] == 18 * SECOND
    assert ledger.overflows()["pipeline_runs_total", "pipeline"] == 18
    assert len(ledger.pipelines.known()) == 2
    assert whole(ledger, pipeline="p19").run.slot is None


def test_runs_at_once_and_phases_in_a_run_are_bounded(opened: Opened) -> None:
    ledger = opened(max_open=2, max_executions=10)
    ledger.commit([begun(f"r{number}") for number in range(4)])
    ledger.commit([ended("done"), phase("P01", run="new")])
    assert ledger.pipelines.take_rejected() == {"too_many": 3}
    ledger.commit([ended("r0"), begun("r4")])
    ledger.commit([phase("P01", 0, 1, run="r1", execution=f"e{number}") for number in range(12)])
    assert ledger.pipelines.take_rejected() == {"too_many": 2}
    assert len(whole(ledger).phases) == 10


def test_what_is_left_out_is_counted_and_never_kept(ledger: Ledger, clock: Clock) -> None:
    clock.now = 100 * DAY
    ledger.commit([ended("old"), begun("", 100 * DAY), ended("back", 100 * DAY, 100 * DAY - 5)])
    assert ledger.pipelines.take_rejected() == {"too_old": 1, "malformed": 1, "bad_time": 1}
    assert ledger.pipelines.take_rejected() == {}
    run = whole(ledger, "back").run
    assert run.ended == run.started
    assert Counted().take(ledger).of(pipelines.RUNS) == {("nightly", "success", "completed"): 1}


def test_signals_are_series_where_the_settings_say_so(opened: Opened) -> None:
    ledger = opened()
    first = Tally(signals=(("irrigation.events", 1.5), ("odd", 9.0), ("pressure", 2.5)))
    ledger.commit([phase("P01", at=at(3), tally=first)])
    last = Tally(signals=(("irrigation.events", 4.0), ("odd", 9.0), ("pressure", 1.5)))
    ledger.commit([phase("P01", 0, 9, tally=last), phase("P01", 0, 9, pipeline="other", tally=last)])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.SIGNAL_COUNT) == {
        ("nightly", "P01", "irrigation.events"): 4 * NANO,
        ("other", "P01", "irrigation.events"): 4 * NANO,
    }
    assert ledger.pipelines.take_undeclared() == {"nightly": 1, "other": 2}
    for _ in range(2):
        assert ledger.pipelines.signals("nightly", "P01") == (("pressure", 1.5),)
        assert ledger.pipelines.signals("other", "P01") == ()
        ledger = opened()


# --- what others ask


def test_known_are_the_last_ends_of_pipelines_and_phases(opened: Opened, clock: Clock) -> None:
    ledger = opened()
    ledger.commit([phase("P01", 0, 9, usage=Usage(memory_peak=500)), ended()])
    clock.now = 200
    failed = {"result": "failure", "reason": "phase"}
    ledger.commit(
        [phase("P01", 100, 150, run="r2", usage=Usage(memory_peak=300), **failed), ended("r2", 100, 160, **failed)]
    )
    ledger.commit([phase("P01", 0, 9, usage=Usage(memory_peak=500)), ended()])
    for _ in range(2):
        (known,) = ledger.pipelines.known()
        assert known[:4] == ("nightly", at(100), at(60), at(160))
        assert known.phases == (("P01", "", at(9), at(150), 300),)
        assert known.seen == at(200)
        ledger = opened()


def test_changes_are_told_once_and_after_a_start_all_that_shows(opened: Opened) -> None:
    ledger = opened(slots=2)
    ledger.commit([begun("a"), ended("b", 0, 10), ended("c", 0, 20), ended("d", 0, 30)])
    assert keys(ledger.pipelines.take_changed()) == {"a", "b", "c", "d"}
    assert ledger.pipelines.take_changed() == []
    ledger.commit([begun("e", 40), phase("P01", 40, run="e")])
    changed = {item.run.run: item for item in ledger.pipelines.take_changed()}
    assert changed.keys() == {"d", "e"}, "d had the slot that e has"
    assert changed["e"] == whole(ledger, "e")
    ledger = opened(slots=2)
    assert keys(ledger.pipelines.take_changed()) == {"a", "e"}


def test_history_is_what_ended_newest_first(ledger: Ledger) -> None:
    ledger.commit(
        [ended("a", 5), ended("b", 3), begun("c", 9), ended("d", 8, pipeline="other"), phase("P01", 6, 7, run="a")]
    )
    assert [item.run.run for item in ledger.pipelines.history("nightly", 5)] == ["a", "b"]
    assert [item.run.run for item in ledger.pipelines.history("nightly", 1)] == ["a"]
    assert [item.phase for item in ledger.pipelines.history("nightly", 1)[0].phases] == ["P01"]


def test_a_pipeline_is_expected_since_it_was_said_so(opened: Opened, clock: Clock) -> None:
    ledger = opened()
    ledger.pipelines.expect(["weekly"])
    clock.now += 50
    ledger = opened()
    ledger.pipelines.expect(["weekly"])
    assert ledger.pipelines.known() == [("weekly", at(100), None, None, (), at(100))]
    assert Counted().take(ledger).counts["pipeline_runs_total", "weekly", "success", "completed"] == 0


# --- slots


def slots(ledger: Ledger) -> dict[str, int]:
    rows = ledger.query("SELECT run, slot FROM pipeline_runs WHERE slot IS NOT NULL")
    return dict(rows)


def test_a_run_takes_the_slot_of_the_one_that_ended_longest_ago(opened: Opened) -> None:
    ledger = opened(slots=3)
    ledger.commit([begun("a"), ended("b", 0, 20), ended("c", 0, 10)])
    ledger.commit([begun("d", 30)])
    assert slots(ledger) == {"a": 0, "b": 1, "d": 2}
    ledger = opened(slots=3)
    ledger.commit([begun("e", 40)])
    assert slots(ledger) == {"a": 0, "e": 1, "d": 2}
    ledger.commit([ended("older", 0, 5)])
    assert slots(ledger) == {"a": 0, "e": 1, "d": 2}, "a run that is told of late has no place before newer ones"


def test_where_all_are_under_way_a_run_waits_for_the_first_end(opened: Opened) -> None:
    ledger = opened(slots=2)
    ledger.commit([begun(name) for name in "abcd"])
    assert slots(ledger) == {"a": 0, "b": 1}
    ledger.commit([ended("b", 0, 50)])
    assert slots(ledger) == {"a": 0, "c": 1}
    ledger = opened(slots=2)
    ledger.commit([ended("a", 0, 50)])
    assert slots(ledger) == {"d": 0, "c": 1}


def test_a_run_has_the_slot_that_the_file_says(opened: Opened) -> None:
    """Several begin and end in one commit while others wait."""
    ledger = opened(slots=2)
    ledger.commit([begun(name) for name in "abcde"])
    ledger.commit([ended("a", 0, 50), ended("b", 0, 51), ended("c", 0, 52), begun("f", 60), ended("g", 0, 53)])
    held = {item.run.run: item.run.slot for item in ledger.pipelines.take_changed() if item.run.slot is not None}
    assert held == slots(ledger) == {"d": 0, "e": 1}
    ledger.commit([ended(name, 0, 60) for name in "de"])
    assert set(slots(ledger)) >= {"f"}
    assert sorted(slots(ledger).values()) == [0, 1]


def test_fewer_slots_free_those_past_them(opened: Opened) -> None:
    opened(slots=4).commit([begun(name) for name in "abcd"])
    ledger = opened(slots=2)
    assert slots(ledger) == {"a": 0, "b": 1}
    assert keys(ledger.pipelines.take_changed()) == set("abcd")


# --- phases that know only their trace


def test_a_phase_that_knows_only_its_trace_waits_for_its_run(opened: Opened) -> None:
    ledger = opened()
    waits = lone("P01", 1, 9, "p1", "top")
    deep = lone("inner", 2, 3, "p2", "p1")._replace(child_of_run=True)
    direct = lone("P02", 9, 12, "p3", "top")._replace(child_of_run=True)
    ledger.commit([waits, deep, direct, waits])
    assert Counted().take(ledger).counts == {}
    ledger = opened()
    ledger.commit([traced(ended(), "top")])
    assert [item.phase for item in whole(ledger).phases] == ["P01", "P02"]
    ledger.commit([waits, direct])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.PHASE_DURATION) == {
        ("nightly", "P01", "success"): 8 * SECOND,
        ("nightly", "P02", "success"): 3 * SECOND,
    }
    assert ledger.query("SELECT count(*) FROM pipeline_waiting") == [(0,)]


def test_of_several_runs_of_a_trace_it_is_the_innermost_around_it(ledger: Ledger) -> None:
    ledger.commit([
        lone("P01", 21, 29, "p1"),
        traced(ended("outer", 0, 60), "a"), traced(ended("inner", 20, 30), "b"),
        lone("P02", 40, 41, "p2"),
    ])  # fmt: skip
    assert [item.phase for item in whole(ledger, "inner").phases] == ["P01"]
    assert [item.phase for item in whole(ledger, "outer").phases] == ["P02"]


def test_phases_that_wait_are_bounded_and_the_oldest_go(
    ledger: Ledger, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipeline_waiting, "MOST", 3)
    waiting = [lone(f"P{number}", 0, 1, f"s{number}", "top") for number in range(6)]
    ledger.commit([*waiting[:5], waiting[4], waiting[5]._replace(child_of_run=True)])
    assert ledger.query("SELECT count(*) FROM pipeline_waiting") == [(3,)]
    assert ledger.pipelines.take_rejected() == {"unplaced": 3}
    clock.now += 2 * DAY
    assert ledger.prune() == 3, "told, so that whoever prunes goes on while there is more"
    assert ledger.pipelines.take_rejected() == {"unplaced": 2}, "a span that may be no phase at all is none"


def test_a_phase_whose_run_never_comes_is_left_out_after_a_day(ledger: Ledger, clock: Clock) -> None:
    waits = lone("P01", 1, 9, "p1")
    ledger.commit([waits, waits._replace(span=span_id("p2"), child_of_run=True)])
    ledger.commit([waits._replace(trace=b"")])
    assert ledger.pipelines.take_rejected() == {"malformed": 1}
    clock.now += KEPT // SECOND + 1
    ledger.prune()
    assert ledger.pipelines.take_rejected() == {"unplaced": 1}
    assert ledger.query("SELECT count(*) FROM pipeline_waiting") == [(0,)]


# --- forgotten


def test_old_runs_are_forgotten_but_their_sums_are_not(opened: Opened, clock: Clock) -> None:
    ledger = opened(slots=2, keep_days=3)
    ledger.commit([begun("open"), ended("slot", 0, 50), ended("old", 0, 10), phase("P01", 0, 1, run="old")])
    clock.now += 2 * DAY
    ledger.commit([ended("young", 2 * DAY)])
    ledger.commit([ended("younger", 2 * DAY, 2 * DAY + 70)])
    clock.now += DAY + 1
    while ledger.prune():
        pass
    left = {row[0] for row in ledger.query("SELECT run FROM pipeline_runs")}
    assert left == {"open", "young", "younger"}
    assert ledger.query("SELECT count(*) FROM pipeline_phases") == [(0,)]
    assert Counted().take(ledger).of(pipelines.RUNS) == {("nightly", "success", "completed"): 4}


def test_a_forgotten_pipeline_makes_room_and_begins_at_zero(opened: Opened) -> None:
    ledger = opened(limits={"pipeline": 2, "phase": 2})
    ledger.commit([phase("P01", 0, 1), ended(), phase("P02", 0, 1, pipeline="b"), ended(pipeline="b"), run("task")])
    series = ("pipeline_runs_total", ("nightly", "success", "completed"))
    ledger.take()
    ledger.checkpoint([series, ("pipeline_runs_total", ("b", "success", "completed"))])
    Counted().take(ledger)
    ledger.pipelines.take_changed()
    ledger.pipelines.forget("nightly")
    assert [known.pipeline for known in ledger.pipelines.known()] == ["b"]
    assert series not in ledger.released()
    assert len(ledger.released()) == 1
    assert [item.run.slot for item in ledger.pipelines.take_changed()] == [None]
    assert Counted().take(ledger).counts == {}
    ledger.commit([phase("P09", 0, 1, pipeline="renamed"), ended(pipeline="renamed")])
    assert Counted().take(ledger).of(pipelines.PHASE_DURATION) == {("renamed", "P09", "success"): SECOND}
    ledger = opened(limits={"pipeline": 2, "phase": 2})
    counted = Counted().take(ledger)
    assert {labels[0] for labels in counted.of(pipelines.RUNS)} == {"b", "renamed"}
    assert sum(counted.counts[key] for key in counted.counts if key[0] == "agent_tasks_total") == 1  # type: ignore[misc]
    assert [item.run.run for item in ledger.pipelines.history("nightly", 5)] == ["r1"], "the history stays its time"
    ledger.pipelines.forget("b")
    ledger.commit([ended("r9", 100, 110)])
    assert Counted().take(ledger).counts["pipeline_runs_total", "nightly", "success", "completed"] == 1


def test_a_pipeline_that_is_forgotten_under_way_goes_on_by_its_names(ledger: Ledger) -> None:
    ledger.commit([begun(), phase("P01", 0, tally=Tally(5))])
    ledger.pipelines.forget("nightly")
    ledger.commit([phase("P01", 0, tally=Tally(8))])
    assert Counted().take(ledger).of(pipelines.PHASE_ITEMS) == {("nightly", "P01", "in"): 3}
    assert [item.run.slot for item in ledger.pipelines.take_changed()] == [0]


# --- the file


def test_a_group_that_fails_leaves_nothing_behind(ledger: Ledger) -> None:
    group: list[Record] = [begun(), phase("P01", 0, 9, tally=Tally(items_out=5)), ended("r2")]
    broken = phase("P02", tally=Tally(signals=((b"\0", 1.0),)))  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        ledger.commit([*group, broken])
    assert (ledger.counts(), ledger.pipelines.take_changed(), ledger.pipelines.known()) == ([], [], [])
    ledger.commit(group)
    counted = Counted().take(ledger)
    assert counted.of(pipelines.PHASE_ITEMS) == {("nightly", "P01", "out"): 5}
    assert slots(ledger) == {"r1": 0, "r2": 1}


def test_memory_is_bounded_and_nothing_is_lost_by_it(opened: Opened, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_runs, "MOST_HELD", 5)
    ledger = opened()
    for items in (1, 2, 3):
        for number in range(6):
            name = f"r{number}"
            ledger.commit([begun(name), *(phase(f"P{part}", run=name, tally=Tally(items)) for part in range(3))])
    assert sum(1 + len(held.phases) for held in ledger.pipelines._runs._held.values()) <= 5
    counted = Counted().take(ledger)
    assert counted.of(pipelines.PHASE_ITEMS) == {("nightly", f"P{part}", "in"): 18 for part in range(3)}
    assert len(ledger.pipelines.take_changed()) == 6


def test_runs_of_a_trace_are_found_by_an_index(ledger: Ledger) -> None:
    """It is asked for every run that is settled."""
    assert "pipeline_runs_trace" in str(ledger.query(f"EXPLAIN QUERY PLAN {held_runs._OF_TRACE}", (b"t", 1)))


def test_a_reader_sees_runs_phases_and_names(ledger: Ledger) -> None:
    tally = Tally(1, 2, 3, 4, 5, 6, (("a", 7),), (("odd", 1.5),))
    ledger.commit([begun(cores=4, version="1.2"), phase("P01", 0, 9, tally=tally, usage=Usage(1, None, 3, 4))])
    with Reader(ledger.path) as reader:
        assert reader.verify() == []
        (found,) = reader.runs()
        assert reader.with_phases(found) == whole(ledger)
        assert reader.with_phases(found).phases[0].tally == tally
        assert reader.with_phases(found).phases[0].usage == Usage(1, None, 3, 4)
        assert reader.pipelines() == ledger.pipelines.known()
    assert json.loads(ledger.query("SELECT told FROM pipeline_runs")[0][0]) == list(found.told)
