"""Phases that know only the trace of their run: on disk until the run comes, which may be hours later."""

from __future__ import annotations

import json
import sqlite3
from typing import NamedTuple

from fleetwatch.records.pipelines import PhaseReport, Tally, Usage

MOST = 100_000
"""Rows at most, some 60 MB; the oldest go first."""
KEPT = 86_400 * 10**9
"""Nanoseconds that one waits."""
PRUNE_ROWS = 2000
"""Rows forgotten in one transaction."""
_BYTES = tuple(PhaseReport._fields.index(name) for name in ("trace", "span", "parent"))
_USAGE, _TALLY = PhaseReport._fields.index("usage"), PhaseReport._fields.index("tally")


class Pruned(NamedTuple):
    """Rows that are gone; phases: those of them that were phases for certain."""

    rows: int
    phases: int


class WaitingPhases:
    """The table `pipeline_waiting`. All that writes is called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._any: bool | None = None

    def keep(self, report: PhaseReport, now: int) -> int:
        """Put one on disk; what waits already is the same. Returns how many phases had to make room for it."""
        row = (report.trace, report.span, now, _dump(report))
        put = self._db.execute(
            "INSERT OR IGNORE INTO pipeline_waiting (trace, span, seen, report) VALUES (?, ?, ?, ?)", row
        )
        self._any = True
        if not put.rowcount:
            return 0
        surplus = "SELECT number, report FROM pipeline_waiting WHERE number <= ? LIMIT ?"
        return self._drop(surplus, ((put.lastrowid or 0) - MOST, PRUNE_ROWS)).phases

    def take(self, trace: bytes) -> list[PhaseReport]:
        """Those of a trace, which wait no more."""
        if self._any is None:
            self._any = self._db.execute("SELECT 1 FROM pipeline_waiting LIMIT 1").fetchone() is not None
        if not self._any or not trace:
            return []
        rows = self._db.execute("SELECT report FROM pipeline_waiting WHERE trace = ?", (trace,)).fetchall()
        if rows:
            self._db.execute("DELETE FROM pipeline_waiting WHERE trace = ?", (trace,))
        return [_load(row[0]) for row in rows]

    def undo(self) -> None:
        """Drop what is remembered beside the file."""
        self._any = None

    def prune(self, now: int) -> Pruned:
        """Forget some that waited in vain."""
        oldest = "SELECT number, seen, report FROM pipeline_waiting ORDER BY number LIMIT ?"
        return self._drop(f"SELECT number, report FROM ({oldest}) WHERE seen < ?", (PRUNE_ROWS, now - KEPT))

    def _drop(self, which: str, values: tuple[int, ...]) -> Pruned:
        rows = self._db.execute(which, values).fetchall()
        if rows:
            self._db.executemany("DELETE FROM pipeline_waiting WHERE number = ?", [(number,) for number, _ in rows])
            self._any = None
        return Pruned(len(rows), sum(not _load(text).child_of_run for _, text in rows))


def _dump(report: PhaseReport) -> str:
    return json.dumps([value.hex() if isinstance(value, bytes) else value for value in report])


def _load(text: str) -> PhaseReport:
    fields = json.loads(text)
    for place in _BYTES:
        fields[place] = bytes.fromhex(fields[place])
    if fields[_USAGE] is not None:
        fields[_USAGE] = Usage(*fields[_USAGE])
    if fields[_TALLY] is not None:
        tally = Tally(*fields[_TALLY])
        fields[_TALLY] = tally._replace(
            errors=tuple((name, number) for name, number in tally.errors),
            signals=tuple((name, value) for name, value in tally.signals),
        )
    return PhaseReport(*fields)
