"""Traces of the runs of the last day: LLM calls that come to one of them may have to be booked on a run."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable

from fleetwatch.ledger.traces import KEPT

MOST_TRACES = 100_000
"""Traces remembered, 10 MB; beyond it the oldest are forgotten."""


class RunTraces:
    """What is remembered beside the file."""

    def __init__(self, db: sqlite3.Connection, clock: Callable[[], int]) -> None:
        self._db = db
        self._clock = clock
        self._traces: dict[bytes, None] | None = None

    def remember(self, trace: bytes) -> None:
        """A run has this trace."""
        traces = self._all()
        traces[trace] = None
        if len(traces) > MOST_TRACES:
            del traces[next(iter(traces))]

    def known(self, traces: Iterable[bytes]) -> set[bytes]:
        """Those of them that are some run's."""
        mine = self._all()
        return mine.keys() & set(traces) if mine else set()

    def undo(self) -> None:
        """What is remembered may not be in the file."""
        self._traces = None

    def _all(self) -> dict[bytes, None]:
        if self._traces is None:
            rows = self._db.execute(
                "SELECT trace FROM pipeline_runs WHERE seen > ? AND trace <> x'' ORDER BY seen DESC LIMIT ?",
                (self._clock() - KEPT, MOST_TRACES),
            ).fetchall()
            self._traces = dict.fromkeys(row[0] for row in reversed(rows))
        return self._traces
