"""What the ledger forgets when its time is over. Sums stay."""

from __future__ import annotations

import sqlite3

from fleetwatch.ledger import schema
from fleetwatch.ledger.totals import QUARTER

QUARTERS_KEPT_DAYS = 400
PRUNE_ROWS = 1000
"""Calls forgotten in one transaction: 70 ms in a ledger of a gigabyte, where each lies on a page of its own."""
_DAY = 86400 * 10**9


def prune_calls(db: sqlite3.Connection, now: int, keep: int) -> int:
    """Forget some calls that came more than `keep` nanoseconds ago, and fold old quarters; returns how many calls."""
    known = _mark(db, now, keep)
    checkpoint = db.execute("SELECT value FROM meta WHERE name = 'checkpoint'").fetchone()[0]
    # The newest row stays: SQLite gives the number of a last row that is gone to the next one, and a number below
    # the checkpoint's would never be folded.
    deleted = db.execute(
        "DELETE FROM llm_calls WHERE id IN (SELECT id FROM llm_calls WHERE id <= ? AND id < ? ORDER BY id LIMIT ?)",
        (known, checkpoint, PRUNE_ROWS),
    ).rowcount
    old = (now - QUARTERS_KEPT_DAYS * _DAY) // QUARTER
    if db.execute("SELECT 1 FROM quarters WHERE quarter > 0 AND quarter < ? LIMIT 1", (old,)).fetchone():
        db.execute(schema.FOLD_OLD_QUARTERS, (old,))
        db.execute("DELETE FROM quarters WHERE quarter > 0 AND quarter < ?", (old,))
    return deleted


def _mark(db: sqlite3.Connection, now: int, keep: int) -> int:
    """Note once a day which call came last; returns the last call that came before the time that calls are kept.

    What counts is when a call came and not when it was made: a trace of last year can be resent tomorrow.
    """
    db.execute("INSERT OR IGNORE INTO marks SELECT ?, coalesce(max(id), 0) FROM llm_calls", (now // _DAY,))
    oldest = (now - keep) // _DAY
    found = db.execute("SELECT day, call FROM marks WHERE day < ? ORDER BY day DESC LIMIT 1", (oldest,)).fetchone()
    if found is None:
        return 0
    day, call = found
    db.execute("DELETE FROM marks WHERE day < ?", (day,))
    # A call may lead our clock by some minutes: one quarter more is in doubt.
    before = (day + 1) * _DAY + QUARTER
    db.execute("INSERT OR REPLACE INTO meta VALUES ('pruned_before', ?)", (before,))
    return int(call)
