"""What a change of a run's or phase's row adds to the durable counters.

All but the ends are differences: what the row amounts to now, less what it amounted to before. As rows only depend on
what was told, so do the counters, however it came. An end is counted once, when its start is told or was waited for; a
sender that changes its word about it later changes the row alone.
"""

from __future__ import annotations

from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import NamedTuple

from fleetwatch.catalogue import pipelines
from fleetwatch.catalogue.metric import NANO, OTHER, Metric, metrics_of
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.pipelines.names import Names
from fleetwatch.records.pipelines import FOUND_OUT, Phase, Run, Tally

METRICS = tuple(metric for metric in metrics_of(pipelines) if metric.durable)
"""What is counted here."""

_FROM_ZERO = (
    ("success", "completed"), ("success", "reported"), ("failure", "phase"), ("failure", "exception"),
    ("failure", "reported"), ("error", "killed"), ("error", "oom_killed"), ("error", "host_gone"), ("error", "died"),
    ("error", "lost"),
)  # fmt: skip
"""Ends that a pipeline's counter has as soon as the pipeline is known."""

_NOTHING = Tally()


class SignalRule(NamedTuple):
    """A signal that becomes a series. kind: counter or gauge; pipeline: pattern of those that may tell it."""

    name: str
    kind: str
    pipeline: str = "*"


class _Sums(NamedTuple):
    """What a phase amounts to so far."""

    tally: Tally = _NOTHING
    retries: int = 0
    cpu: int = 0
    read: int = 0
    written: int = 0
    llm: int = 0
    machine: int = 0


class PipelineCounts:
    """Counts what rows became. priced: whether machines have prices, so that one without is worth a word."""

    def __init__(self, counts: Counts, names: Names, signals: Sequence[SignalRule], *, priced: bool) -> None:
        self._counts = counts
        self._names = names
        self._signals = signals
        self._priced = priced

    def kind_of(self, pipeline: str, signal: str) -> str:
        """What the settings declare a signal to be, counter or gauge; empty where they do not."""
        fits = (rule for rule in self._signals if rule.name == signal and fnmatchcase(pipeline, rule.pipeline))
        return next((rule.kind for rule in fits), "")

    def open(self, pipeline: str) -> None:
        """Let a new pipeline's series begin."""
        for result, reason in _FROM_ZERO:
            self._counts.open(pipelines.RUNS, (pipeline, result, reason))

    def open_phase(self, pipeline: str, phase: str) -> None:
        """Let a new phase's series begin."""
        for metric in (pipelines.PHASE_WITHOUT_ARTIFACTS, pipelines.PHASE_RETRIES):
            self._counts.open(metric, (pipeline, phase))

    def run(self, before: Run | None, after: Run) -> None:
        """Count what became of a run. before: as it was when the transaction began."""
        label = self._pipeline(after.pipeline)
        if before is None and label == OTHER:
            self._counts.note_overflow(pipelines.RUNS, "pipeline")
        if after.is_counted and not (before and before.is_counted):
            self._counts.add(pipelines.RUNS, (label, after.result, after.reason))
            self._counts.observe(pipelines.RUN_DURATION, (label, after.result), (after.ended or 0) - after.started)
        elif before and before.reason in FOUND_OUT and before.is_counted and after.corrected and not before.corrected:
            self._counts.add(pipelines.RUNS_CORRECTED, (label, after.result))
        if not after.settled:
            return
        was = before if before and before.settled else None
        for kind, spent, known in (
            ("llm", after.llm_cost, was and was.llm_cost),
            ("machine", after.machine_cost, was and was.machine_cost),
        ):
            if spent:
                self._counts.add(pipelines.RUN_SPENT, (label, kind), spent - (known or 0))
        if after.llm_unpriced and not (was and was.llm_unpriced):
            self._counts.add(pipelines.RUNS_UNPRICED, (label, "llm"))
        if self._priced and after.machine_cost is None and was is None:
            self._counts.add(pipelines.RUNS_UNPRICED, (label, "machine"))

    def phase(self, before: Phase | None, after: Phase, was: Run | None, run: Run) -> None:
        """Count what became of a phase. was, run: its run, before and after."""
        if before is None and not self._names.has_phase(after.pipeline, after.phase, after.subphase):
            metric = pipelines.SUBPHASE_DURATION if after.subphase else pipelines.PHASE_DURATION
            self._counts.note_overflow(metric, "subphase" if after.subphase else "phase")
        labels = self._labels(after)
        if after.is_counted and not (before and before.is_counted):
            self._ended(after, labels)
        if after.subphase:
            return
        # What was taken for a part had its sums nowhere.
        old = _Sums() if before is None or before.subphase else _sums(before, was is not None and was.settled)
        new = _sums(after, run.settled)
        if old != new:
            self._differences(labels, old, new)
            self._named(after.pipeline, labels, old.tally, new.tally)

    def _ended(self, phase: Phase, labels: tuple[str, str]) -> None:
        duration = (phase.ended or 0) - phase.started
        if phase.subphase:
            known = self._names.has_phase(phase.pipeline, phase.phase, phase.subphase)
            part = phase.subphase if known else OTHER
            self._counts.observe(pipelines.SUBPHASE_DURATION, (*labels, part, phase.result), duration)
            return
        self._counts.observe(pipelines.PHASE_DURATION, (*labels, phase.result), duration)
        if phase.result == "success":
            # Squared nanoseconds to billionths of a squared second.
            self._counts.add(pipelines.PHASE_SQUARES, labels, duration * duration // NANO)
            if not phase.tally.artifacts:
                self._counts.add(pipelines.PHASE_WITHOUT_ARTIFACTS, labels)

    def _differences(self, labels: tuple[str, str], old: _Sums, new: _Sums) -> None:
        changes: tuple[tuple[Metric, tuple[str, ...], int], ...] = (
            (pipelines.PHASE_ITEMS, (*labels, "in"), new.tally.items_in - old.tally.items_in),
            (pipelines.PHASE_ITEMS, (*labels, "out"), new.tally.items_out - old.tally.items_out),
            (pipelines.PHASE_WARNINGS, labels, new.tally.warnings - old.tally.warnings),
            (pipelines.PHASE_ARTIFACTS, labels, new.tally.artifacts - old.tally.artifacts),
            (pipelines.PHASE_ARTIFACT_SIZE, labels, new.tally.artifact_bytes - old.tally.artifact_bytes),
            (pipelines.PHASE_RETRIES, labels, new.retries - old.retries),
            (pipelines.PHASE_CPU, labels, new.cpu - old.cpu),
            (pipelines.PHASE_IO, (*labels, "read"), new.read - old.read),
            (pipelines.PHASE_IO, (*labels, "write"), new.written - old.written),
            (pipelines.PHASE_SPENT, (*labels, "llm"), new.llm - old.llm),
            (pipelines.PHASE_SPENT, (*labels, "machine"), new.machine - old.machine),
        )
        for metric, given, amount in changes:
            if amount > 0:
                self._counts.add(metric, given, amount)

    def _named(self, pipeline: str, labels: tuple[str, str], old: Tally, new: Tally) -> None:
        if new.errors != old.errors:
            known = dict(old.errors)
            for name, number in new.errors:
                if number > known.get(name, 0):
                    self._counts.add(pipelines.PHASE_ERRORS, (*labels, name), number - known.get(name, 0))
        if new.signals != old.signals:
            values = dict(old.signals)
            for name, value in new.signals:
                amount = round(value * NANO) - round(values.get(name, 0) * NANO)
                if amount > 0 and self.kind_of(pipeline, name) == "counter":
                    self._counts.add(pipelines.SIGNAL_COUNT, (*labels, name), amount)

    def _pipeline(self, pipeline: str) -> str:
        return pipeline if pipeline in self._names else OTHER

    def _labels(self, phase: Phase) -> tuple[str, str]:
        known = self._names.has_phase(phase.pipeline, phase.phase)
        return self._pipeline(phase.pipeline), phase.phase if known else OTHER


def _sums(phase: Phase, is_settled: bool) -> _Sums:
    usage, ended = phase.usage, phase.ended is not None
    return _Sums(
        phase.tally,
        int(phase.attempt > 1),
        usage.cpu or 0 if ended else 0,
        usage.read or 0 if ended else 0,
        usage.written or 0 if ended else 0,
        phase.llm_cost or 0 if is_settled else 0,
        phase.machine_cost or 0 if is_settled else 0,
    )
