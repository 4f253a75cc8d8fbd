"""Acknowledgements of alerts: each one counts once, by the id of its silence.

Alertmanager keeps a silence for days after its end, so each start of the exporter sees the same ones again. Their ids
stay here for longer than that.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from typing import Final

from fleetwatch.catalogue import alerting
from fleetwatch.catalogue.metric import metrics_of
from fleetwatch.ledger.counts import Counts
from fleetwatch.records.alerting import Acknowledgement

KEEP: Final = 60 * 86_400 * 10**9
"""Nanoseconds after its end for which an id is remembered; what ended half as long ago is not told any more."""
MOST: Final = 20_000
"""Ids remembered; past it nothing more is counted."""

METRICS = tuple(metric for metric in metrics_of(alerting) if metric.durable)
"""What is counted here."""

SCHEMA: Final = """
CREATE TABLE acknowledgements (silence TEXT PRIMARY KEY, ends INTEGER NOT NULL) WITHOUT ROWID;
"""


class Acknowledgements:
    """All of it is called inside the writer's transaction. Nothing is kept in memory, so there is nothing to undo."""

    def __init__(self, db: sqlite3.Connection, counts: Counts) -> None:
        """counts: keeps METRICS; whoever holds it writes it."""
        self._db = db
        self._counts = counts

    def keep(self, told: Sequence[Acknowledgement]) -> int:
        """Count what is new; returns how many."""
        return sum(self._keep(item) for item in told)

    def prune(self, now: int) -> int:
        """Forget what is past its time; returns how many."""
        return self._db.execute("DELETE FROM acknowledgements WHERE ends < ?", (now - KEEP,)).rowcount

    def _keep(self, told: Acknowledgement) -> bool:
        later = "UPDATE acknowledgements SET ends = max(ends, ?) WHERE silence = ?"
        if self._db.execute(later, (told.ends, told.silence)).rowcount:
            return False
        (known,) = self._db.execute("SELECT count(*) FROM acknowledgements").fetchone()
        if known >= MOST:
            return False
        self._db.execute("INSERT INTO acknowledgements VALUES (?, ?)", (told.silence, told.ends))
        if told.is_first:
            self._counts.add(alerting.ACKNOWLEDGEMENTS, (told.alertname, told.severity))
            if told.waited is not None:
                self._counts.observe(alerting.ACKNOWLEDGE_TIME, (told.severity,), told.waited)
        return told.is_first
