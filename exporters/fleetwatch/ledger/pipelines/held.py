"""Runs in memory with their phases: those under way, and those touched last; all others are read when needed."""

from __future__ import annotations

import sqlite3
from collections import OrderedDict

from fleetwatch.ledger.pipelines import rows as pipeline_rows
from fleetwatch.ledger.pipelines.rows import PHASE_COLUMNS, RUN_COLUMNS
from fleetwatch.records.pipelines import Phase, Run, RunWithPhases

MOST_HELD = 20_000
"""Runs and phases in memory, some 40 MB; of more than that those used least recently are read again."""

Key = tuple[str, str]
"""Pipeline and run."""

_INSERT = f"INSERT INTO pipeline_runs ({', '.join(RUN_COLUMNS)}) VALUES ({', '.join('?' * len(RUN_COLUMNS))})"
_UPDATE = f"UPDATE pipeline_runs SET {', '.join(f'{name} = ?' for name in RUN_COLUMNS)}, due = ? WHERE number = ?"
_INDEXED = ("pipeline", "run", "state", "started", "slot", "trace")
_PLAIN = tuple(place for place, name in enumerate(RUN_COLUMNS) if name not in _INDEXED)
# Most updates are signs of life: they leave all indexes but one as they are.
_UPDATE_PLAIN = (
    f"UPDATE pipeline_runs SET {', '.join(f'{RUN_COLUMNS[place]} = ?' for place in _PLAIN)} WHERE number = ?"
)
_READ = f"SELECT number, due, {', '.join(RUN_COLUMNS)} FROM pipeline_runs WHERE pipeline = ? AND run = ?"
# The index has no empty traces, and SQLite only takes it where that is said.
_OF_TRACE = (
    "SELECT pipeline, run FROM pipeline_runs WHERE trace = ? AND trace <> x'' "
    "ORDER BY started DESC, number DESC LIMIT ?"
)
_WRITE_PHASE = (
    f"INSERT OR REPLACE INTO pipeline_phases ({', '.join(PHASE_COLUMNS)}) "
    f"VALUES ({', '.join('?' * len(PHASE_COLUMNS))})"
)


class HeldRun:
    """A run, and what it was when the transaction began.

    due: when to look at it, 0 for never. is_over: no more is waited for; is_planned: `due` is decided.
    """

    __slots__ = (
        "before",
        "due",
        "due_before",
        "due_written",
        "is_over",
        "is_planned",
        "number",
        "phases",
        "phases_before",
        "run",
        "weight",
        "written",
    )

    def __init__(self, number: int, run: Run, phases: dict[str, Phase], due: int) -> None:
        self.number, self.run, self.phases, self.due = number, run, phases, due
        self.written, self.due_written = run, due
        """As it is in the file, inside this transaction."""
        self.weight = 0
        self.begin()

    def begin(self) -> None:
        """A transaction begins."""
        self.before: Run | None = self.run
        self.due_before = self.due
        self.phases_before: dict[str, Phase | None] = {}
        """Those that were touched; None for a new one."""
        self.is_over = self.is_planned = False

    @property
    def key(self) -> Key:
        return self.run.pipeline, self.run.run

    def is_moved(self) -> bool:
        """Whether something is not in the file yet that it is found by."""
        run, written = self.run, self.written
        return self.due != self.due_written or any(getattr(run, name) != getattr(written, name) for name in _INDEXED)

    def touch_phases(self) -> None:
        """What becomes of the run concerns all of them."""
        for execution, phase in self.phases.items():
            self.phases_before.setdefault(execution, phase)

    def whole(self) -> RunWithPhases:
        """As others see it."""
        return RunWithPhases(self.run, tuple(sorted(self.phases.values(), key=_by_start)))


class HeldRuns:
    """The tables `pipeline_runs` and `pipeline_phases`, through a memory. All inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._held: OrderedDict[Key, HeldRun] = OrderedDict()
        self._rows = 0
        self._touched: dict[Key, HeldRun] = {}
        self._unwritten: dict[Key, HeldRun] = {}
        self._open: int | None = None

    def touched(self) -> list[HeldRun]:
        """Those that this transaction touched so far."""
        return list(self._touched.values())

    def touch(self, held: HeldRun) -> HeldRun:
        """Note that it is to be written."""
        self._touched[held.key] = self._unwritten[held.key] = held
        return held

    def get(self, key: Key) -> HeldRun | None:
        """The run; None where there is none."""
        held = self._touched.get(key) or self._held.get(key)
        if held is None:
            row = self._db.execute(_READ, key).fetchone()
            if row is None:
                return None
            phases = {phase.execution: phase for phase in pipeline_rows.phases(self._db, *key)}
            held = self._held[key] = HeldRun(row[0], pipeline_rows.run_of(row[2:]), phases, row[1])
            self._weigh(held)
        elif key in self._held:
            self._held.move_to_end(key)
        return held

    def in_memory(self, key: Key) -> HeldRun | None:
        """The run if it need not be read."""
        return self._held.get(key)

    def of_trace(self, trace: bytes, most: int) -> list[HeldRun]:
        """Runs of a trace, the last one first. What was touched is written before."""
        self._write_runs()
        rows = self._db.execute(_OF_TRACE, (trace, most)).fetchall()
        return [held for key in rows if (held := self.get(key)) is not None]

    def add(self, run: Run) -> HeldRun:
        """A new run."""
        open_now = self.number_open()
        number = self._db.execute(_INSERT, pipeline_rows.run_row(run)).lastrowid or 0
        held = self._held[run.pipeline, run.run] = HeldRun(number, run, {}, 0)
        held.before = None
        self._open = open_now + 1
        return self.touch(held)

    def number_open(self) -> int:
        """Runs under way."""
        if self._open is None:
            found = self._db.execute("SELECT count(*) FROM pipeline_runs WHERE state <> 'ended'").fetchone()
            self._open = int(found[0])
        return self._open

    def change(self, held: HeldRun, run: Run) -> None:
        """What has become of a run."""
        if held.run.ended is None and run.ended is not None:
            self._open = self.number_open() - 1
        held.run = run
        self.touch(held)

    def set_phase(self, held: HeldRun, phase: Phase) -> None:
        """Change or add a phase."""
        held.phases_before.setdefault(phase.execution, held.phases.get(phase.execution))
        held.phases[phase.execution] = phase
        self.touch(held)

    def write(self) -> None:
        """Write what was touched."""
        self._write_runs()
        rows = [
            pipeline_rows.phase_row(held.number, phase)
            for held in self._touched.values()
            for execution, before in held.phases_before.items()
            if (phase := held.phases[execution]) != before
        ]
        self._db.executemany(_WRITE_PHASE, rows)

    def _write_runs(self) -> None:
        whole, plain = [], []
        for held in self._unwritten.values():
            if held.is_moved():
                whole.append((*pipeline_rows.run_row(held.run), held.due, held.number))
            elif held.run != held.written:
                row = pipeline_rows.run_row(held.run)
                plain.append((*(row[place] for place in _PLAIN), held.number))
            held.written, held.due_written = held.run, held.due
        self._db.executemany(_UPDATE, whole)
        self._db.executemany(_UPDATE_PLAIN, plain)
        self._unwritten = {}

    def forget(self, number: int, key: Key) -> int:
        """Delete a run that nothing touched in this transaction; returns how many rows."""
        rows = self._db.execute("DELETE FROM pipeline_phases WHERE number = ?", (number,)).rowcount
        self._db.execute("DELETE FROM pipeline_runs WHERE number = ?", (number,))
        held = self._held.pop(key, None)
        self._rows -= held.weight if held else 0
        return rows + 1

    def committed(self) -> list[Key]:
        """The transaction is on disk; those that it touched."""
        touched, self._touched = self._touched, {}
        self._unwritten = {}
        for held in touched.values():
            held.begin()
            self._weigh(held)
        while self._rows > MOST_HELD and len(self._held) > 1:
            self._rows -= self._held.popitem(last=False)[1].weight
        return list(touched)

    def undo(self) -> None:
        """The transaction was undone: what is in memory may not be in the file."""
        self._held.clear()
        self._touched, self._unwritten = {}, {}
        self._rows = 0
        self._open = None

    def _weigh(self, held: HeldRun) -> None:
        self._rows -= held.weight
        held.weight = 1 + len(held.phases)
        self._rows += held.weight


def _by_start(phase: Phase) -> tuple[int, str]:
    return phase.started, phase.execution
