"""Reports of runs and phases are merged into the rows that are in memory, or left out."""

from __future__ import annotations

from collections import Counter
from typing import NamedTuple

from fleetwatch.ledger.pipelines.books import PipelineBooks
from fleetwatch.ledger.pipelines.costs import MOST_IN_TRACE
from fleetwatch.ledger.pipelines.held import HeldRun, HeldRuns
from fleetwatch.ledger.pipelines.traces import RunTraces
from fleetwatch.ledger.pipelines.waiting import WaitingPhases
from fleetwatch.reckon import runs as reckon
from fleetwatch.records.pipelines import PhaseReport, Run, RunReport


class Bounds(NamedTuple):
    """keep: nanoseconds after which what was told is too old; how many executions in a run, and runs under way."""

    keep: int
    max_executions: int
    max_open: int


class Intake:
    """All of it inside the writer's transaction."""

    def __init__(
        self, runs: HeldRuns, books: PipelineBooks, waiting: WaitingPhases, traces: RunTraces, *, bounds: Bounds
    ) -> None:
        self._runs = runs
        self._books = books
        self._waiting = waiting
        self._traces = traces
        self._bounds = bounds
        self._rejected: Counter[str] = Counter()
        self._rejected_now: Counter[str] = Counter()

    def take_rejected(self) -> dict[str, int]:
        """Reports left out since the last call, by reason."""
        taken, self._rejected = dict(self._rejected), Counter()
        return taken

    def committed(self) -> None:
        """The transaction is on disk."""
        if self._rejected_now:
            self._rejected += self._rejected_now
            self._rejected_now = Counter()

    def undo(self) -> None:
        """The transaction was undone."""
        self._rejected_now = Counter()

    def prune(self, now: int) -> int:
        """Forget some phases whose run never came; returns how many rows."""
        pruned = self._waiting.prune(now)
        self._note_unplaced(pruned.phases)
        return pruned.rows

    def take_run(self, report: RunReport, now: int) -> None:
        """What somebody tells of a run."""
        if not self._is_sound(report, now):
            return
        pipeline, run = report.pipeline[: reckon.MOST_TEXT], reckon.identity(report.run)
        report = report._replace(pipeline=pipeline, run=run, at=report.at or now)
        is_end = report.state == reckon.ENDED or bool(report.result) or report.ended is not None
        held = self._run(report, now, is_open=not is_end)
        if held is not None:
            self._merge(held, report, now)

    def take_judged(self, report: RunReport, now: int) -> None:
        """The end of a run of which nobody told any."""
        if not self._is_sound(report, now):
            return
        held = self._runs.get((report.pipeline[: reckon.MOST_TEXT], reckon.identity(report.run)))
        if held is not None:
            self._runs.change(held, reckon.merge_run(held.run, report, now))
            if held.run.is_judged:
                self.give_up(held, now)

    def take_phase(self, report: PhaseReport, now: int) -> None:
        """What somebody tells of a phase."""
        if not report.pipeline:
            self._take_by_trace(report, now)
            return
        if not self._is_sound(report, now):
            return
        most = reckon.MOST_TEXT
        pipeline, name, part = report.pipeline[:most], report.phase[:most], report.subphase[:most]
        run, execution = reckon.identity(report.run), reckon.identity(report.execution)
        report = report._replace(
            pipeline=pipeline, run=run, execution=execution, phase=name, subphase=part, at=report.at or now
        )
        heard = reckon.heard_of_run(report)
        held = self._run(heard, now, is_open=True)
        if held is None:
            return
        phase = held.phases.get(execution)
        if phase is None and len(held.phases) >= self._bounds.max_executions:
            self._rejected_now["too_many"] += 1
            return
        # Also of one that is known: its name may have been forgotten while it lasts.
        self._books.admit_phase(pipeline, name, part)
        self._merge(held, heard, now, heard=True)
        merged = reckon.merge_phase(phase, report, now, self._books.counters_of(pipeline))
        if merged != phase:
            self._runs.set_phase(held, merged)

    def _take_by_trace(self, report: PhaseReport, now: int) -> None:
        """A phase that knows only its trace: of the run that it lies in, or on disk until that comes."""
        run = self._run_around(report) if report.trace else None
        if run is not None:
            if not report.child_of_run or report.parent == run.span:
                self.take_phase(report._replace(pipeline=run.pipeline, run=run.run), now)
        elif not report.trace:
            self._rejected_now["malformed"] += 1
        elif self._is_sound(report._replace(pipeline="?", run="?"), now):
            self._note_unplaced(self._waiting.keep(report, now))

    def _note_unplaced(self, phases: int) -> None:
        if phases:
            self._rejected_now["unplaced"] += phases

    def _run_around(self, report: PhaseReport) -> Run | None:
        """The innermost run of the phase's trace that contains it in time, else the one that began last."""
        runs = [held.run for held in self._runs.of_trace(report.trace, MOST_IN_TRACE)]
        begun = report.at if report.started is None else report.started
        ended = report.at if report.ended is None else report.ended
        around = (run for run in runs if run.started <= begun and (run.ended is None or ended <= run.ended))
        return next(around, runs[0] if runs else None)

    def _is_sound(self, report: RunReport | PhaseReport, now: int) -> bool:
        reason = reckon.flaw(report, now, self._bounds.keep)
        if reason:
            self._rejected_now[reason] += 1
        elif reckon.ends_before_start(report):
            self._rejected_now["bad_time"] += 1
        return not reason

    def _run(self, report: RunReport, now: int, *, is_open: bool) -> HeldRun | None:
        """The run of a report, made where it is new; None where there is no room."""
        held = self._runs.get((report.pipeline, report.run))
        if held is None:
            if is_open and self._runs.number_open() >= self._bounds.max_open:
                self._rejected_now["too_many"] += 1
                return None
            held = self._runs.add(reckon.new_run(report, now))
        self._books.admit(report.pipeline, now)
        return held

    def _merge(self, held: HeldRun, report: RunReport, now: int, *, heard: bool = False) -> None:
        trace = held.run.trace
        self._runs.change(held, reckon.merge_run(held.run, report, now, heard=heard))
        if held.run.trace != trace:
            self._traces.remember(held.run.trace)
            for phase in self._waiting.take(held.run.trace):
                self._take_by_trace(phase, now)

    def give_up(self, held: HeldRun, now: int) -> None:
        """End the phases that are open in a run that ended."""
        for phase in list(held.phases.values()):
            if phase.ended is None:
                self._runs.set_phase(held, reckon.merge_phase(phase, reckon.given_up(phase, held.run), now))
