"""One pipeline as it is shown: its runs under way and in slots, predictions for them, and what became slower."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence

from fleetwatch.app.pipelines.ring import Ends, Outlook, Part, grouped, moving, standing
from fleetwatch.app.pipelines.score import Score, Told
from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import OTHER, Metric, Sample
from fleetwatch.ledger.pipelines.rows import Known
from fleetwatch.reckon.eta import Past, Quantiles
from fleetwatch.reckon.pulse import SECOND, lead
from fleetwatch.reckon.regression import Finding, regress
from fleetwatch.records.pipelines import Phase, RunWithPhases

PREDICTIONS = 32
"""For a run that lasts as long as it is expected to; news of its phases makes others."""
PAUSES = SECOND, 60 * SECOND
"""Nanoseconds between two predictions for one run at least and at most."""


class _View:
    """A run under way or in a slot, and what was told of its end."""

    __slots__ = ("due", "lead", "outlook", "parts", "run", "told")

    def __init__(self) -> None:
        self.run: RunWithPhases
        self.parts: Mapping[Part, Sequence[Phase]] = {}
        self.outlook: Outlook | None = None
        self.told = Told()
        self.due = 0
        """When to predict next."""
        self.lead = 0
        """Nanoseconds by which our clock is before the sender's."""

    def is_open(self) -> bool:
        return self.run.run.ended is None


class Pipeline:
    """State of one pipeline. Which source of the meter shows what is told by its owner."""

    def __init__(self, known: Known) -> None:
        self.name = known.pipeline
        self.is_changed = True
        """Whether the series of the pipeline itself are to be made anew."""
        self.changed_slots: set[int] = set()
        self.is_stale = True
        """Whether runs have ended that predictions and comparisons do not know yet."""
        self.reckoned_at = 0
        self._views: dict[str, _View] = {}
        self._slots: dict[int, str] = {}
        self._past: Past | None = None
        self._findings: list[Finding] = []
        self._usual: tuple[str, ...] = ()
        self.know(known)

    # --- what comes in

    def know(self, known: Known) -> None:
        """Take what is remembered beyond the runs."""
        self.known = known
        self._names = {(part.phase, part.subphase) for part in known.phases}
        self.phases = sorted({part.phase for part in known.phases})
        self.is_changed = True

    def take(self, run: RunWithPhases) -> Iterator[Score]:
        """Take news of a run; scores of the predictions for it where it has ended."""
        told = run.run
        view = self._views.get(told.run)
        self.is_changed = True
        if told.ended is not None:
            self.is_stale = True
            if view is not None and view.is_open() and told.result == "success" and not told.is_judged:
                yield from view.told.scores(told.started, told.ended)
        self._leave(told.run, told.slot)
        if told.ended is not None and told.slot is None:
            self._views.pop(told.run, None)
            return
        if view is None:
            view = self._views[told.run] = _View()
        elif view.is_open() and _shape(view.run) != _shape(run):
            view.due = 0
        view.lead = lead(told.started, told.first_seen, told.sent, told.seen)
        view.run = run
        view.parts = grouped(run, self._part)
        if told.ended is not None:
            view.outlook, view.told = None, Told()
        if told.slot is not None:
            self._enter(told.run, told.slot)

    def _enter(self, run: str, slot: int) -> None:
        before = self._slots.get(slot)
        if before is not None and before != run and not self._views[before].is_open():
            del self._views[before]
        self._slots[slot] = run
        self.changed_slots.add(slot)

    def _leave(self, run: str, slot: int | None) -> None:
        """Free the places of a run other than this one."""
        for old in [place for place, holder in self._slots.items() if holder == run and place != slot]:
            del self._slots[old]
            self.changed_slots.add(old)

    def open_runs(self) -> list[RunWithPhases]:
        return [view.run for view in self._views.values() if view.is_open()]

    def all_slots(self) -> set[int]:
        """Slots that show something, or did."""
        return {*self._slots, *self.changed_slots}

    # --- predictions and comparisons

    def reckon(self, history: Sequence[RunWithPhases], recent: int, now: int) -> None:
        """Learn from past runs, newest first. recent: how many of them are the last ones."""
        self.is_stale = False
        self.reckoned_at = now
        self._past = Past.of(history)
        self._findings = regress(history, recent)
        last = next((run for run in history if run.run.result == "success"), None)
        if last is not None:
            begun = dict.fromkeys(phase.phase for phase in last.phases if not phase.subphase)
            usual = tuple(phase for phase in begun if (phase, "") in self._names)
            if usual != self._usual:
                self._usual = usual
                self.changed_slots.update(self._slots)
        for view in self._views.values():
            view.due = 0
        self.is_changed = True

    def due(self, now: int) -> list[tuple[int, str]]:
        """(since when, run) of predictions that are to be made."""
        if self._past is None:
            return []
        return [(view.due, run) for run, view in self._views.items() if view.is_open() and view.due <= now]

    def predict(self, run: str, now: int) -> None:
        """Predict the end of a run under way."""
        view = self._views[run]
        view.outlook, view.due = None, now + PAUSES[1]
        there = now - view.lead
        told = None if self._past is None else self._past.predict(view.run, there)
        if told is None:
            return
        ends = _ends(told.run, now)
        phases = {phase: _ends(left, now) for phase, left in told.phases.items()}
        view.outlook = Outlook(now, ends, phases, told.overdue)
        view.told.add(there, _ends(told.run, there))
        whole = max(ends.p50, now) - view.lead - view.run.run.started
        view.due = now + min(max(whole // PREDICTIONS, PAUSES[0]), PAUSES[1])

    # --- what is shown

    def slot(self, slot: int) -> Iterator[Sample]:
        """Series of a slot that stand until there is news; none where it is free."""
        run = self._slots.get(slot)
        if run is not None:
            view = self._views[run]
            yield from standing(view.run, view.parts, self._usual)

    def moving(self, now: int) -> Iterator[Sample]:
        """Series of runs under way that change with time."""
        for run in self._slots.values():
            view = self._views[run]
            if view.is_open():
                yield from moving(view.run, view.parts, view.outlook, now, now - view.lead)

    def summary(self) -> Iterator[Sample]:
        """Series of the pipeline and its phases, without those of signals and of the settings."""
        name, known = self.name, self.known
        runs = [view for view in self._views.values() if view.is_open()]
        states = Counter(view.run.run.state for view in runs)
        for state in pipelines.STATE.one_of:
            yield Sample(pipelines.RUN_ACTIVE, (name, state), states[state])
        yield Sample(pipelines.FIRST_SEEN, (name,), known.first_seen / SECOND)
        yield from _at(pipelines.LAST_SUCCESS, (name,), known.last_success)
        yield from _at(pipelines.LAST_COMPLETION, (name,), known.last_completion)
        active = Counter(
            (phase, execution.state)
            for view in runs
            for (phase, subphase), executions in view.parts.items()
            if not subphase
            for execution in executions
            if execution.ended is None
        )
        for phase in sorted({*self.phases, *(phase for phase, _ in active)}):
            for state in pipelines.STATE.one_of:
                yield Sample(pipelines.PHASE_ACTIVE, (name, phase, state), active[phase, state])
        for part in sorted(known.phases, key=lambda part: part.phase):
            if part.subphase:
                continue
            labels = (name, part.phase)
            yield from _at(pipelines.PHASE_LAST_SUCCESS, labels, part.last_success)
            yield from _at(pipelines.PHASE_LAST_COMPLETION, labels, part.last_completion)
            if part.memory_peak is not None:
                yield Sample(pipelines.PHASE_MEMORY_PEAK, labels, part.memory_peak)
        yield from self._compared()

    def _compared(self) -> Iterator[Sample]:
        for found in self._findings:
            if found.phase and (found.phase, "") not in self._names:
                continue
            labels = (self.name, found.phase, found.measure)
            yield Sample(pipelines.REGRESSION, labels, found.change if found.is_change else 1.0)
            yield Sample(pipelines.REGRESSION_RECENT, labels, found.recent)
            yield Sample(pipelines.REGRESSION_BASELINE, labels, found.baseline)

    def _part(self, phase: Phase) -> Part:
        """What a phase is shown as: names that were not let in are one."""
        if (phase.phase, "") not in self._names:
            return OTHER, OTHER if phase.subphase else ""
        if phase.subphase and (phase.phase, phase.subphase) not in self._names:
            return phase.phase, OTHER
        return phase.phase, phase.subphase


def _shape(run: RunWithPhases) -> tuple[int, int]:
    """Changes when a phase begins or ends."""
    return len(run.phases), sum(phase.ended is not None for phase in run.phases)


def _ends(left: Quantiles, now: int) -> Ends:
    return Ends(now + left.p50, now + left.p90)


def _at(metric: Metric, labels: tuple[str, ...], at: int | None) -> Iterator[Sample]:
    if at is not None:
        yield Sample(metric, labels, at / SECOND)
