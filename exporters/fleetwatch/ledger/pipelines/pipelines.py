"""Runs of pipelines and their phases: reports become rows, and rows counters, in one transaction.

What reports become is reckoned in reckon.runs; here is what is done with it. When some time has passed:

    after `grace`   an end whose start nobody told is counted as it is; a run that fell quiet is settled: what it cost
                    is told
    after PATIENCE  phases that are open in a run that ended are given up
    later           calls that come to a settled run are added
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import NamedTuple

from fleetwatch.catalogue import pipelines as catalogue
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.errors import explained
from fleetwatch.ledger.pipelines import rows as pipeline_rows
from fleetwatch.ledger.pipelines.books import PipelineBooks
from fleetwatch.ledger.pipelines.costs import MOST_IN_TRACE, RunCosts
from fleetwatch.ledger.pipelines.counts import PipelineCounts, SignalRule
from fleetwatch.ledger.pipelines.held import HeldRun, HeldRuns, Key
from fleetwatch.ledger.pipelines.intake import Bounds, Intake
from fleetwatch.ledger.pipelines.names import Names
from fleetwatch.ledger.pipelines.rows import Known
from fleetwatch.ledger.pipelines.slots import Slots
from fleetwatch.ledger.pipelines.traces import RunTraces
from fleetwatch.ledger.pipelines.waiting import WaitingPhases
from fleetwatch.ledger.traces import KEPT, Traces
from fleetwatch.reckon.run_cost import MachineRule
from fleetwatch.reckon.runs import JUDGED
from fleetwatch.records.pipelines import PhaseReport, Run, RunReport, RunWithPhases

_DAY = 86_400 * 10**9
LEAST_AT_ONCE = 20
MOST_AT_ONCE = 1000
SETTLE_SECONDS = 0.05
"""Runs looked at in one transaction, and how long past the least: the loop stands still for it."""
PRUNE_RUNS = 100
PRUNE_ROWS = 2000
"""Runs forgotten in one transaction, and how many of them and their phases."""
LONG = KEPT // 2
"""Age of calls of a run that is still under way at which they are booked: their spans are remembered twice as long."""
PATIENCE = 60 * 10**9
"""Nanoseconds that the end of a phase is waited for when its run has ended and nothing more is told of it: another
process may have it, and a Collector that holds what was refused.
"""
LONG_PATIENCE = 900 * 10**9
"""The same of a sender that does not report at intervals: it may tell in batches, every few minutes."""
MOST_PATIENCE = _DAY
"""The same of a phase that began after its run had ended: the run goes on, as in Airflow after a task was cleared."""
PER_CALL = 1_000_000
"""Nanoseconds for which a settled run is left alone for each of its calls."""
LOOK = 3600 * 10**9
"""How often such a run is looked at."""


class PipelineRules(NamedTuple):
    """How much of pipelines is kept, and what it cost; see the settings of the same names.

    grace: seconds after its last word when a run is complete.
    """

    slots: int = 10
    max_phases: int = 50
    max_executions: int = 1000
    max_open: int = 1000
    keep_days: int = 90
    grace: float = 10.0
    signals: tuple[SignalRule, ...] = ()
    machines: tuple[MachineRule, ...] = ()


class KeptReports(NamedTuple):
    """How many rows were new."""

    runs: int = 0
    phases: int = 0


class Pipelines:
    """All that the ledger knows of pipelines. keep, resume, prune and undo: inside the writer's transaction.

    limits: label name -> number of values, where it differs from the catalogue. transact: does something in a
    transaction of its own, and raises LedgerError.
    """

    def __init__(
        self,
        path: Path,
        db: sqlite3.Connection,
        traces: Traces,
        counts: Counts,
        rules: PipelineRules,
        *,
        limits: Mapping[str, int] = MappingProxyType({}),
        transact: Callable[[Callable[[], None]], None],
        clock: Callable[[], int],
    ) -> None:
        self._path = path
        self._db = db
        self._keep = rules.keep_days * _DAY
        self._grace = round(rules.grace * 10**9)
        self._counts = counts
        self._transact = transact
        self._clock = clock
        most = limits.get(catalogue.PIPELINE.name, catalogue.PIPELINE.at_most)
        self._runs = HeldRuns(db)
        self._names = Names(db, most, rules.max_phases)
        self._slots = Slots(db, rules.slots)
        counted = PipelineCounts(counts, self._names, rules.signals, priced=bool(rules.machines))
        self._books = PipelineBooks(counted, self._runs, self._names, self._slots)
        self._waiting = WaitingPhases(db)
        self._costs = RunCosts(db, traces, self._runs, rules.machines)
        self._traces = RunTraces(db, clock)
        bounds = Bounds(self._keep, rules.max_executions, rules.max_open)
        self._intake = Intake(self._runs, self._books, self._waiting, self._traces, bounds=bounds)
        self._changed: dict[Key, None] = {}
        self._next_due: int | None = None

    # --- what others ask

    def take_changed(self) -> list[RunWithPhases]:
        """Runs that were changed by commits since the last call; at first all under way, and all that have a slot.

        Raises LedgerError.
        """
        found = []
        with explained(self._path):
            for key in self._changed:
                held = self._runs.in_memory(key)
                if held is not None:
                    found.append(held.whole())
                else:
                    rows = pipeline_rows.runs(self._db, pipeline=key[0], run=key[1], most=1)
                    found += pipeline_rows.with_phases(self._db, rows)
        self._changed = {}
        return found

    def history(self, pipeline: str, most: int) -> list[RunWithPhases]:
        """Runs of a pipeline that ended, newest first. Raises LedgerError."""
        with explained(self._path):
            return pipeline_rows.history(self._db, pipeline, most)

    def known(self) -> list[Known]:
        """Pipelines and phases whose names were let in; all others are `_other`."""
        return self._names.known()

    def signals(self, pipeline: str, phase: str) -> tuple[tuple[str, float], ...]:
        """Last values of the gauges that the settings declare, by name."""
        return self._names.signals(pipeline, phase)

    def take_rejected(self) -> dict[str, int]:
        """Reports left out since the last call, by reason."""
        return self._intake.take_rejected()

    def take_undeclared(self) -> dict[str, int]:
        """Signals that the settings do not declare, of phases that ended since the last call, by pipeline."""
        return self._books.take_undeclared()

    def expect(self, names: Sequence[str]) -> None:
        """Note when pipelines that ought to run were first expected. Raises LedgerError."""
        self._transact(lambda: self._expect(names))

    def forget(self, pipeline: str) -> None:
        """Forget series, slots and names of a pipeline; its history stays its time. Raises LedgerError."""
        self._transact(lambda: self._forget(pipeline))

    # --- what the writer does

    def resume(self, now: int) -> None:
        """Go on with what an earlier process left: what was under way while nobody listened comes again."""
        self._slots.shrink()
        # No later than it can be: the clock may have been set back meanwhile.
        self._db.execute(
            "UPDATE pipeline_runs SET due = min(max(due, ?), ?) WHERE due > 0", (now + self._grace, now + LOOK)
        )
        self._next_due = None
        rows = self._db.execute(
            "SELECT pipeline, run FROM pipeline_runs WHERE state <> 'ended' OR slot IS NOT NULL ORDER BY number"
        )
        self._changed = dict.fromkeys(rows)

    def keep(self, reports: Iterable[RunReport | PhaseReport], calls: Iterable[bytes], now: int) -> KeptReports:
        """Merge reports into the rows, and do what is due. Once in a transaction: counts are differences to before it.

        calls: traces of the LLM calls that were counted in this transaction.
        Runs before phases, which may know only the trace of one, and what was judged when all else is known.
        """
        runs: list[RunReport] = []
        phases: list[PhaseReport] = []
        for report in reports:
            if isinstance(report, RunReport):
                runs.append(report)
            else:
                phases.append(report)
        for run in runs:
            if run.source != JUDGED:
                self._intake.take_run(run, now)
        for phase in phases:
            self._intake.take_phase(phase, now)
        for run in runs:
            if run.source == JUDGED:
                self._intake.take_judged(run, now)
        self._call_late(calls, now)
        self._look_due(now)
        return self._finish(now)

    def any_due(self, now: int) -> bool:
        """Whether a run is to be looked at."""
        if self._next_due is None:
            # After a start, a change or an error the file knows better than we do; 0 stands for "nothing".
            found = self._db.execute("SELECT min(due) FROM pipeline_runs WHERE due > 0").fetchone()[0]
            self._next_due = found or 0
        return 0 < self._next_due <= now

    def committed(self) -> None:
        """The transaction is on disk."""
        for key in self._runs.committed():
            # Taken out and put in again: what changed last comes last.
            self._changed.pop(key, None)
            self._changed[key] = None
        self._books.committed()
        self._intake.committed()

    def undo(self) -> None:
        """The transaction was undone: what is in memory may not be in the file."""
        self._next_due = None
        for part in (self._runs, self._names, self._slots, self._books, self._waiting, self._traces, self._intake):
            part.undo()

    def prune(self, now: int) -> int:
        """Forget some runs past their time; returns how many rows. What is under way or has a slot stays."""
        rows = self._db.execute(
            "SELECT number, pipeline, run FROM pipeline_runs "
            "WHERE seen < ? AND state = 'ended' AND slot IS NULL ORDER BY seen LIMIT ?",
            (now - self._keep, PRUNE_RUNS),
        ).fetchall()
        deleted = 0
        for number, *key in rows:
            deleted += self._runs.forget(number, (key[0], key[1]))
            self._changed.pop((key[0], key[1]), None)
            if deleted > PRUNE_ROWS:
                break
        self._next_due = None
        return deleted + self._intake.prune(now)

    # --- what a transaction does

    def _finish(self, now: int) -> KeptReports:
        """Count and write what was touched."""
        touched = self._runs.touched()
        if not touched:
            return KeptReports()
        for held in touched:
            if not held.is_planned:
                held.due = self._due(held, now)
            if held.due != held.due_before:
                self._next_due = None
        self._books.write(touched, now)
        new_phases = sum(before is None for held in touched for before in held.phases_before.values())
        return KeptReports(sum(held.before is None for held in touched), new_phases)

    def _due(self, held: HeldRun, now: int) -> int:
        """When to look at it again."""
        run = held.run
        if run.ended is not None:
            is_news = not run.settled or held.phases_before or held.before is None
            return now + self._grace if is_news or _facts(held.before) != _facts(run) else held.due
        phases = (held.phases[execution] for execution in held.phases_before)
        if any(phase.ended is not None and not phase.is_start_told and not phase.is_counted for phase in phases):
            return now + self._grace
        return held.due or (now + LOOK if run.trace else 0)

    # --- what time brings

    def _look_due(self, now: int) -> None:
        """Do what is due, for as long as one transaction may take."""
        if not self.any_due(now):
            return
        rows = self._db.execute(
            "SELECT pipeline, run FROM pipeline_runs WHERE due > 0 AND due <= ? ORDER BY due LIMIT ?",
            (now, MOST_AT_ONCE),
        ).fetchall()
        started = time.perf_counter()
        for number, key in enumerate(rows):
            if number >= LEAST_AT_ONCE and time.perf_counter() - started > SETTLE_SECONDS:
                break
            held = self._runs.get(key)
            if held is not None:
                self._look(held, now)
        self._next_due = None

    def _look(self, held: HeldRun, now: int) -> None:
        """Do what is due for one run."""
        run = held.run
        held.is_planned = True
        self._runs.touch(held)
        if run.ended is None:
            held.is_over = True
            held.touch_phases()
            self._costs.charge(held, now, now - LONG)
            held.due = now + LOOK if run.trace else 0
        elif run.seen <= now < run.seen + self._grace:
            held.due = run.seen + self._grace
        else:
            held.is_over = True
            lost = _lost(held)
            # Heard of after now: our clock led, and was set right since.
            if lost and (lost <= now or run.seen > now):
                self._intake.give_up(held, now)
                lost = 0
            again = self._costs.settle(held, now)
            held.due = lost if again is None else now + max(again, 1)

    def _call_late(self, traces: Iterable[bytes], now: int) -> None:
        """Look again at settled runs to whose traces calls came."""
        for trace in self._traces.known(traces):
            for held in self._runs.of_trace(trace, MOST_IN_TRACE):
                if held.run.settled and not held.due:
                    # Work that goes on in the trace of a run that ended is not to be read again for each call.
                    wait = max(self._grace, held.run.llm_calls * PER_CALL)
                    held.due, held.is_planned = now + wait, True
                    self._runs.touch(held)

    # --- on demand

    def _expect(self, names: Sequence[str]) -> None:
        self._books.expect(names, self._clock())

    def _forget(self, pipeline: str) -> None:
        self._books.forget(pipeline)
        gone = [(name, json.dumps(labels)) for name, labels in self._counts.forget(catalogue.PIPELINE, pipeline)]
        self._db.executemany("DELETE FROM released WHERE metric = ? AND labels = ?", gone)


def _lost(held: HeldRun) -> int:
    """When open phases of an ended run are given up; 0 where there are none."""
    run = held.run
    begun = [phase.started for phase in held.phases.values() if phase.ended is None]
    if not begun:
        return 0
    if max(begun) > (run.ended or 0):
        return run.seen + MOST_PATIENCE
    return run.seen + (LONG_PATIENCE if run.interval is None else PATIENCE)


def _facts(run: Run | None) -> Run | None:
    """What a run is but when it was heard of."""
    return run and run._replace(seen=0, sent=0, first_seen=0, slot=None)
