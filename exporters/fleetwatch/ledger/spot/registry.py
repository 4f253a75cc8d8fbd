"""Which machines there are, and what those were that are gone: events name them by their id alone.

In memory are the machines of the last slices, in the file those that are gone too, for as long as events may come late.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Any, Final

from fleetwatch.ledger.spot import tables
from fleetwatch.records.spot import FleetSlice, Instance

KEPT: Final = 15 * tables.DAY
"""Nanoseconds after its end that a machine is known; SQS keeps a message for 14 days at most."""
MOST: Final = 200_000
"""Machines in the file, at most, some 60 MB: the slice's own, and those that went last."""
UNSEEN: Final = 2 * tables.DAY
"""Nanoseconds without a slice after which a region is given up: it, or its account, has left the settings."""
PRUNE_ROWS: Final = 5000
_PUT = f"INSERT OR REPLACE INTO spot_instances VALUES ({', '.join('?' * 20)})"
_OVER: Final = frozenset({"stopped", "terminated"})


class Registry:
    """The table `spot_instances`. keep, prune and undo: inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection) -> None:
        self._db = db
        self._here: dict[tuple[str, str], dict[str, Instance]] = {}
        self._over: dict[tuple[str, str], dict[str, Instance]] = {}
        self._host: dict[str, str] | None = None
        self.undo()

    def here(self, account: str = "", region: str = "") -> dict[str, Instance]:
        """Machines that had not ended in the last slice of their region; of one, or of all."""
        if region:
            return dict(self._here.get((account, region), {}))
        return {name: item for machines in self._here.values() for name, item in machines.items()}

    def find(self, name: str) -> Instance | None:
        """What a machine is or was; None where nobody told."""
        found = tables.instances(self._db, "instance = ?", (name,))
        return found[0] if found else None

    def by_host(self, host: str) -> str:
        """Id of the machine that is here under this name; empty for none."""
        if self._host is None:
            self._host = {other: item.id for item in self.here().values() for other in item.names}
        return self._host.get(host, "")

    def keep(self, told: FleetSlice) -> list[str]:
        """Take over what a slice tells; returns the ids of machines that are new or not what they were."""
        where = (told.account, told.region)
        before = self._here.get(where, {})
        now = {item.id: item for item in told.instances if item.state not in _OVER}
        over = [item for item in told.instances if item.state in _OVER]
        rows: list[tuple[Any, ...]] = [
            (*tables.instance_row(item), None) for name, item in now.items() if before.get(name) != item
        ]
        # Answers tell of the ended for an hour, of the stopped for ever: what the file knows is not written again.
        told_before = self._over.get(where, {})
        rows += [
            (*tables.instance_row(item), told.until)
            for item in over
            if told_before.get(item.id) != item and (item.id in before or self.find(item.id) != item)
        ]
        changed = [str(row[0]) for row in rows]
        self._db.executemany(_PUT, rows)
        gone = before.keys() - now.keys() - {item.id for item in over}
        self._db.executemany("UPDATE spot_instances SET gone = ? WHERE instance = ?", [(told.until, x) for x in gone])
        self._here[where] = now
        self._over[where] = {item.id: item for item in over}
        self._host = None
        return changed

    def prune(self, now: int) -> int:
        """Forget some that are gone for long, and take those of regions that nobody looks at for gone; returns how many
        were forgotten.
        """
        unseen = "SELECT account, region, until FROM spot_slices WHERE until < ?"
        for account, region, until in self._db.execute(unseen, (now - UNSEEN,)).fetchall():
            if self._here.pop((account, region), None):
                gone = "UPDATE spot_instances SET gone = ? WHERE account = ? AND region = ? AND gone IS NULL"
                self._db.execute(gone, (until, account, region))
                self._host = None
        deleted = self._drop("gone < ?", (now - KEPT,), PRUNE_ROWS)
        (known,) = self._db.execute("SELECT count(*) FROM spot_instances").fetchone()
        return deleted + (self._drop("gone IS NOT NULL", (), min(known - MOST, PRUNE_ROWS)) if known > MOST else 0)

    def undo(self) -> None:
        """Read all from the file."""
        self._here, self._over, self._host = {}, {}, None
        for item in tables.instances(self._db):
            self._here.setdefault((item.pool.account, item.pool.region), {})[item.id] = item

    def _drop(self, where: str, given: Sequence[int], most: int) -> int:
        which = f"SELECT instance FROM spot_instances WHERE {where} ORDER BY gone LIMIT ?"
        return self._db.execute(f"DELETE FROM spot_instances WHERE instance IN ({which})", (*given, most)).rowcount
