"""Which instrumentation's token metrics count, where several measure the calls of one service.

Two libraries in one process tell every call twice, in streams that nothing connects. So of one service, provider and
model the family counts that came first, and it goes on counting: it is on disk. One that has been silent for
FAMILY_REMEMBERED gives way: its process ended, or was given another library.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from fleetwatch.records.llm import UsagePoint

FAMILY_REMEMBERED: Final = 900 * 10**9
"""Nanoseconds without a point of a family. Senders export every minute; this is more than some lost exports."""

_Place = tuple[str, str, str]
_NOTE = "INSERT OR REPLACE INTO usage_families VALUES (?, ?, ?, ?, ?)"
_FIND = "SELECT family, seen FROM usage_families WHERE service = ? AND provider = ? AND model = ?"


class Families:
    """The table `usage_families`."""

    def __init__(self) -> None:
        self._noted: dict[_Place, tuple[str, int]] = {}

    def counts(self, db: sqlite3.Connection, point: UsagePoint, now: int) -> bool:
        """Whether what this point tells counts, or another family tells it already. now: Unix ns."""
        call = point.call
        place = (call.service, call.provider, call.model)
        known = self._noted.get(place) or db.execute(_FIND, place).fetchone()
        if known is not None and known[0] != point.family and known[1] > now - FAMILY_REMEMBERED:
            return False
        # Once in a quarter of the time is often enough to stay known.
        if known is None or known[0] != point.family or known[1] < now - FAMILY_REMEMBERED // 4:
            known = (point.family, now)
            db.execute(_NOTE, (*place, *known))
        self._noted[place] = known
        return True

    def prune(self, db: sqlite3.Connection, now: int) -> None:
        """Forget those that are long silent."""
        db.execute("DELETE FROM usage_families WHERE seen < ?", (now - FAMILY_REMEMBERED,))
        self._noted = {place: known for place, known in self._noted.items() if known[1] > now - FAMILY_REMEMBERED}

    def forget(self) -> None:
        """Drop what is remembered beside the file: a transaction was undone."""
        self._noted.clear()
