"""What a transaction made of runs and phases is counted, named, put into slots, and written."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence

from fleetwatch.ledger.pipelines.counts import PipelineCounts
from fleetwatch.ledger.pipelines.held import HeldRun, HeldRuns
from fleetwatch.ledger.pipelines.names import Names
from fleetwatch.ledger.pipelines.slots import Slots
from fleetwatch.records.pipelines import Phase, Run


class PipelineBooks:
    """Keeps counters, names and slots in step with the rows. All of it inside the writer's transaction."""

    def __init__(self, counted: PipelineCounts, runs: HeldRuns, names: Names, slots: Slots) -> None:
        self._runs = runs
        self._names = names
        self._slots = slots
        self._counted = counted
        self._kind_of = counted.kind_of
        self._undeclared: Counter[str] = Counter()
        self._undeclared_now: Counter[str] = Counter()

    def admit(self, pipeline: str, now: int) -> None:
        """Something came of a pipeline."""
        if self._names.admit(pipeline, now):
            self._counted.open(pipeline)

    def admit_phase(self, pipeline: str, phase: str, subphase: str) -> None:
        """A phase begins."""
        if self._names.admit_phase(pipeline, phase, subphase) and not subphase:
            self._counted.open_phase(pipeline, phase)

    def expect(self, names: Sequence[str], now: int) -> None:
        """Let in pipelines that ought to run."""
        for name in names:
            if name not in self._names:
                self._counted.open(name)
        self._names.expect(names, now)
        self._names.write()

    def forget(self, pipeline: str) -> None:
        """Forget slots and names."""
        for run in self._slots.holders(pipeline):
            self._lose(pipeline, run)
        self._slots.forget(pipeline)
        self._names.forget(pipeline)
        self._runs.write()

    def counters_of(self, pipeline: str) -> Callable[[str], bool]:
        """Tells whether a signal of this pipeline is a sum so far."""
        return lambda signal: self._kind_of(pipeline, signal) == "counter"

    def write(self, touched: Sequence[HeldRun], now: int) -> None:
        """Count and write what became of these runs."""
        for held in touched:
            self._count(held, now)
        for held in touched:
            self._place(held)
        self._runs.write()
        self._names.write()

    def take_undeclared(self) -> dict[str, int]:
        """Signals that the settings do not declare, of phases that ended, since the last call, by pipeline."""
        taken, self._undeclared = dict(self._undeclared), Counter()
        return taken

    def committed(self) -> None:
        """The transaction is on disk."""
        if self._undeclared_now:
            self._undeclared += self._undeclared_now
            self._undeclared_now = Counter()

    def undo(self) -> None:
        """The transaction was undone."""
        self._undeclared_now = Counter()

    def _count(self, held: HeldRun, now: int) -> None:
        run, before = held.run, held.before
        if run.ended is not None and not run.is_counted and (held.is_over or run.is_start_told or run.is_judged):
            run = run._replace(is_counted=True)
            self._runs.change(held, run)
        for execution, was in list(held.phases_before.items()):
            phase = held.phases[execution]
            is_known = held.is_over or phase.is_start_told or phase.is_judged
            if phase.ended is not None and not phase.is_counted and is_known:
                phase = phase._replace(is_counted=True)
                self._runs.set_phase(held, phase)
                self._note_undeclared(phase)
            self._counted.phase(was, phase, before, run)
            if phase.ended is not None and (was is None or _end(was) != _end(phase)):
                self._names.phase_ended(phase, now)
            if phase.tally.signals and not phase.subphase and (was is None or was.tally.signals != phase.tally.signals):
                self._note_gauges(phase)
        self._counted.run(before, run)
        if run.ended is not None and (before is None or _end(before) != _end(run)):
            self._names.run_ended(run, now)

    def _place(self, held: HeldRun) -> None:
        """Give it a slot where it has none, and one that is free now to whoever waits for it."""
        run = held.run
        if run.pipeline not in self._names:
            return
        if run.slot is not None:
            self._slots.update(held.number, run)
        elif run.ended is None or held.before is None:
            self._take_slot(held)
        if run.ended is not None and run.pipeline in self._slots.crowded:
            self._runs.write()
            waiting = self._slots.waiting(run.pipeline)
            other = self._runs.get((run.pipeline, waiting)) if waiting else None
            if other is not None and other.run.slot is None:
                self._take_slot(other)

    def _take_slot(self, held: HeldRun) -> None:
        slot, loser = self._slots.take(held.number, held.run)
        if slot is not None:
            self._runs.change(held, held.run._replace(slot=slot))
            if loser is not None:
                self._lose(held.run.pipeline, loser)

    def _lose(self, pipeline: str, run: str) -> None:
        """A run has its slot no more."""
        held = self._runs.get((pipeline, run))
        if held is not None:
            self._runs.change(held, held.run._replace(slot=None))

    def _note_gauges(self, phase: Phase) -> None:
        told = {
            name: (at, value)
            for (name, value), at in zip(phase.tally.signals, phase.signals_at, strict=True)
            if self._kind_of(phase.pipeline, name) == "gauge"
        }
        if told:
            self._names.gauges(phase, told)

    def _note_undeclared(self, phase: Phase) -> None:
        names = [name for name, _ in phase.tally.signals if not self._kind_of(phase.pipeline, name)]
        if names:
            self._undeclared_now[phase.pipeline] += len(names)


def _end(item: Run | Phase) -> tuple[object, ...]:
    return item.ended, item.result, item.usage
