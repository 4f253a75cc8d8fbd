"""The ring of recent runs: each pipeline has so many places, and a run that begins takes one.

A free one, else that of the run that ended longest ago. Where all are under way it has none until one ends. The place
is a column of the run's row, so that restarts keep it.
"""

from __future__ import annotations

import sqlite3
from typing import NamedTuple

from fleetwatch.records.pipelines import Run


class _Place(NamedTuple):
    """Who has it. ended: when, by the later of both clocks' word; None: it is under way."""

    number: int
    run: str
    ended: int | None


class Slots:
    """Places of all pipelines. most: of one. All is called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, most: int) -> None:
        self._db = db
        self._most = most
        self._rings: dict[str, dict[int, _Place]] = {}
        self.crowded: set[str] = set()
        """Pipelines with a run that found no place."""
        self.undo()

    def undo(self) -> None:
        """Read all from the file; after an error nothing else is true."""
        self._rings, self.crowded = {}, set()
        rows = self._db.execute(
            "SELECT pipeline, slot, number, run, ended, seen FROM pipeline_runs WHERE slot IS NOT NULL AND slot < ?",
            (self._most,),
        )
        for pipeline, slot, number, run, ended, seen in rows:
            place = _Place(number, run, None if ended is None else min(ended, seen))
            self._rings.setdefault(pipeline, {})[slot] = place
        crowded = "SELECT DISTINCT pipeline FROM pipeline_runs WHERE state <> 'ended' AND slot IS NULL"
        self.crowded = {row[0] for row in self._db.execute(crowded)}

    def shrink(self) -> None:
        """Free the places that the settings have no more."""
        self._db.execute("UPDATE pipeline_runs SET slot = NULL WHERE slot >= ?", (self._most,))

    def holders(self, pipeline: str) -> list[str]:
        """Runs that have a place."""
        return [place.run for place in self._rings.get(pipeline, {}).values()]

    def update(self, number: int, run: Run) -> None:
        """Note what became of a run that has a place."""
        if run.slot is not None:
            self._rings.setdefault(run.pipeline, {})[run.slot] = _place(number, run)

    def take(self, number: int, run: Run) -> tuple[int | None, str | None]:
        """A place for a run, and the run that had it; neither where there is none."""
        ring = self._rings.setdefault(run.pipeline, {})
        mine = _place(number, run)
        free = next((slot for slot in range(self._most) if slot not in ring), None)
        if free is not None:
            ring[free] = mine
            return free, None
        past = [(place.ended, place.number, slot) for slot, place in ring.items() if place.ended is not None]
        oldest = min(past, default=None)
        if oldest is None or (mine.ended is not None and mine.ended <= oldest[0]):
            if mine.ended is None:
                self.crowded.add(run.pipeline)
            return None, None
        slot = oldest[2]
        before, ring[slot] = ring[slot].run, mine
        return slot, before

    def waiting(self, pipeline: str) -> str | None:
        """The run that is under way longest without a place; None for none."""
        row = self._db.execute(
            "SELECT run FROM pipeline_runs WHERE pipeline = ? AND state <> 'ended' AND slot IS NULL "
            "ORDER BY number LIMIT 1",
            (pipeline,),
        ).fetchone()
        if row is None:
            self.crowded.discard(pipeline)
        return row[0] if row else None

    def forget(self, pipeline: str) -> None:
        """Free all places of a pipeline."""
        self._db.execute("UPDATE pipeline_runs SET slot = NULL WHERE pipeline = ? AND slot IS NOT NULL", (pipeline,))
        self._rings.pop(pipeline, None)
        self.crowded.discard(pipeline)


def _place(number: int, run: Run) -> _Place:
    return _Place(number, run.run, None if run.ended is None else min(run.ended, run.seen))
