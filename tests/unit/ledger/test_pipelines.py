"""Runs and phases of pipelines: what is told becomes rows and counters, each once."""

from __future__ import annotations

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO
from fleetwatch.ledger import Ledger
from fleetwatch.records.pipelines import RunWithPhases, Tally, Usage
from support_pipelines import Opened, begun, ended, judged, one_phase, phase, whole
from support_tasks import SECOND, Clock, at
from support_tasks import Tally as Counted

DAY = 86_400


def keys(found: list[RunWithPhases]) -> set[str]:
    return {item.run.run for item in found}


# --- counted when it comes


def test_a_job_that_comes_as_one_report_is_one_run_from_zero(ledger: Ledger) -> None:
    committed = ledger.commit([ended(result="failure", reason="exception", error_type="ValueError")])
    assert (committed.pipeline_runs, committed.kinds()["pipeline_run"]) == (1, 1)
    counted = Counted().take(ledger)
    assert counted.counts["pipeline_runs_total", "nightly", "failure", "exception"] == 1
    # Its siblings are there already, so that the next one is no new series.
    assert counted.counts["pipeline_runs_total", "nightly", "success", "completed"] == 0
    assert counted.counts["pipeline_run_duration_seconds", "nightly", "failure"] == (
        60 * SECOND, [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0],
    )  # fmt: skip


def test_what_a_phase_took_and_made_is_counted(ledger: Ledger) -> None:
    tally = Tally(10, 8, 10, 3, 2, 5000, (("OSError", 2), ("ValueError", 1)))
    ledger.commit([begun(), phase("P01", 0, 12, tally=tally, usage=Usage(7 * SECOND, 9000, 100, 200), attempt=2)])
    counted = Counted().take(ledger)
    labels = ("nightly", "P01")
    assert counted.of(pipelines.PHASE_DURATION) == {(*labels, "success"): 12 * SECOND}
    assert counted.of(pipelines.PHASE_SQUARES) == {labels: 144 * NANO}
    assert counted.of(pipelines.PHASE_ITEMS) == {(*labels, "in"): 10, (*labels, "out"): 8}
    assert counted.of(pipelines.PHASE_ERRORS) == {(*labels, "OSError"): 2, (*labels, "ValueError"): 1}
    assert counted.of(pipelines.PHASE_WARNINGS) == {labels: 3}
    assert counted.of(pipelines.PHASE_ARTIFACTS) == {labels: 2}
    assert counted.of(pipelines.PHASE_ARTIFACT_SIZE) == {labels: 5000}
    assert counted.of(pipelines.PHASE_RETRIES) == {labels: 1}
    assert counted.of(pipelines.PHASE_CPU) == {labels: 7 * SECOND}
    assert counted.of(pipelines.PHASE_IO) == {(*labels, "read"): 100, (*labels, "write"): 200}
    assert counted.of(pipelines.PHASE_WITHOUT_ARTIFACTS) == {}
    assert counted.of(pipelines.RUNS) == {}


def test_items_count_as_they_go_and_processor_time_at_the_end(ledger: Ledger) -> None:
    counted = Counted()
    for seconds, items in ((5, 10), (10, 30), (7, 20)):
        beat = phase("P01", at=at(seconds), tally=Tally(items_out=items), usage=Usage(cpu=seconds * SECOND))
        ledger.commit([beat])
    counted.take(ledger)
    assert counted.of(pipelines.PHASE_ITEMS) == {("nightly", "P01", "out"): 30}
    assert counted.of(pipelines.PHASE_CPU) == {}
    ledger.commit([phase("P01", 0, 12, tally=Tally(items_out=36), usage=Usage(cpu=11 * SECOND))])
    ledger.commit([phase("P01", at=at(11), tally=Tally(items_out=35), usage=Usage(cpu=12 * SECOND))])
    counted.take(ledger)
    assert counted.of(pipelines.PHASE_ITEMS) == {("nightly", "P01", "out"): 36}
    assert counted.of(pipelines.PHASE_CPU) == {("nightly", "P01"): 12 * SECOND}
    assert counted.of(pipelines.PHASE_WITHOUT_ARTIFACTS) == {("nightly", "P01"): 1}


def test_of_a_part_only_its_time_is_told_apart(ledger: Ledger) -> None:
    ledger.commit([phase("P01", 0, 9), phase("P01", 1, 4, execution="e2", subphase="load", tally=Tally(items_out=5))])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.SUBPHASE_DURATION) == {("nightly", "P01", "load", "success"): 3 * SECOND}
    assert counted.number(pipelines.PHASE_DURATION, "nightly", "P01", "success") == 1
    assert counted.of(pipelines.PHASE_ITEMS) == {}


def test_an_end_waits_for_its_start(ledger: Ledger, clock: Clock) -> None:
    """OpenLineage's COMPLETE may overtake its START."""
    late_run, late_phase = ended(started=None), phase("P01", 0, 12, started=None)
    ledger.commit([late_run, late_phase])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.RUNS) == counted.of(pipelines.PHASE_DURATION) == {}
    ledger.commit([begun(), phase("P01", 2)])
    counted.take(ledger)
    assert counted.of(pipelines.RUN_DURATION) == {("nightly", "success"): 60 * SECOND}
    assert counted.of(pipelines.PHASE_DURATION) == {("nightly", "P01", "success"): 10 * SECOND}
    ledger.commit([late_run._replace(run="r2"), late_phase._replace(run="r2")])
    clock.now += 11
    ledger.settle()
    counted.take(ledger)
    assert counted.of(pipelines.RUNS) == {("nightly", "success", "completed"): 2}
    assert counted.number(pipelines.PHASE_DURATION, "nightly", "P01", "success") == 2


def test_what_was_due_when_something_came_is_counted_once(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([ended("a"), phase("P01", 0, 9, run="a")])
    clock.now += 60
    ledger.commit([ended("b"), phase("P01", 0, 9, run="b")])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.RUNS) == {("nightly", "success", "completed"): 2}
    assert counted.number(pipelines.PHASE_DURATION, "nightly", "P01", "success") == 2
    assert whole(ledger, "a").run.settled
    assert not whole(ledger, "b").run.settled


# --- given up, and corrected


def test_phases_end_with_a_run_that_was_given_up(ledger: Ledger) -> None:
    ledger.commit([begun(), phase("P01", 0, 10), phase("P02", 10, at=at(20))])
    ledger.commit([judged(end=20, reason="oom_killed")])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.RUNS) == {("nightly", "error", "oom_killed"): 1}
    assert counted.of(pipelines.PHASE_DURATION) == {
        ("nightly", "P01", "success"): 10 * SECOND,
        ("nightly", "P02", "error"): 10 * SECOND,
    }
    lost = one_phase(ledger, "P02")
    assert (lost.result, lost.reason, lost.ended) == ("error", "oom_killed", at(20))


def test_the_real_end_corrects_the_row_and_is_no_second_run(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([begun(), phase("P01", 0, at=at(20), usage=Usage(cpu=SECOND))])
    ledger.commit([judged(end=20)])
    clock.now += 100
    ledger.settle()
    ledger.commit([phase("P01", 0, 50, usage=Usage(cpu=3 * SECOND)), ended()])
    ledger.commit([judged(end=20), ended()])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.RUNS) == {("nightly", "error", "lost"): 1}
    assert counted.of(pipelines.RUNS_CORRECTED) == {("nightly", "success"): 1}
    assert counted.of(pipelines.PHASE_CPU) == {("nightly", "P01"): 3 * SECOND}
    item = whole(ledger)
    assert (item.run.result, item.run.corrected, item.run.ended) == ("success", "error", at(60))
    assert [(phase.result, phase.ended) for phase in item.phases] == [("success", at(50))]


def test_nobody_is_given_up_of_whom_nobody_told(ledger: Ledger) -> None:
    assert ledger.commit([judged("never")]).pipeline_runs == 0


def test_a_phase_whose_end_never_comes_ends_after_its_run(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([begun(interval=5 * SECOND), phase("P01", 5), ended()])
    assert Counted().take(ledger).of(pipelines.RUNS) == {("nightly", "success", "completed"): 1}
    clock.now += 50
    ledger.commit([phase("P01", 5, at=at(50))])
    clock.now += 50
    ledger.settle()
    assert one_phase(ledger, "P01").state == "executing", "somebody told of it 50 s ago"
    assert whole(ledger).run.settled
    clock.now += 11
    ledger.settle()
    lost = one_phase(ledger, "P01")
    assert (lost.result, lost.reason, lost.ended) == ("error", "lost", at(60))
    ledger.commit([phase("P01", 5, 40)])
    assert (one_phase(ledger, "P01").result, one_phase(ledger, "P01").ended) == ("success", at(40))
    assert Counted().take(ledger).of(pipelines.PHASE_DURATION) == {("nightly", "P01", "error"): 55 * SECOND}


def test_who_tells_in_batches_has_longer_to_end_a_phase(ledger: Ledger, clock: Clock) -> None:
    ledger.commit([begun(), phase("P01", 5), ended()])
    clock.now += 890
    ledger.settle()
    assert one_phase(ledger, "P01").state == "executing"
    ledger.commit([phase("P01", 5, 40)])
    assert Counted().take(ledger).of(pipelines.PHASE_DURATION) == {("nightly", "P01", "success"): 35 * SECOND}


def test_a_run_that_goes_on_after_its_end_is_one_run_and_its_phases_have_time(ledger: Ledger, clock: Clock) -> None:
    """Airflow, when a task of a run that ended is cleared."""
    failed = ended(result="failure", reason="phase")
    ledger.commit([failed, phase("P01", 0, 60, result="failure", reason="exception")])
    clock.now = 300
    ledger.commit([begun(start=300), phase("P01", 300, execution="again", attempt=2)])
    clock.now += 2 * 3600
    ledger.settle()
    assert one_phase(ledger, "again").state == "executing"
    now = clock.now
    ledger.commit([phase("P01", 300, now, execution="again", attempt=2), ended(start=300, end=now)])
    run = whole(ledger).run
    assert (run.result, run.started, run.ended) == ("success", at(0), at(now))
    counted = Counted().take(ledger)
    assert counted.of(pipelines.RUNS)["nightly", "failure", "phase"] == 1
    assert sum(counted.of(pipelines.RUNS).values()) == 1
    assert set(counted.of(pipelines.PHASE_DURATION)) == {("nightly", "P01", "failure"), ("nightly", "P01", "success")}
    assert ledger.pipelines.known()[0].last_success == at(now)


def test_a_clock_that_is_set_back_between_two_starts_holds_nothing_up_for_long(opened: Opened, clock: Clock) -> None:
    ledger = opened()
    clock.now = DAY
    ledger.commit([begun(), phase("P01", 5), ended()])
    clock.now = 100
    ledger = opened()
    clock.now += 3600
    ledger.settle()
    assert whole(ledger).run.settled


def test_one_execution_that_is_told_as_part_and_as_phase_is_counted_whole(ledger: Ledger) -> None:
    ledger.commit([begun(), phase("P01", 5, subphase="load", tally=Tally(7), attempt=2)])
    ledger.commit([phase("P01", 5, tally=Tally(9))])
    counted = Counted().take(ledger)
    assert counted.of(pipelines.PHASE_ITEMS) == {("nightly", "P01", "in"): 9}
    assert counted.of(pipelines.PHASE_RETRIES) == {("nightly", "P01"): 1}
