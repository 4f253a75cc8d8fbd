"""Whose run an event belongs to, in whatever order events come."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from fleetwatch.dialects.openlineage import read
from fleetwatch.ledger.pipelines import lineage
from fleetwatch.ledger.pipelines.lineage import KEEP, MOST_NAMES, MOST_RUNS, QUIET, WAIT
from fleetwatch.records.lineage import DataUse, Job, LineageEvent
from fleetwatch.records.pipelines import PhaseReport, RunReport
from support_lineage import T0, LineageBooks, S, Told, happens, ok, seconds

FIXTURES = Path(__file__).parents[2] / "fixtures" / "dialects" / "openlineage"


def fixture(name: str) -> list[LineageEvent]:
    lines = (FIXTURES / name).read_text(encoding="utf-8").splitlines()
    return [event for line in lines if (event := read(json.loads(line))) is not None]


NIGHT, WITHOUT_ROOT = fixture("night.jsonl"), fixture("night_without_root.jsonl")


DAG = "nightly_sales"
THE_NIGHT = sorted(
    [
        ok(DAG, "", "", 250),
        ok(DAG, "extract", "", 60, items=(0, 1000, 0, 0)),
        Told(DAG, "transform", "", "ended", "failure", "exception", 10, errors=(("UndefinedTable", 1),)),
        ok(DAG, "transform", "", 50, attempt=2, items=(1000, 990, 4, 9900)),
        ok(DAG, "transform", "sales_app", 43),
        ok(DAG, "transform", "sales_app.insert_orders", 40, items=(1000, 990, 4, 9900)),
        ok(DAG, "build", "", 109, items=(0, 120, 0, 0)),
        ok(DAG, "build", "dbt-run-shop", 70),
        ok(DAG, "build", "shop.model.orders", 50, items=(0, 120, 0, 0)),
    ]
)


@pytest.fixture
def books() -> LineageBooks:
    return LineageBooks()


@pytest.mark.parametrize("events", [NIGHT, WITHOUT_ROOT], ids=["with root", "without root"])
def test_a_night_in_order(books: LineageBooks, events: Sequence[LineageEvent]) -> None:
    for event in events:
        books.take(event, after=S)
    assert books.told() == THE_NIGHT


@pytest.mark.parametrize("events", [NIGHT, WITHOUT_ROOT], ids=["with root", "without root"])
@given(data=st.data())
def test_any_order_any_repetition_and_any_cut_into_commits_give_the_same(
    events: Sequence[LineageEvent], data: st.DataObject
) -> None:
    books = LineageBooks()
    again = data.draw(st.lists(st.sampled_from(events), max_size=6))
    order = data.draw(st.permutations([*events, *again]))
    size = data.draw(st.integers(1, 8))
    for start in range(0, len(order), size):
        books.take(*order[start : start + size], after=S)
        assert books.wait(0) == []
    assert books.told() == THE_NIGHT
    assert not books.lineage.any_due(books.now + 10 * QUIET)


def test_a_phase_shows_while_it_lasts(books: LineageBooks) -> None:
    books.take(happens("dag"), happens("dag.load", at=1, parent="dag"))
    assert [(item.phase, item.state) for item in books.told()] == [("", "executing"), ("load", "executing")]
    books.take(happens("dag.load", "RUNNING", 5, parent="dag", rows=70))
    assert books.told()[1].items == (0, 70, 0, 0)


def test_a_child_without_a_root_waits_for_its_parent_s_word(books: LineageBooks) -> None:
    assert books.take(happens("job", at=2, parent="app")) == []
    assert books.wait(WAIT - 1) == []
    books.take(happens("app", at=1, parent="dag.task"))
    assert books.told() == []
    books.take(happens("dag.task", parent="dag", root="dag"))
    assert [(item.phase, item.subphase) for item in books.told()] == [
        ("", ""), ("task", ""), ("task", "app"), ("task", "job"),
    ]  # fmt: skip


def test_a_parent_that_stays_silent_is_taken_for_a_run(books: LineageBooks) -> None:
    """Without a root; with one it is a phase of it."""
    books.take(happens("one", at=2, parent="app"), happens("two", at=3, parent="app"))
    books.wait(WAIT)
    assert [(item.pipeline, item.phase) for item in books.told()] == [("app", ""), ("app", "one"), ("app", "two")]
    books = LineageBooks()
    books.take(happens("job", at=2, parent="dag.task", root="dag"))
    books.wait(WAIT)
    assert [(item.pipeline, item.phase, item.subphase) for item in books.told()] == [
        ("dag", "", ""), ("dag", "task", ""), ("dag", "task", "job"),
    ]  # fmt: skip


def test_what_nobody_told_ends_with_its_parts(books: LineageBooks) -> None:
    """When all have ended and a quarter of an hour has passed; its time is theirs."""
    books.take(
        happens("dag.a", at=2, parent="dag", root="dag"), happens("dag.a", "COMPLETE", 9, parent="dag", root="dag")
    )
    books.take(happens("dag.b", at=9, parent="dag", root="dag"))
    books.wait(2 * QUIET)
    assert [item.state for item in books.told()] == ["executing", "ended", "executing"]
    books.take(happens("dag.b", "COMPLETE", 30, parent="dag", root="dag"))
    assert books.wait(QUIET - 1) == []
    books.wait(1)
    assert books.told()[0] == ok("dag", "", "", 28)
    assert not books.lineage.any_due(books.now + 10 * QUIET)


@pytest.mark.parametrize(
    ("ends", "result"),
    [
        ([("a", "COMPLETE"), ("b", "FAIL")], "failure"),
        ([("a", "FAIL"), ("a", "COMPLETE")], "success"),
        ([("a", "ABORT"), ("b", "COMPLETE")], "cancellation"),
        ([("a", "ABORT"), ("b", "FAIL")], "failure"),
    ],
)
def test_the_last_attempt_of_each_phase_says_how_it_ended(
    books: LineageBooks, ends: list[tuple[str, str]], result: str
) -> None:
    for number, (name, kind) in enumerate(ends):
        books.take(happens(f"dag.{name}", kind, number, parent="dag", root="dag", run=f"run {9 - number}"))
    books.wait(QUIET)
    [run] = books.runs.values()
    assert (run.result, run.reason) == (result, "completed" if result == "success" else "phase")
    assert run.is_judged


def test_phases_that_nobody_told_end_with_the_run_that_tells_its_end(books: LineageBooks) -> None:
    """At once, or with their last part."""
    books.take(happens("dag"), happens("job", at=2, parent="dag.task", root="dag"))
    books.wait(WAIT)
    books.take(happens("job", "COMPLETE", 9, parent="dag.task", root="dag"), after=S)
    assert books.wait(0) == []
    books.take(happens("dag", "COMPLETE", 10))
    books.wait(0)
    assert books.told() == [ok("dag", "", "", 10), ok("dag", "task", "", 7), ok("dag", "task", "job", 7)]
    books = LineageBooks()
    books.take(happens("dag"), happens("job", at=2, parent="dag.task", root="dag"))
    books.wait(WAIT)
    books.take(happens("dag", "COMPLETE", 10))
    books.wait(0)
    books.take(happens("job", "COMPLETE", 9, parent="dag.task", root="dag"))
    books.wait(0)
    assert books.told() == [ok("dag", "", "", 10), ok("dag", "task", "", 7), ok("dag", "task", "job", 7)]


def test_a_run_that_was_ended_is_not_ended_again_by_a_late_part(books: LineageBooks) -> None:
    books.take(happens("dag.a", "COMPLETE", 9, parent="dag", root="dag"))
    books.wait(QUIET)
    books.take(happens("dag.b", "FAIL", 20, parent="dag", root="dag"), after=S)
    assert [(item.phase, item.result) for item in books.told()] == [("", "success"), ("a", "success"), ("b", "failure")]
    assert not books.lineage.any_due(books.now + 10 * QUIET)


def test_a_judged_end_gives_way_to_the_real_one(books: LineageBooks) -> None:
    books.take(happens("dag.a", "COMPLETE", 9, parent="dag", root="dag"))
    books.wait(QUIET)
    books.take(happens("dag"), happens("dag", "FAIL", 50))
    [run] = books.runs.values()
    assert (run.result, run.is_judged, run.corrected, seconds(run)) == ("failure", False, "success", 50)


def test_phases_that_nobody_told_end_before_their_run(books: LineageBooks) -> None:
    books.take(
        happens("job", at=2, parent="dag.task", root="dag"),
        happens("job", "COMPLETE", 9, parent="dag.task", root="dag"),
    )
    books.wait(WAIT)
    books.wait(QUIET)
    assert books.told() == [ok("dag", "", "", 7), ok("dag", "task", "", 7), ok("dag", "task", "job", 7)]


def test_a_part_below_a_told_phase_adds_to_its_numbers(books: LineageBooks) -> None:
    """Of what both tell, the larger: it is the same data."""
    books.take(happens("dag"), happens("dag.task", parent="dag"), happens("app", parent="dag.task", rows=10))
    books.take(happens("more", parent="dag.task", rows=5))
    assert [item.items[1] for item in books.told() if item.phase] == [15, 10, 5]
    books.take(happens("dag.task", "COMPLETE", parent="dag", rows=40))
    assert [item.items[1] for item in books.told() if item.phase] == [40, 10, 5]


def test_a_run_that_tells_rows_itself_has_a_phase_of_its_name(books: LineageBooks) -> None:
    books.take(happens("load_orders"))
    books.take(happens("load_orders", "COMPLETE", 12, rows=500))
    assert books.told() == [
        ok("load_orders", "", "", 12),
        ok("load_orders", "load_orders", "", 12, items=(0, 500, 0, 0)),
    ]


def test_a_task_that_resumes_began_when_it_began_first(books: LineageBooks) -> None:
    books.take(happens("job", at=5))
    [report] = books.take(happens("job", at=9))
    assert report.started == T0 + 5 * S


def test_waiting_ends_however_often_the_child_speaks(books: LineageBooks) -> None:
    books.take(happens("job", at=2, parent="app"))
    books.take(happens("job", "RUNNING", 3, parent="app"), after=WAIT - 1)
    assert books.wait(1) != []


def test_facts_alone_make_no_run(books: LineageBooks) -> None:
    assert books.take(happens("job", "OTHER")._replace(state="")) == []
    books.take(happens("job", "COMPLETE", 4))
    assert [item.result for item in books.told()] == ["success"]


def test_the_second_namespace_of_a_name_has_another_pipeline(books: LineageBooks) -> None:
    for namespace in ("prod", "test", "prod", "test"):
        for kind in ("START", "COMPLETE"):
            event = happens("etl", kind)
            books.take(event._replace(me=Job(f"{namespace} {books.now}", "etl", namespace)), after=S)
    assert {item.pipeline for item in books.told()} == {"etl", "etl (test)"}


def test_a_child_that_names_another_namespace_stays_with_its_run(books: LineageBooks) -> None:
    books.take(happens("dag"))
    books.take(happens("app", parent="dag", root="dag")._replace(parent=Job("dag", "dag", "default")))
    assert {item.pipeline for item in books.told()} == {"dag"}


def test_only_its_own_word_gives_a_namespace_the_plain_name(books: LineageBooks) -> None:
    """Senders below a run often do not know its namespace."""
    unknown, known = Job("run 1", "dag", "default"), Job("run 3", "dag", "default")
    books.take(happens("app")._replace(parent=unknown, root=unknown))
    books.take(happens("dag", run="run 2"))
    assert {item.pipeline for item in books.told()} == {"dag"}
    books.take(happens("app", run="app 2")._replace(parent=known, root=known))
    assert {item.pipeline for item in books.told()} == {"dag", "dag (default)"}


def test_circles_end(books: LineageBooks) -> None:
    books.take(happens("a", parent="b"), happens("b", parent="c"), happens("c", parent="a"), happens("x", parent="x"))
    for _ in range(4):
        books.wait(WAIT)
    assert {item.phase for item in books.told()} > {""}
    assert books.db.execute("SELECT count(*) FROM lineage_runs WHERE top = ''").fetchone() == (0,)


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcde"), st.sampled_from(["START", "RUNNING", "COMPLETE", "FAIL"]), st.integers(0, 99),
            st.sampled_from(["", *"abcdef"]), st.sampled_from(["", *"abcdef"]), st.sampled_from([0, 1, WAIT, QUIET]),
        ),
        max_size=25,
    )
)  # fmt: skip
def test_contradictory_senders_get_each_run_one_place(story: list[tuple[Any, ...]]) -> None:
    """Whoever names whom as parent or root: nothing fails, and no run is in two places."""
    books = LineageBooks()
    for name, kind, at, *others, pause in story:
        parent, root = (other if other != name else "" for other in others)
        books.take(happens(name, kind, at, parent=parent, root=root), after=1)
        if pause:
            books.wait(pause)
    for _ in range(8):
        books.wait(2 * QUIET)
    assert books.db.execute("SELECT count(*) FROM lineage_runs WHERE top = ''").fetchone() == (0,)
    executions = [execution for _, _, execution in books.phases]
    assert len(set(executions)) == len(executions)


def test_what_is_old_or_too_much_is_forgotten(books: LineageBooks, monkeypatch: pytest.MonkeyPatch) -> None:
    books.take(*(happens(f"job {number}") for number in range(50)))
    books.take(happens("young"), after=KEEP)
    assert books.lineage.prune(books.now + 1) == 50
    assert [run for (run,) in books.db.execute("SELECT run FROM lineage_runs")] == ["young"]
    monkeypatch.setattr(lineage, "MOST_RUNS", 10)
    monkeypatch.setattr(lineage, "MOST_NAMES", 10)
    books.take(*(happens(f"job {number}") for number in range(50)), after=S)
    books.lineage.prune(books.now)
    for table in ("lineage_runs", "lineage_names"):
        assert books.db.execute(f"SELECT count(*) FROM {table}").fetchone() == (10,)
    assert MOST_RUNS > 10 < MOST_NAMES


def test_the_end_of_a_forgotten_run_is_still_its_end(books: LineageBooks) -> None:
    books.take(happens("dag"), happens("dag.a", parent="dag"))
    books.db.execute("DELETE FROM lineage_runs")
    books.take(happens("dag.a", "COMPLETE", 7, parent="dag"), happens("dag", "COMPLETE", 9))
    assert books.told() == [ok("dag", "", "", 9), ok("dag", "a", "", 7)]


def test_sums_of_nonsense_stay_numbers(books: LineageBooks) -> None:
    huge = tuple(DataUse(f"{number:016x}", 10**15, 10**15, 10**15, 10**15) for number in range(100))
    books.take(happens("dag"), happens("dag.t", parent="dag"))
    for number in range(20):
        books.take(happens(f"app {number}", parent="dag.t")._replace(data=huge))
    phase = next(item for item in books.told() if item.phase == "t" and not item.subphase)
    assert phase.items == (10**15,) * 4


def test_reports_name_their_source(books: LineageBooks) -> None:
    reports = books.take(*NIGHT)
    assert {report.source for report in reports} == {"openlineage"}
    assert {type(report) for report in reports} == {RunReport, PhaseReport}
