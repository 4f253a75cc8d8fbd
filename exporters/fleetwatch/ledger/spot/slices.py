"""Machine time and money: a slice counts only where the one before it ended, so that each moment counts once."""

from __future__ import annotations

import logging
import sqlite3
from collections import defaultdict
from typing import Final

from fleetwatch.catalogue import spot
from fleetwatch.ledger.counts import Counts
from fleetwatch.ledger.spot.tables import DAY
from fleetwatch.records.spot import FleetSlice, Pool, Use

log = logging.getLogger(__name__)

_EXPOSE = "INSERT INTO spot_exposure VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET time = time + excluded.time"
_ADD = (
    "INSERT INTO spot_days VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT DO UPDATE SET "
    "spend = spend + excluded.spend, on_demand = on_demand + excluded.on_demand, "
    "vcpu_time = vcpu_time + excluded.vcpu_time, eligible_time = eligible_time + excluded.eligible_time, "
    "unpriced = unpriced + excluded.unpriced"
)
MOST_DAYS: Final = 300_000
"""Rows of `spot_days`, some 50 MB: 750 label sets each day of 400; past it the oldest days go."""


class Slices:
    """The tables `spot_slices`, `spot_exposure`, `spot_days`. keep, prune and undo: inside the writer's transaction."""

    def __init__(self, db: sqlite3.Connection, counts: Counts) -> None:
        self._db = db
        self._counts = counts
        self._until: dict[tuple[str, str], int] = {}
        self._since: dict[tuple[str, str], int] = {}
        self.undo()

    def since(self, account: str, region: str) -> int:
        """When a region was looked at first, Unix nanoseconds; 0 where it never was."""
        return self._since.get((account, region), 0)

    def untils(self) -> dict[tuple[str, str], int]:
        """Up to when each (account, region) is counted, Unix nanoseconds."""
        return dict(self._until)

    def keep(self, told: FleetSlice) -> bool:
        """Count it where it goes on from the one before; whether it did. Raises ValueError for one that is wrong."""
        _check(told)
        where = (told.account, told.region)
        until = self._until.get(where)
        if until not in {None, told.since}:
            log.debug("%s/%s: a slice since %d is left out: counted until %s", *where, told.since, until)
            return False
        self._until[where] = told.until
        self._since.setdefault(where, told.since)
        row = (*where, told.until, self._since[where])
        self._db.execute("INSERT OR REPLACE INTO spot_slices VALUES (?, ?, ?, ?)", row)
        exposed: dict[Pool, int] = defaultdict(int)
        for use in told.uses:
            self._count(use)
            if use.lifecycle == "spot":
                exposed[use.pool] += use.running
        # The judge ends slices at midnight. The last moment is still of the day: midnight itself begins the next.
        day = (told.until - 1) // DAY
        self._db.executemany(_EXPOSE, [(day, *pool, time) for pool, time in exposed.items()])
        self._db.executemany(_ADD, [(day, *row) for row in map(_row, told.uses)])
        return True

    def prune(self, now: int, keep: int) -> int:
        """Forget days older than so many nanoseconds."""
        first = (now - keep) // DAY
        (rows,) = self._db.execute("SELECT count(*) FROM spot_days").fetchone()
        if rows > MOST_DAYS:
            past = "SELECT day FROM spot_days ORDER BY day DESC LIMIT 1 OFFSET ?"
            first = max(first, self._db.execute(past, (MOST_DAYS,)).fetchone()[0] + 1)
        gone = self._db.execute("DELETE FROM spot_exposure WHERE day < ?", ((now - keep) // DAY,)).rowcount
        return gone + self._db.execute("DELETE FROM spot_days WHERE day < ?", (first,)).rowcount

    def undo(self) -> None:
        """Read all from the file."""
        rows = self._db.execute("SELECT account, region, until, since FROM spot_slices").fetchall()
        self._until = {(account, region): until for account, region, until, _ in rows}
        self._since = {(account, region): since for account, region, _, since in rows}

    def _count(self, use: Use) -> None:
        pool, add = use.pool, self._counts.add
        labels = _labels(use)
        if use.spend is not None and use.on_demand is not None:
            add(spot.SPEND, labels, use.spend)
            add(spot.EQUIVALENT, labels, use.on_demand)
        else:
            missing = "spot" if use.lifecycle == "spot" and use.spend is None else "on_demand"
            add(spot.UNPRICED_HOURS, (pool.account, pool.region, missing), use.running)
        add(spot.VCPU_HOURS, (*labels, "yes" if use.eligible else "no"), use.vcpu_time)
        if use.lifecycle == "spot":
            add(spot.INSTANCE_HOURS, tuple(pool), use.running)


def _labels(use: Use) -> tuple[str, str, str, str, str]:
    """As of the catalogue's USE."""
    return use.pool.account, use.pool.region, use.team, use.workload, use.lifecycle


def _row(use: Use) -> tuple[str | int, ...]:
    """Columns of `spot_days` after the day."""
    eligible = use.vcpu_time if use.eligible else 0
    if use.spend is None or use.on_demand is None:
        return (*_labels(use), 0, 0, use.vcpu_time, eligible, use.running)
    return (*_labels(use), use.spend, use.on_demand, use.vcpu_time, eligible, 0)


def _check(told: FleetSlice) -> None:
    """A counter never goes back, and a slice that ends before it begins would count time twice."""
    if not 0 <= told.since < told.until < 2**63:
        raise ValueError(f"FleetSlice: expected 0 <= since < until, got {told.since} and {told.until}")
    for use in told.uses:
        least = min(use.running, use.vcpu_time, use.spend or 0, use.on_demand or 0)
        if least < 0:
            raise ValueError(f"FleetSlice: expected uses of 0 or more, got {use}")
