"""What was told of single machines, in the file until nothing more can come of it."""

from __future__ import annotations

import sqlite3
from typing import Final

from fleetwatch.ledger.spot.registry import KEPT
from fleetwatch.reckon.timeline import Fact

MOST: Final = 200_000
"""Facts in the file, some 40 MB; past it those of the machines that were quiet longest go, and their rows stay."""
MOST_OF_ONE: Final = 50
"""Facts of one machine; what comes beyond is left out. A usual taking has eight."""
PRUNE_ROWS: Final = 5000
_FIELDS: Final = "kind, at, due, action, why, cluster, nodepool, host"


class Facts:
    """The table `spot_facts`. All is called inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, most: int = MOST) -> None:
        self._db = db
        self._most = most
        self._known: int | None = None

    def of(self, instance: str) -> list[Fact]:
        """All that is known of a machine."""
        return [
            Fact(*row) for row in self._db.execute(f"SELECT {_FIELDS} FROM spot_facts WHERE instance = ?", [instance])
        ]

    def add(self, instance: str, facts: set[Fact], now: int) -> bool:
        """Add what is new; whether anything was."""
        known = set(self.of(instance))
        fresh = sorted(facts - known, key=repr)[: max(MOST_OF_ONE - len(known), 0)]
        if not fresh:
            return False
        self._db.executemany(
            "INSERT INTO spot_facts VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", [(instance, *fact, now) for fact in fresh]
        )
        self._db.execute("UPDATE spot_facts SET seen = ? WHERE instance = ?", (now, instance))
        if self._known is None:
            (self._known,) = self._db.execute("SELECT count(*) FROM spot_facts").fetchone()
        else:
            self._known += len(fresh)
        if self._known > self._most:
            self._drop("1", (), max(self._most // 100, 1))
        return True

    def prune(self, now: int) -> int:
        """Forget some that nothing new comes of; returns how many."""
        return self._drop("seen < ?", (now - KEPT,), PRUNE_ROWS)

    def undo(self) -> None:
        """Drop what is remembered beside the file."""
        self._known = None

    def _drop(self, where: str, given: tuple[int, ...], most: int) -> int:
        """Those of whole machines: of half of its facts a machine's rows would become others."""
        which = f"SELECT DISTINCT instance FROM (SELECT instance FROM spot_facts WHERE {where} ORDER BY seen LIMIT ?)"
        rows = self._db.execute(which, (*given, most)).fetchall()
        self._db.executemany("UPDATE spot_interruptions SET closed = 1 WHERE instance = ?", rows)
        self._db.executemany("DELETE FROM spot_facts WHERE instance = ?", rows)
        self._known = None
        return len(rows)
