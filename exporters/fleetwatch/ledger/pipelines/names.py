"""Names of pipelines, phases and their parts that were let in, and what is remembered of each beyond the runs.

A name per run must not grow series, nor this. A pipeline has room for so many phases and twice as many parts; what
comes past it is counted as `_other`, and is as told in the history.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

from fleetwatch.ledger.pipelines import rows as pipeline_rows
from fleetwatch.ledger.pipelines.rows import Known, KnownPhase
from fleetwatch.records.pipelines import Phase, Run

_WRITE = "INSERT OR REPLACE INTO pipelines VALUES (?, ?, ?, ?, ?)"
_WRITE_NAME = "INSERT OR REPLACE INTO pipeline_names VALUES (?, ?, ?, ?, ?, ?, ?)"
_SEEN_STEP = 60 * 10**9
"""Nanoseconds by which `pipelines.seen` may lag behind: it is looked at after days."""

Signals = dict[str, tuple[int, float]]
"""Gauge -> when it was told last, and its value."""


class _Pipeline:
    """One pipeline that was let in."""

    def __init__(self, name: str, first_seen: int, seen: int) -> None:
        self.name, self.first_seen, self.seen = name, first_seen, seen
        self.last_success: int | None = None
        self.last_completion: int | None = None
        self.phases: dict[tuple[str, str], KnownPhase] = {}
        self.signals: dict[str, Signals] = {}
        self.parts = 0

    def room(self, subphase: str, most: int) -> bool:
        """Whether another name has room."""
        return self.parts < 2 * most if subphase else len(self.phases) - self.parts < most

    def put(self, known: KnownPhase) -> None:
        """Let a name in, or change what is known of it."""
        self.parts += bool(known.subphase) and (known.phase, known.subphase) not in self.phases
        self.phases[known.phase, known.subphase] = known

    def row(self) -> tuple[object, ...]:
        return self.name, self.first_seen, self.last_success, self.last_completion, self.seen

    def phase_row(self, key: tuple[str, str]) -> tuple[object, ...]:
        signals = "" if key[1] else json.dumps(self.signals.get(key[0], {}), separators=(",", ":"))
        return (self.name, *self.phases[key], signals)


class Names:
    """The tables `pipelines` and `pipeline_names`. All that writes is called inside the writer's transaction.

    most: pipelines; most_phases: names of phases in one.
    """

    def __init__(self, db: sqlite3.Connection, most: int, most_phases: int) -> None:
        self._db = db
        self._most, self._most_phases = most, most_phases
        self._known: dict[str, _Pipeline] = {}
        self._changed: dict[str, None] = {}
        self._changed_phases: dict[tuple[str, tuple[str, str]], None] = {}
        self.undo()

    def undo(self) -> None:
        """Read all from the file; after an error nothing else is true."""
        self._known, self._changed, self._changed_phases = {}, {}, {}
        for known in pipeline_rows.pipelines(self._db):
            pipeline = self._known[known.pipeline] = _Pipeline(known.pipeline, known.first_seen, known.seen)
            pipeline.last_success, pipeline.last_completion = known.last_success, known.last_completion
            for phase in known.phases:
                pipeline.put(phase)
        rows = self._db.execute("SELECT pipeline, phase, signals FROM pipeline_names WHERE signals NOT IN ('', '{}')")
        for name, phase, text in rows:
            self._known[name].signals[phase] = {signal: (at, value) for signal, (at, value) in json.loads(text).items()}

    def known(self) -> list[Known]:
        """All pipelines that were let in, by name."""
        return [
            Known(
                name,
                item.first_seen,
                item.last_success,
                item.last_completion,
                tuple(phase for _, phase in sorted(item.phases.items())),
                item.seen,
            )
            for name, item in sorted(self._known.items())
        ]

    def __contains__(self, pipeline: str) -> bool:
        return pipeline in self._known

    def admit(self, pipeline: str, now: int) -> bool:
        """Let a pipeline in where there is room; returns whether it is new."""
        item = self._known.get(pipeline)
        if item is not None:
            if now - item.seen > _SEEN_STEP:
                item.seen = now
                self._changed[pipeline] = None
            return False
        if len(self._known) >= self._most:
            return False
        self._known[pipeline] = _Pipeline(pipeline, now, now)
        self._changed[pipeline] = None
        return True

    def admit_phase(self, pipeline: str, phase: str, subphase: str) -> bool:
        """Let a phase's name in where there is room; returns whether it is new. A part only with its phase."""
        item = self._known.get(pipeline)
        if item is None or (phase, subphase) in item.phases or not item.room(subphase, self._most_phases):
            return False
        if subphase and (phase, "") not in item.phases:
            self.admit_phase(pipeline, phase, "")
            if (phase, "") not in item.phases:
                return False
        item.put(KnownPhase(phase, subphase, None, None, None))
        self._changed_phases[pipeline, (phase, subphase)] = None
        return True

    def has_phase(self, pipeline: str, phase: str, subphase: str = "") -> bool:
        """Whether a phase's name was let in."""
        item = self._known.get(pipeline)
        return item is not None and (phase, subphase) in item.phases

    def run_ended(self, run: Run, now: int) -> None:
        """Remember the end of a run."""
        item = self._known.get(run.pipeline)
        if item is None or run.ended is None:
            return
        ended = min(run.ended, now)
        before = item.last_success, item.last_completion
        item.last_completion = max(ended, item.last_completion or 0)
        if run.result == "success":
            item.last_success = max(ended, item.last_success or 0)
        if before != (item.last_success, item.last_completion):
            self._changed[run.pipeline] = None

    def phase_ended(self, phase: Phase, now: int) -> None:
        """Remember the end of a phase."""
        item = self._known.get(phase.pipeline)
        key = (phase.phase, phase.subphase)
        if item is None or phase.ended is None or key not in item.phases:
            return
        before = item.phases[key]
        ended, last = min(phase.ended, now), before.last_completion or 0
        memory, peak = before.memory_peak, phase.usage.memory_peak
        if peak is not None and (ended > last or (ended == last and peak > (memory or 0))):
            memory = peak
        success = max(ended, before.last_success or 0) if phase.result == "success" else before.last_success
        after = before._replace(last_success=success, last_completion=max(ended, last), memory_peak=memory)
        if after != before:
            item.phases[key] = after
            self._changed_phases[phase.pipeline, key] = None

    def gauges(self, phase: Phase, told: Mapping[str, tuple[int, float]]) -> None:
        """Remember the last values of gauges. told: name -> when it was told, and its value."""
        item = self._known.get(phase.pipeline)
        key = (phase.phase, "")
        if item is None or key not in item.phases:
            return
        signals = item.signals.setdefault(phase.phase, {})
        for name, (at, value) in told.items():
            before = signals.get(name)
            if before is None or (at, value) > before:
                signals[name] = (at, value)
                self._changed_phases[phase.pipeline, key] = None

    def signals(self, pipeline: str, phase: str) -> tuple[tuple[str, float], ...]:
        """Last values of a phase's gauges, by name."""
        item = self._known.get(pipeline)
        found = item.signals.get(phase, {}) if item else {}
        return tuple(sorted((name, value) for name, (_, value) in found.items()))

    def expect(self, names: Sequence[str], now: int) -> None:
        """Let in pipelines that ought to run, whether or not there is room."""
        for name in names:
            if name not in self._known:
                self._known[name] = _Pipeline(name, now, now)
                self._changed[name] = None

    def forget(self, pipeline: str) -> None:
        """Make room; the writer's next write does not bring it back."""
        self._db.execute("DELETE FROM pipelines WHERE pipeline = ?", (pipeline,))
        self._db.execute("DELETE FROM pipeline_names WHERE pipeline = ?", (pipeline,))
        self._known.pop(pipeline, None)
        self._changed.pop(pipeline, None)
        self._changed_phases = {key: None for key in self._changed_phases if key[0] != pipeline}

    def write(self) -> None:
        """Write what changed."""
        if self._changed:
            self._db.executemany(_WRITE, [self._known[name].row() for name in self._changed])
            self._changed = {}
        if self._changed_phases:
            rows = [self._known[name].phase_row(key) for name, key in self._changed_phases]
            self._db.executemany(_WRITE_NAME, rows)
            self._changed_phases = {}
